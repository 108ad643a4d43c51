//! `probe`: every variant of an op on real shapes, beside the vendor's library and the device's limits.

mod device;
mod environment;
mod shapes;
mod sweep;
mod table;

use super::probe_report::Sink;
use crate::args::ProbeArgs;
use crate::errors::Usage;
use crate::interrupt::{self, Cancel};
use crate::output::Counted;
use crate::{clock, files, output, progress};
use anyhow::Context;
use device::Opened;
use environment::Environment;
use metallic_kernels::OPS;
use metallic_kernels::contract::{Op, Variant};
use metallic_probe::filter::Filter;
use metallic_probe::measure::{Lab, Settings, Step};
use metallic_probe::problem::Problem;
use metallic_probe::record::{Header, Outcome, Report, SCHEMA};
use metallic_probe::roofline::Ceiling;
use metallic_probe::spec::Shape;
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// Rounds where nobody says.
const ROUNDS: usize = 15;

/// Seed of all data.
const SEED: u64 = 42;

/// Measures what was asked for, and prints or writes it.
pub fn run(args: &ProbeArgs, cancel: Cancel) -> anyhow::Result<()> {
    let environment = Environment::read()?;
    let opened = device::open(args)?;
    let shapes = shapes::asked_for(args, &opened)?;
    let ops = ops(&shapes);
    let filter = Filter::new(&args.variants, if ops.is_empty() { OPS } else { &ops });
    let filter = filter.map_err(|e| Usage(e.to_string()))?;
    let takes = |v: &Variant| filter.takes(v) && environment.takes(v);
    anyone(&ops, &takes)?;
    let table = standard_output(args)?;
    if args.list || environment.lists_only() {
        return list((&shapes, &ops), &opened, &takes, args.all);
    }
    shapes::fit(&shapes, &opened)?;
    let start = Instant::now();
    let mut report = Report { header: header(&opened), roofline: None, problems: Vec::new() };
    let sink = Sink::open(&args.report, &report.header)?;
    args.json.as_deref().map_or(Ok(()), files::writable)?;
    sweep::prepare(&report.header, &args.sweep)?;
    let timed = !args.check && opened.has_clock();
    if timed && cfg!(debug_assertions) && opened.is_cpu() {
        output::note("this is a development build: times of native code are not those of a release");
    }
    let mut ceiling = if timed && !args.no_roofline { device::ceiling(&opened, args)? } else { None };
    report.roofline = ceiling.as_ref().map(|c| c.roofline().clone());
    if args.roofline && report.roofline.is_none() {
        return Err(Usage(format!("{} has no clock to measure limits with", opened.device.name())).into());
    }
    if table {
        table::head(&report)?;
    }
    let settings = Settings {
        rounds: args.rounds.map(|r| r as usize).or(environment.rounds).unwrap_or(ROUNDS),
        check_only: !timed,
        all: args.all,
        policy: opened.policy(),
    };
    let mut one = |shape: &Shape, place: (usize, usize)| -> anyhow::Result<metallic_probe::record::Problem> {
        let bar = progress::percent("probing");
        let mut progress = |s: Step| show(&bar, s, place, timed);
        let problem = Problem::new(shape, SEED);
        let ceiling = ceiling.as_deref_mut().map(|c| c as &mut dyn Ceiling);
        let device = &*opened.device;
        let mut lab = Lab { device, settings: &settings, takes: &takes, ceiling, progress: &mut progress, cancel };
        let found = lab.measure(&problem).with_context(|| problem.title.clone())?;
        bar.clear();
        if args.jsonl {
            output::json_line(&found)?;
        } else if table {
            table::problem(&found)?;
            if args.gaps { table::gaps(&found) } else { table::gap_count(&found) }?;
        }
        Ok(found)
    };
    let mut sweeps = Vec::new();
    if let Some(range) = args.sweep.sweep {
        let mut measured = |shape: &Shape| {
            interrupt::check(cancel)?;
            one(shape, (0, 1))
        };
        sweeps = sweep::all(range, &shapes, &mut measured)?;
        report.problems.extend(sweeps.iter().flat_map(|s| s.points.iter().map(|p| p.problem.clone())));
    } else {
        for (i, shape) in shapes.iter().enumerate() {
            if cancel.load(Ordering::Relaxed) {
                break;
            }
            let found = one(shape, (i, shapes.len()))?;
            report.problems.push(found);
        }
    }
    report.roofline = ceiling.as_ref().map(|c| c.roofline().clone());
    report.header.seconds = start.elapsed().as_secs_f64();
    report.header.conditions.extend(opened.condition());
    if table && !args.roofline {
        table::foot(&report)?;
    }
    if table {
        sweep::print(&sweeps)?;
    }
    json(&report, args)?;
    if interrupt::check(cancel).is_err() {
        // What was measured may be looked at; what is not whole is nothing to choose by or to compare with.
        sink.show(std::slice::from_ref(&report))?;
    }
    interrupt::check(cancel)?;
    sweep::write(&sweeps, &report.header, &args.sweep)?;
    let emitted = sink.emit(std::slice::from_ref(&report))?;
    verdict(&report)?;
    emitted.judge()
}

