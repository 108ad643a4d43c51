//! `probe`'s tables.

use crate::output::{self, Align, Counted, Table};
use metallic_probe::record::{Entry, Measured, Outcome, Problem, Report, Roofline, Times};
use std::collections::BTreeMap;
use std::io::Write;

const COLUMNS: [(&str, Align); 8] = [
    ("variant", Align::Left),
    ("cold us", Align::Right),
    ("95 %", Align::Left),
    ("hot us", Align::Right),
    ("roofline", Align::Right),
    ("to library", Align::Right),
    ("host us", Align::Right),
    ("check", Align::Left),
];

/// What a narrow terminal goes without, in this order; every record has all of it.
const EXPENDABLE: [&str; 5] = ["host us", "check", "95 %", "hot us", "to library"];

/// The device and its limits.
pub fn head(report: &Report) -> anyhow::Result<()> {
    let mut out = output::stdout();
    writeln!(out, "{}: {}", report.header.device, report.header.description)?;
    if let Some(r) = &report.roofline {
        writeln!(out, "{}", limits(r))?;
    }
    out.flush()?;
    Ok(())
}

fn limits(r: &Roofline) -> String {
    let mut text = format!(
        "limits: read {:.0} GB/s, write {:.0}, copy {:.0}; f32 {:.2} TFLOP/s, f16 {:.1}; a launch {:.2} us",
        r.read * 1e-9,
        r.write * 1e-9,
        r.copy * 1e-9,
        r.f32_flops * 1e-12,
        r.f16_flops * 1e-12,
        r.launch_us
    );
    if let Some(us) = r.barrier_us {
        text += &format!(", {us:.2} more behind another");
    }
    text
}

/// One problem: its variants, the fastest first, and those that were only checked or failed.
pub fn problem(p: &Problem) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let floor = p.floor_us.map_or(String::new(), |us| format!(", at least {us:.2} us"));
    writeln!(out, "\n{}  ({:.1} MB, {:.2} GFLOP{floor})", p.title, p.bytes as f64 * 1e-6, p.flops as f64 * 1e-9)?;
    let mut rows: Vec<(&Entry, &Measured)> = p.measured().collect();
    rows.sort_by(|a, b| a.1.cold.median_us.total_cmp(&b.1.cold.median_us));
    let vendor = p.vendor().map(|(_, m)| m.cold.median_us);
    let winner = p.winner().map(|(e, _)| e.variant.as_str());
    if !rows.is_empty() {
        let mut table = Table::new(&COLUMNS);
        for (e, m) in rows {
            let mark = if Some(e.variant.as_str()) == winner { "* " } else { "  " };
            let part = p.floor_us.map_or("-".to_owned(), |us| format!("{:.0} %", us / m.cold.median_us * 100.0));
            table.row([
                format!("{mark}{}", e.variant),
                format!("{:.2}", m.cold.median_us),
                interval(&m.cold),
                format!("{:.2}", m.hot.median_us),
                part,
                vendor.map_or("-".to_owned(), |us| format!("{:.2}x", us / m.cold.median_us)),
                format!("{:.2}", (m.cold.host_us - m.cold.median_us).max(0.0)),
                format!("{:.3} of budget", m.check.worst),
            ]);
        }
        table.narrow(output::width(), &EXPENDABLE).write(&mut out)?;
    }
    untimed(p, &mut out)?;
    out.flush()?;
    Ok(())
}

/// The interval of the median; one round has none.
fn interval(times: &Times) -> String {
    if times.rounds.len() == 1 { "1 round".to_owned() } else { format!("{:.2}-{:.2}", times.low_us, times.high_us) }
}

/// What was checked alone, and what failed.
fn untimed(p: &Problem, out: &mut impl Write) -> anyhow::Result<()> {
    let (mut checked, mut worst) = (0, 0.0f64);
    for e in &p.entries {
        match &e.outcome {
            Outcome::Measured(_) | Outcome::Gap { .. } => {}
            Outcome::Checked { check } => {
                (checked, worst) = (checked + 1, worst.max(check.worst));
            }
            Outcome::Failed { reason } => writeln!(out, "  FAILED      {}: {reason}", e.variant)?,
            Outcome::Impossible { reason } => writeln!(out, "  IMPOSSIBLE  {}: {reason}", e.variant)?,
        }
    }
    if checked > 0 {
        writeln!(
            out,
            "  {} passed the check, the largest error {worst:.3} of what is allowed",
            Counted(checked, "variant")
        )?;
    }
    Ok(())
}

/// Every reason why variants did not run.
pub fn gaps(p: &Problem) -> anyhow::Result<()> {
    let mut out = output::stdout();
    for (reason, variants) in reasons(p) {
        writeln!(out, "  gap: {reason}: {}", variants.join(", "))?;
    }
    out.flush()?;
    Ok(())
}

/// How many variants did not run, and the commonest reasons.
pub fn gap_count(p: &Problem) -> anyhow::Result<()> {
    let mut common: Vec<_> = reasons(p).into_iter().map(|(reason, variants)| (variants.len(), reason)).collect();
    if common.is_empty() {
        return Ok(());
    }
    common.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
    let count: usize = common.iter().map(|(count, _)| count).sum();
    let words: Vec<String> = common.iter().take(2).map(|(count, reason)| format!("{count}: {reason}")).collect();
    let more = if common.len() > 2 { "; ..." } else { "" };
    let mut out = output::stdout();
    writeln!(out, "  {count} did not run ({}{more}); --gaps tells every reason", words.join("; "))?;
    out.flush()?;
    Ok(())
}

/// The variants that did not run, by the reason.
fn reasons(p: &Problem) -> BTreeMap<&str, Vec<&str>> {
    let mut reasons = BTreeMap::<&str, Vec<&str>>::new();
    for e in &p.entries {
        if let Outcome::Gap { reason } = &e.outcome {
            reasons.entry(reason).or_default().push(&e.variant);
        }
    }
    reasons
}

/// Who won how often, and by how much.
pub fn foot(report: &Report) -> anyhow::Result<()> {
    let mut out = output::stdout();
    let mut wins = BTreeMap::<&str, usize>::new();
    let mut ratios = Vec::new();
    for p in &report.problems {
        let Some((entry, best)) = p.winner() else { continue };
        *wins.entry(&entry.variant).or_default() += 1;
        if let Some((_, vendor)) = p.vendor() {
            ratios.push(vendor.cold.median_us / best.cold.median_us);
        }
    }
    if !wins.is_empty() {
        let mut list: Vec<_> = wins.into_iter().collect();
        list.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let words: Vec<String> = list.iter().map(|(variant, count)| format!("{variant} {count}")).collect();
        writeln!(out, "\nfastest of ours: {}", words.join(", "))?;
    }
    if !ratios.is_empty() {
        let mean = (ratios.iter().map(|r| r.ln()).sum::<f64>() / ratios.len() as f64).exp();
        let ahead = ratios.iter().filter(|r| **r > 1.0).count();
        writeln!(
            out,
            "against the fastest library, cold: {mean:.2}x (geometric mean), ahead on {ahead} of {}",
            Counted(ratios.len(), "problem")
        )?;
    }
    writeln!(out, "{} in {:.1} s", Counted(report.problems.len(), "problem"), report.header.seconds)?;
    out.flush()?;
    Ok(())
}
