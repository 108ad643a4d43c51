//! What becomes of reports of the probe: a page, a table, a history, a comparison. And `report`, for those in files.

use crate::args::{ProbeReportArgs, ReportArgs};
use crate::errors::Usage;
use crate::files;
use crate::output::{self, Align, Table};
use anyhow::Context;
use metallic_ops::tuned;
use metallic_probe::compare::{Comparison, Rule, compare, same_device};
use metallic_probe::history::{self, History, Which};
use metallic_probe::record::{Header, Report};
use metallic_probe::report::{csv, html};
use std::io::Write;
use std::path::Path;

/// Where reports go, opened before anything is measured: what cannot be had is said at once.
pub struct Sink<'a> {
    args: &'a ProbeReportArgs,
    history: Option<History>,
    base: Option<Report>,
}

/// What came of a report.
#[derive(Default)]
#[must_use = "a regression fails the command"]
pub struct Emitted {
    /// What changed since the base that was asked for.
    comparison: Option<Comparison>,
}

impl Emitted {
    /// Fails where something became slower or broke.
    pub fn judge(&self) -> anyhow::Result<()> {
        let regressions = self.comparison.iter().flat_map(Comparison::regressions).count();
        anyhow::ensure!(regressions == 0, "{regressions} of our variants became slower or broke");
        Ok(())
    }
}

impl Sink<'_> {
    /// Opens the history and finds the base for a run that begins with this header.
    pub fn open<'a>(args: &'a ProbeReportArgs, header: &Header) -> anyhow::Result<Sink<'a>> {
        for path in [&args.html, &args.csv].into_iter().flatten() {
            files::writable(path)?;
        }
        let history = args.history.as_deref().map(History::open).transpose()?;
        let base = args.compare.as_deref().map(|text| base(text, header, history.as_ref())).transpose()?;
        if let Some(base) = &base {
            same_device(&base.header, header).map_err(|e| Usage(e.to_string()))?;
        }
        Ok(Sink { args, history, base })
    }

    /// Writes the page and the table.
    pub fn show(&self, reports: &[Report]) -> anyhow::Result<()> {
        if let Some(path) = &self.args.html {
            write(path, |out| Ok(out.write_all(html::page(reports)?.as_bytes())?))?;
        }
        if let Some(path) = &self.args.csv {
            write(path, |out| Ok(csv::write(reports, out)?))?;
        }
        Ok(())
    }

    /// Writes reports wherever the flags say, and compares the first with the base. The comparison is told on standard error:
    /// standard output may be another format's.
    pub fn emit(self, reports: &[Report]) -> anyhow::Result<Emitted> {
        self.show(reports)?;
        if let (Some(mut history), Some(path)) = (self.history, &self.args.history) {
            for report in reports {
                let run = history.add(report)?;
                output::note(format!("{}: run {run} of {}", path.display(), report.header.commit));
            }
        }
        let (Some(base), Some(report)) = (self.base, reports.first()) else { return Ok(Emitted::default()) };
        let rule = Rule { threshold: self.args.threshold / 100.0, ..Rule::on(&report.header.device) };
        let comparison = compare(&base, report, &rule)?;
        output::note(&comparison);
        Ok(Emitted { comparison: Some(comparison) })
    }
}

/// The report that `text` names: a file, or a run of the history.
fn base(text: &str, header: &Header, history: Option<&History>) -> anyhow::Result<Report> {
    if text.is_empty() {
        return Err(Usage("--compare wants a JSON file, `last`, the number of a run, or a commit".to_owned()).into());
    }
    let path = Path::new(text);
    if path.is_file() {
        let mut reports = history::read(path)?;
        let same = |r: &Report| r.header.description == header.description;
        let at = reports.iter().rposition(same).or(reports.len().checked_sub(1));
        return at.map(|at| reports.swap_remove(at)).with_context(|| format!("{text} holds no report"));
    }
    let Some(history) = history else {
        return Err(Usage(format!(
            "--compare {text}: there is no such file; runs and commits are looked for in --history FILE"
        ))
        .into());
    };
    Ok(history.load(history.find(&Which::parse(text), header)?.run)?)
}

/// Writes a file, or standard output for `-`.
fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    if !files::is_stdout(path) {
        return files::write(path, content);
    }
    let mut out = output::stdout();
    content(&mut out)?;
    Ok(out.flush()?)
}

/// Takes reports from files and the history, and does with them what `probe` does with its own.
pub fn run(args: &ReportArgs) -> anyhow::Result<()> {
    let asked = &args.report;
    let mut reports = Vec::new();
    for file in &args.files {
        reports.extend(history::read(file)?);
    }
    if let Some(path) = &asked.history {
        if args.files.is_empty() {
            known(path)?;
        }
        if args.files.is_empty() && args.run.is_empty() {
            if asked.html.is_some() || asked.csv.is_some() || asked.compare.is_some() {
                let why = "which runs of the history? Give --run N; `metallic report --history FILE` lists them";
                return Err(Usage(why.to_owned()).into());
            }
            return list(path);
        }
        let history = History::open(path)?;
        for run in &args.run {
            reports.push(history.load(*run)?);
        }
    }
    let stdout = [&asked.html, &asked.csv].into_iter().flatten().filter(|path| files::is_stdout(path)).count();
    if stdout > 1 {
        return Err(Usage("--html and --csv cannot both go to standard output; name a file".to_owned()).into());
    }
    if asked.html.is_none() && asked.csv.is_none() && asked.history.is_none() && asked.compare.is_none() {
        return Err(
            Usage("nothing to do with the reports: give --html, --csv, --history or --compare".to_owned()).into()
        );
    }
    if asked.compare.is_some() && reports.len() != 1 {
        return Err(Usage(format!("--compare takes one report to compare, not {}", reports.len())).into());
    }
    let Some(first) = reports.first() else { anyhow::bail!("the files hold no report") };
    Sink::open(asked, &first.header)?.emit(&reports)?.judge()
}

/// Fails where there is no history.
fn known(path: &Path) -> anyhow::Result<()> {
    anyhow::ensure!(
        path.is_file(),
        "{} does not exist; `metallic report FILE --history {0}` begins it",
        path.display()
    );
    Ok(())
}

/// The runs of a history.
fn list(path: &Path) -> anyhow::Result<()> {
    let runs = History::open(path)?.runs()?;
    let mut table = Table::new(&[
        ("run", Align::Right),
        ("started", Align::Left),
        ("commit", Align::Left),
        ("device", Align::Left),
        ("problems", Align::Right),
        ("times", Align::Right),
        ("command", Align::Left),
    ]);
    for r in runs {
        let numbers = [r.problems.to_string(), r.measured.to_string()];
        let words = [r.run.to_string(), r.started, r.commit, tuned::model(&r.description).to_owned()];
        table.row(words.into_iter().chain(numbers).chain([r.command]));
    }
    let mut out = output::stdout();
    table.write(&mut out)?;
    Ok(out.flush()?)
}