/// Writes the whole report, where that is asked for.
fn json(report: &Report, args: &ProbeArgs) -> anyhow::Result<()> {
    match args.json.as_deref() {
        None => Ok(()),
        Some(path) if files::is_stdout(path) => output::json(report),
        Some(path) => files::write(path, |out| Ok(writeln!(out, "{}", serde_json::to_string_pretty(report)?)?)),
    }
}

/// The ops of shapes, each once.
fn ops(shapes: &[Shape]) -> Vec<&'static Op> {
    let mut ops: Vec<&'static Op> = Vec::new();
    for op in shapes.iter().filter_map(|s| metallic_kernels::op(s.op())) {
        if !ops.iter().any(|known| known.name == op.name) {
            ops.push(op);
        }
    }
    ops
}

/// Fails where no variant takes part.
fn anyone(ops: &[&'static Op], takes: &dyn Fn(&Variant) -> bool) -> anyhow::Result<()> {
    for op in ops {
        if op.variants()?.iter().any(takes) {
            return Ok(());
        }
    }
    let names: Vec<&str> = ops.iter().map(|op| op.name).collect();
    let why = format!("no variant of {} takes part; loosen --variants or MATMUL_BACKENDS", names.join(" and "));
    if ops.is_empty() { Ok(()) } else { Err(Usage(why).into()) }
}

/// Whether standard output gets the tables. Two formats in one stream could not be read.
fn standard_output(args: &ProbeArgs) -> Result<bool, Usage> {
    let files = [("--json", &args.json), ("--csv", &args.report.csv), ("--html", &args.report.html)];
    let named = files.iter().filter(|(_, file)| file.as_deref().is_some_and(files::is_stdout)).map(|(flag, _)| *flag);
    let taken: Vec<&str> = args.jsonl.then_some("--jsonl").into_iter().chain(named).collect();
    match taken[..] {
        [] => Ok(true),
        [_] => Ok(false),
        _ => Err(Usage(format!("{} cannot both go to standard output; name a file", taken.join(" and ")))),
    }
}

/// Fails where a variant did.
fn verdict(report: &Report) -> anyhow::Result<()> {
    let outcomes = report.problems.iter().flat_map(|p| p.entries.iter().map(|e| &e.outcome));
    let (mut failed, mut impossible) = (0, 0);
    for outcome in outcomes {
        match outcome {
            Outcome::Failed { .. } => failed += 1,
            Outcome::Impossible { .. } => impossible += 1,
            Outcome::Measured(_) | Outcome::Checked { .. } | Outcome::Gap { .. } => {}
        }
    }
    anyhow::ensure!(
        failed + impossible == 0,
        "{}; the table says why",
        [(failed, "failed"), (impossible, "with a time that cannot be true")]
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{} {what}", Counted(*count, "variant")))
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(())
}

fn header(opened: &Opened) -> Header {
    Header {
        schema: SCHEMA,
        started: clock::now(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: env!("METALLIC_COMMIT").to_owned(),
        command: command(),
        device: opened.device.name().to_owned(),
        description: opened.device.describe(),
        conditions: opened.condition().into_iter().collect(),
        seconds: 0.0,
    }
}

/// The command as a shell takes it, with what the environment says in front.
fn command() -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./,=:+".contains(c);
    let quote = |a: &str| {
        if !a.is_empty() && a.chars().all(plain) { a.to_owned() } else { format!("'{}'", a.replace('\'', "'\\''")) }
    };
    let set = environment::NAMES.iter().filter_map(|n| Some(format!("{n}={}", quote(&std::env::var(n).ok()?))));
    let args = std::env::args().skip(1).map(|a| quote(&a));
    set.chain(std::iter::once("metallic".to_owned())).chain(args).collect::<Vec<_>>().join(" ")
}

/// A problem's share of the bar is parted between checking and timing.
fn show(bar: &progress::Bar, step: Step, (problem, of): (usize, usize), timed: bool) {
    const SHARE: usize = 100;
    let part = SHARE * step.done / step.of.max(1);
    let inside = match (timed, step.doing) {
        (false, _) => part,
        (true, "checking") => part * 2 / 5,
        (true, _) => SHARE * 2 / 5 + part * 3 / 5,
    };
    bar.at((problem * SHARE + inside) as u64, (of * SHARE) as u64);
}

/// What would run.
fn list(
    (shapes, ops): (&[Shape], &[&'static Op]),
    opened: &Opened,
    takes: &dyn Fn(&Variant) -> bool,
    all: bool,
) -> anyhow::Result<()> {
    let mut out = output::stdout();
    writeln!(out, "{}: {}", opened.device.name(), opened.device.describe())?;
    for shape in shapes {
        writeln!(out, "  {}", shape.title())?;
    }
    for op in ops {
        for v in op.variants()?.iter().filter(|v| takes(v)) {
            let targets = &opened.device.limits().targets;
            let why = match () {
                () if !targets.contains(&v.target()) => "  (for another device)",
                () if !v.enabled && !all => "  (disabled; --all runs it)",
                () => "",
            };
            writeln!(out, "  {}/{}{why}", op.name, v.id())?;
        }
    }
    out.flush()?;
    Ok(())
}
