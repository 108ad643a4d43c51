//! `probe --sweep`: where variants overtake each other, and the table that says so to dispatch.

use crate::args::{ProbeSweepArgs, Range};
use crate::errors::Usage;
use crate::{files, output};
use anyhow::Context;
use metallic_kernels::contract::Key;
use metallic_ops::tuned::{self, Table};
use metallic_probe::problem;
use metallic_probe::record::{Header, Outcome, Problem};
use metallic_probe::spec::Shape;
use metallic_probe::sweep::{Axis, Settings, Sweep, run};
use std::io::Write;
use std::path::{Path, PathBuf};

/// Sweeps every shape.
pub fn all(
    range: Range,
    shapes: &[Shape],
    measure: &mut dyn FnMut(&Shape) -> anyhow::Result<Problem>,
) -> anyhow::Result<Vec<Sweep>> {
    for (shape, value) in shapes.iter().flat_map(|shape| [(shape, range.from), (shape, range.to)]) {
        let missing = || Usage(format!("{} has no dimension {}", shape.op(), range.axis.name()));
        let end = range.axis.shape(shape, value).ok_or_else(missing)?;
        end.check("--sweep").map_err(|e| Usage(e.to_string()))?;
    }
    let mut sweeps: Vec<Sweep> = Vec::new();
    for shape in shapes {
        let at = |value| range.axis.shape(shape, value).unwrap_or_else(|| shape.clone());
        let key = problem::key(&at(range.from));
        if sweeps.iter().any(|s| range.axis.set(&s.key, range.from) == key) {
            continue;
        }
        let multiple = if range.axis == Axis::K { key.w.block() } else { 1 };
        let settings = Settings { multiple, ..Settings::new(range.from, range.to) };
        let mut one = |key: Key| measure(&at(range.axis.of(&key)));
        sweeps.push(run(&key, range.axis, &settings, &mut one)?);
    }
    Ok(sweeps)
}

/// Prints winners, crossovers and what choices cost.
pub fn print(sweeps: &[Sweep]) -> anyhow::Result<()> {
    let mut out = output::stdout();
    for s in sweeps {
        let axis = s.axis.name();
        writeln!(
            out,
            "\n{} over {axis}, {} points",
            s.axis.set(&s.key, 0).to_string().replace(&format!("{axis}=0"), &format!("{axis}=*")),
            s.points.len()
        )?;
        for segment in s.segments() {
            let Some(winner) = segment.order.first() else { continue };
            writeln!(out, "  {axis} {:>7} to {:<7} {winner}", segment.from, segment.to)?;
        }
        for c in s.crossovers() {
            let known = |v: Option<usize>| v.map_or("-".to_owned(), |v| v.to_string());
            let (low, high) = (known(c.low), known(c.high));
            writeln!(
                out,
                "  from {axis}={} on {} overtakes {}; beyond doubt they differ at {low} and at {high}",
                c.at, c.after, c.before
            )?;
        }
        if let Some(r) = s.regret() {
            for (name, cost) in [("the default order", &r.default), ("this table", &r.tuned)] {
                writeln!(
                    out,
                    "  {name} costs {:.1} % over the fastest on average, {:.1} % at worst ({axis}={})",
                    100.0 * (cost.mean - 1.0),
                    100.0 * (cost.worst - 1.0),
                    cost.at
                )?;
            }
        }
    }
    Ok(out.flush()?)
}

/// Fails where the table that the flags name could not be written.
pub fn prepare(header: &Header, args: &ProbeSweepArgs) -> anyhow::Result<()> {
    args.tuned.as_deref().map_or(Ok(()), |path| files::writable(&table_of(path, header)))
}

/// The table at `path`, or the device's own in this folder.
fn table_of(path: &Path, header: &Header) -> PathBuf {
    if path.is_dir() { path.join(tuned::file_name(&header.device, &header.description)) } else { path.to_owned() }
}

/// Writes the winners into the table that the flags name.
pub fn write(sweeps: &[Sweep], header: &Header, args: &ProbeSweepArgs) -> anyhow::Result<()> {
    let Some(path) = args.tuned.as_deref() else { return Ok(()) };
    let entries = sweeps.iter().flat_map(|s| &s.points).flat_map(|p| &p.problem.entries);
    let untrue = entries.filter(|e| e.enabled && matches!(e.outcome, Outcome::Impossible { .. })).count();
    anyhow::ensure!(
        untrue == 0,
        "{} is not written: {untrue} times cannot be true, and one may be a winner's",
        path.display()
    );
    let path = table_of(path, header);
    let newer = Table {
        header: tuned::Header {
            schema: tuned::SCHEMA,
            device: header.device.clone(),
            model: tuned::model(&header.description).to_owned(),
            description: header.description.clone(),
            commit: header.commit.clone(),
            started: header.started.clone(),
            command: header.command.clone(),
        },
        entries: sweeps.iter().flat_map(Sweep::entries).collect(),
    };
    let table = merged(&path, newer)?;
    files::write(&path, |out| Ok(out.write_all(table.text()?.as_bytes())?))?;
    output::note(format!("{}: {} entries", path.display(), table.entries.len()));
    Ok(())
}

/// The table at `path` with the newer entries; a table of another device is not touched.
fn merged(path: &Path, newer: Table) -> anyhow::Result<Table> {
    if !path.exists() {
        return Ok(newer);
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut table = Table::parse(&name, &text)?;
    anyhow::ensure!(
        (&table.header.device, &table.header.model) == (&newer.header.device, &newer.header.model),
        "{} is of {}, and this is {}",
        path.display(),
        table.header.model,
        newer.header.model
    );
    table.update(newer);
    Ok(table)
}
