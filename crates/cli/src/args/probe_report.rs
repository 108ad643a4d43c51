//! What becomes of a probe's report: flags of `probe`, and `report`, which takes reports from files.

use clap::Args;
use std::path::PathBuf;

/// Where a report goes, and what it is compared with.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Report")]
pub struct ProbeReportArgs {
    /// Write one page for a browser: bars beside the library and the floor, time over n, k and m, a heat map, a table. It holds its
    /// data and needs no network
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Write one row for each variant on each problem; `-` is standard output
    #[arg(long, value_name = "FILE")]
    pub csv: Option<PathBuf>,
    /// Keep the run in this SQLite file, which is made where it is not there; a run that it holds is not added again
    #[arg(long, value_name = "FILE")]
    pub history: Option<PathBuf>,
    /// Say what became slower since BASE: a JSON file, or, in the history, `last`, the number of a run, or a commit. Fails where
    /// something did
    #[arg(long, value_name = "BASE")]
    pub compare: Option<String>,
    /// Smallest slowdown that --compare reports, in percent
    #[arg(long, value_name = "PERCENT", default_value_t = 2.0, requires = "compare", value_parser = percent)]
    pub threshold: f64,
}

fn percent(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    if (0.1..=100.0).contains(&value) { Ok(value) } else { Err("from 0.1 to 100".to_owned()) }
}

const REPORT_HELP: &str = "\
What --compare says of a variant on a problem:
  SLOWER     the time grew by --threshold or more, and that much by chance has a probability of 1 %
             at most, over the whole table: unchanged code raises any alarm in one comparison of a
             hundred
  FASTER     the same, downwards
  BROKE      it had a time and has none: a gap, a failed check, an impossible time
  the same   the interval of the change lies within the threshold
  unsure     neither can be shown: measure more rounds, or on a quieter machine
Times of libraries tell how fast the machine itself is now, and are taken out. Runs of different
devices, drivers or compilers are not compared. On a CPU two runs differ by a few percent because
memory lies elsewhere; compare what was measured in one run where you can.

Examples:
  metallic report results/probe.json --html page.html          a page of a committed run
  metallic report before.json after.json --html both.html      of two, one beside the other
  metallic report results/*.json --history runs.sqlite         gather runs
  metallic report --history runs.sqlite                        list them
  metallic report --history runs.sqlite --run 3 --csv - | column -s, -t
  metallic report after.json --compare before.json             what became slower?
  metallic report after.json --compare last --history runs.sqlite

Exit codes: 0 done, 1 something became slower or broke, or a file cannot be read or written, 2 wrong
usage, or a base of another device.";

/// `report`.
#[derive(Args, Clone, Debug)]
#[command(after_help = REPORT_HELP)]
pub struct ReportArgs {
    /// Reports that `metallic probe --json` wrote: JSON, or one a line
    #[arg(value_name = "FILE", required_unless_present = "history")]
    pub files: Vec<PathBuf>,
    /// Take this run of the history too; may be repeated
    #[arg(long, value_name = "N", requires = "history")]
    pub run: Vec<i64>,
    #[command(flatten)]
    pub report: ProbeReportArgs,
}
