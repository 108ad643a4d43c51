//! One row for each variant on each problem (RFC 4180).

use std::io::{self, Write};

use super::Standing;
use crate::record::{Check, Entry, Measured, Outcome, Problem, Report, Times};

/// Names of the columns. Times are microseconds a launch, `_low` and `_high` the ends of the median's 95 % interval; what does not
/// apply is empty.
const COLUMNS: [&str; 36] = [
    "device",
    "description",
    "commit",
    "started",
    "op",
    "problem",
    "detail",
    "key",
    "m",
    "n",
    "k",
    "batch",
    "bytes",
    "flops",
    "floor_us",
    "variant",
    "target",
    "enabled",
    "outcome",
    "cold_us",
    "cold_low_us",
    "cold_high_us",
    "hot_us",
    "hot_low_us",
    "hot_high_us",
    "cold_host_us",
    "rounds",
    "cold_to_vendor",
    "hot_to_vendor",
    "roofline_percent",
    "gigabytes_a_second",
    "gigaflops",
    "compared",
    "worst_error_of_budget",
    "entry",
    "reason",
];

/// Writes all rows of all reports under one line of names.
///
/// # Errors
/// What the writer says.
pub fn write(reports: &[Report], out: &mut (impl Write + ?Sized)) -> io::Result<()> {
    line(out, COLUMNS.map(str::to_owned))?;
    for report in reports {
        for problem in &report.problems {
            for entry in &problem.entries {
                line(out, row(report, problem, entry))?;
            }
        }
    }
    Ok(())
}

fn line(out: &mut (impl Write + ?Sized), cells: [String; COLUMNS.len()]) -> io::Result<()> {
    out.write_all(cells.map(quoted).join(",").as_bytes())?;
    out.write_all(b"\r\n")
}

fn quoted(cell: String) -> String {
    if cell.contains(['"', ',', '\r', '\n']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell }
}

fn row(report: &Report, p: &Problem, e: &Entry) -> [String; COLUMNS.len()] {
    let measured = match &e.outcome {
        Outcome::Measured(m) => Some(m),
        _ => None,
    };
    let check = match &e.outcome {
        Outcome::Measured(Measured { check, .. }) | Outcome::Checked { check } => Some(check),
        _ => None,
    };
    let standing = measured.map(|m| Standing::of(p, m)).unwrap_or_default();
    let time = |pick: fn(&Times) -> f64, of: fn(&Measured) -> &Times| number(measured.map(|m| pick(of(m))));
    let [cold, hot]: [fn(&Measured) -> &Times; 2] = [|m| &m.cold, |m| &m.hot];
    // Operations a microsecond are millions a second.
    let rate = |count: u64| number(measured.map(|m| count as f64 / m.cold.median_us / 1e3));
    [
        report.header.device.clone(),
        report.header.description.clone(),
        report.header.commit.clone(),
        report.header.started.clone(),
        p.op.clone(),
        p.title.clone(),
        p.detail.clone(),
        p.key.clone(),
        p.shape.m.to_string(),
        p.shape.n.to_string(),
        p.shape.k.to_string(),
        p.shape.batch.to_string(),
        p.bytes.to_string(),
        p.flops.to_string(),
        number(p.floor_us),
        e.variant.clone(),
        e.target.clone(),
        e.enabled.to_string(),
        e.outcome.name().to_owned(),
        time(|t| t.median_us, cold),
        time(|t| t.low_us, cold),
        time(|t| t.high_us, cold),
        time(|t| t.median_us, hot),
        time(|t| t.low_us, hot),
        time(|t| t.high_us, hot),
        time(|t| t.host_us, cold),
        measured.map_or_else(String::new, |m| m.cold.rounds.len().to_string()),
        number(standing.vendor_cold),
        number(standing.vendor_hot),
        number(standing.roofline.map(|part| 100.0 * part)),
        rate(p.bytes),
        rate(p.flops),
        check.map_or_else(String::new, |c: &Check| c.compared.to_string()),
        number(check.map(|c| c.worst)),
        measured.map_or_else(String::new, |m| m.entry.clone()),
        e.outcome.reason().unwrap_or_default().to_owned(),
    ]
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(String::new, |v| format!("{v:.4}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::report;

    /// Rows and their cells, by RFC 4180.
    fn read(text: &str) -> Vec<Vec<String>> {
        let (mut rows, mut row, mut cell, mut inside) = (Vec::new(), Vec::new(), String::new(), false);
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '"' if inside && chars.peek() == Some(&'"') => cell.extend(chars.next()),
                '"' => inside = !inside,
                ',' if !inside => row.push(std::mem::take(&mut cell)),
                '\r' if !inside => {}
                '\n' if !inside => {
                    row.push(std::mem::take(&mut cell));
                    rows.push(std::mem::take(&mut row));
                }
                c => cell.push(c),
            }
        }
        rows
    }

    #[test]
    fn a_row_for_every_entry_and_every_outcome() {
        let mut r = report(1, &[]);
        r.problems[0].entries[0].outcome = Outcome::Failed { reason: "\"nan\", then\nnothing".to_owned() };
        let mut text = Vec::new();
        write(std::slice::from_ref(&r), &mut text).unwrap();
        let rows = read(&String::from_utf8(text).unwrap());
        let at = |name: &str| COLUMNS.iter().position(|c| *c == name).unwrap();
        assert_eq!(rows.len(), 1 + r.problems.iter().map(|p| p.entries.len()).sum::<usize>());
        assert!(rows.iter().all(|row| row.len() == COLUMNS.len()));
        assert_eq!(rows[1][at("reason")], "\"nan\", then\nnothing");
        let outcomes: std::collections::BTreeSet<_> = rows[1..].iter().map(|row| row[at("outcome")].as_str()).collect();
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["failed", "gap", "impossible", "measured"]);
    }

    #[test]
    fn a_library_stands_at_one_and_a_variant_by_its_ratio() {
        let r = report(1, &[]);
        let p = &r.problems[1];
        let (_, vendor) = p.vendor().unwrap();
        assert_eq!(Standing::of(p, vendor).vendor_cold, Some(1.0));
        let (_, best) = p.winner().unwrap();
        let standing = Standing::of(p, best);
        assert_eq!(standing.vendor_cold, Some(best.cold.median_us / vendor.cold.median_us));
        assert!(standing.roofline.unwrap() < 1.0);
    }
}
