//! What the page needs of reports, small: names and reasons once, entries as rows of numbers, no single rounds.

use std::collections::HashMap;

use serde::Serialize;

use crate::record::{Entry, Header, Measured, Outcome, Problem, Report, Roofline, Times};

/// All runs.
#[derive(Serialize)]
pub struct Data<'a> {
    runs: Vec<Run<'a>>,
}

#[derive(Serialize)]
struct Run<'a> {
    header: &'a Header,
    roofline: Option<&'a Roofline>,
    /// Name, target, whether the manifest enables it.
    variants: Vec<(&'a str, &'a str, bool)>,
    reasons: Vec<&'a str>,
    problems: Vec<Shown<'a>>,
}

#[derive(Serialize)]
struct Shown<'a> {
    op: &'a str,
    title: &'a str,
    key: &'a str,
    detail: &'a str,
    /// m, n, k, batch.
    shape: [usize; 4],
    bytes: u64,
    flops: u64,
    floor: Option<f64>,
    entries: Vec<Row<'a>>,
}

/// A variant's number, then what became of it.
#[derive(Serialize)]
struct Row<'a>(usize, Found<'a>);

#[derive(Serialize)]
#[serde(untagged)]
enum Found<'a> {
    Times {
        /// Median and the ends of its interval, rounds, launches of a submission.
        cold: [f64; 5],
        hot: [f64; 5],
        host: f64,
        /// Compared elements, elements, worst error.
        check: (u64, u64, f64),
        entry: &'a str,
        grid: [u32; 3],
        threads: [u32; 3],
    },
    Word {
        outcome: &'static str,
        reason: Option<usize>,
    },
}

#[derive(Default)]
struct Names<'a>(Vec<&'a str>, HashMap<&'a str, usize>);

impl<'a> Names<'a> {
    fn number(&mut self, name: &'a str) -> usize {
        *self.1.entry(name).or_insert_with(|| {
            self.0.push(name);
            self.0.len() - 1
        })
    }
}

impl<'a> Data<'a> {
    /// The data of `reports`.
    pub fn of(reports: &'a [Report]) -> Data<'a> {
        Data { runs: reports.iter().map(run).collect() }
    }
}

fn run(report: &Report) -> Run<'_> {
    let (mut variants, mut reasons) = (Vec::new(), Names::default());
    let mut numbers = HashMap::new();
    let problems = report
        .problems
        .iter()
        .map(|p| {
            let entries = p.entries.iter().map(|e| {
                let number = *numbers.entry(e.variant.as_str()).or_insert_with(|| {
                    variants.push((e.variant.as_str(), e.target.as_str(), e.enabled));
                    variants.len() - 1
                });
                Row(number, found(e, &mut reasons))
            });
            shown(p, entries.collect())
        })
        .collect();
    Run { header: &report.header, roofline: report.roofline.as_ref(), variants, reasons: reasons.0, problems }
}

fn shown<'a>(p: &'a Problem, entries: Vec<Row<'a>>) -> Shown<'a> {
    let s = p.shape;
    Shown {
        op: &p.op,
        title: &p.title,
        key: &p.key,
        detail: &p.detail,
        shape: [s.m, s.n, s.k, s.batch],
        bytes: p.bytes,
        flops: p.flops,
        floor: p.floor_us,
        entries,
    }
}

fn found<'a>(entry: &'a Entry, reasons: &mut Names<'a>) -> Found<'a> {
    match &entry.outcome {
        Outcome::Measured(m) => times(m),
        other => Found::Word { outcome: other.name(), reason: other.reason().map(|r| reasons.number(r)) },
    }
}

fn times(m: &Measured) -> Found<'_> {
    let short = |t: &Times| [t.median_us, t.low_us, t.high_us, t.rounds.len() as f64, t.launches as f64].map(rounded);
    Found::Times {
        cold: short(&m.cold),
        hot: short(&m.hot),
        host: rounded(m.cold.host_us),
        check: (m.check.compared, m.check.elements, rounded(m.check.worst)),
        entry: &m.entry,
        grid: m.grid,
        threads: m.threads,
    }
}

/// Five digits: more than any clock here tells.
fn rounded(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return value;
    }
    // Division by a power of ten that is whole keeps the digits short in JSON; a product with 1e-3 does not.
    let digits = (4.0 - value.abs().log10().floor()).max(0.0);
    let whole = 10f64.powf(digits);
    (value * whole).round() / whole
}
