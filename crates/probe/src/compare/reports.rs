//! Two reports of one device, entry by entry.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::machine::Machine;
use super::{Pairing, Rule, Shift, Verdict, adjust, shift};
use crate::record::{Entry, Header, Measured, Outcome, Problem, Report, Times};

/// Why two reports cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// Times of different devices, drivers or compilers.
    #[error(
        "the runs are of different devices, and their times say nothing about the code: base {base:?}, new {new:?}; \
         compare with a run of this device"
    )]
    Device {
        /// Description of the base's device.
        base: String,
        /// Description of the new run's device.
        new: String,
    },
    /// No entry of one is in the other.
    #[error("the runs share no problem and variant that both measured; base: {base}; new: {new}")]
    Disjoint {
        /// Command of the base.
        base: String,
        /// Command of the new run.
        new: String,
    },
}

/// What changed from one report to another.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Commit and start of the base.
    pub base: String,
    /// Commit and start of the new run.
    pub new: String,
    /// What counts, with the noise between the runs as it was used.
    pub rule: Rule,
    /// How many times as slow the machine itself is now, told by the libraries, whose code did not change; base times are multiplied
    /// by it. 1 where too few libraries were measured to tell.
    pub drift: f64,
    /// Times of libraries that the drift was told from.
    pub controls: usize,
    /// Every variant on every problem that is in either.
    pub cells: Vec<Cell>,
}

/// A variant on a problem.
#[derive(Clone, Debug, Serialize)]
pub struct Cell {
    /// The op.
    pub op: String,
    /// The problem for people.
    pub problem: String,
    /// `family/name`.
    pub variant: String,
    /// A library's times are controls: not ours to answer for.
    pub library: bool,
    /// What happened.
    #[serde(flatten)]
    pub change: Change,
}

/// What happened to a variant on a problem.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    /// Measured in both.
    Timed {
        /// With operands from memory.
        cold: State,
        /// With operands from the caches.
        hot: State,
    },
    /// Measured in the base, and now without a time.
    Broke {
        /// Why.
        reason: String,
    },
    /// Without a time in the base, and now measured.
    Mended,
    /// Not in the base.
    Added,
    /// Only in the base.
    Gone,
    /// In both, without a time in either.
    Untimed,
}

/// Times in one state of the caches.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct State {
    /// Median of the base, microseconds.
    pub base_us: f64,
    /// Median now, microseconds.
    pub new_us: f64,
    /// The shift, its p-values adjusted for all that were judged; `None` with too few rounds.
    pub shift: Option<Shift>,
    /// What it means.
    pub verdict: Verdict,
}

pub(super) type Id<'a> = (&'a str, &'a str, &'a str);

fn entries(report: &Report) -> impl Iterator<Item = (Id<'_>, &Problem, &Entry)> {
    report
        .problems
        .iter()
        .flat_map(|p| p.entries.iter().map(move |e| ((p.key.as_str(), p.detail.as_str(), e.variant.as_str()), p, e)))
}

pub(super) fn times(entry: &Entry) -> Option<&Measured> {
    match &entry.outcome {
        Outcome::Measured(m) => Some(m),
        _ => None,
    }
}

/// Fails where times of the two runs say nothing about the code.
///
/// # Errors
/// [`CompareError::Device`].
pub fn same_device(base: &Header, new: &Header) -> Result<(), CompareError> {
    if (&base.device, &base.description) == (&new.device, &new.description) {
        return Ok(());
    }
    Err(CompareError::Device { base: base.description.clone(), new: new.description.clone() })
}

/// Compares `new` with `base`.
///
/// # Errors
/// Reports of different devices, or without a common measurement.
pub fn compare(base: &Report, new: &Report, rule: &Rule) -> Result<Comparison, CompareError> {
    same_device(&base.header, &new.header)?;
    let before: HashMap<Id<'_>, &Entry> = entries(base).map(|(id, _, e)| (id, e)).collect();
    let after: HashMap<Id<'_>, &Entry> = entries(new).map(|(id, _, e)| (id, e)).collect();
    let machine = Machine::of(&before, &after, rule);
    let rule = Rule { run_noise: machine.noise, ..*rule };
    let cell = |(p, e): (&Problem, &Entry), change| Cell {
        op: p.op.clone(),
        problem: if p.detail.is_empty() { p.title.clone() } else { format!("{} {}", p.title, p.detail) },
        variant: e.variant.clone(),
        library: e.is_library(),
        change,
    };
    let now = entries(new).map(|(id, p, e)| cell((p, e), change(before.get(&id).copied(), e, machine.drift, &rule)));
    let gone = entries(base).filter(|(id, ..)| !after.contains_key(id)).map(|(_, p, e)| cell((p, e), Change::Gone));
    let mut cells: Vec<Cell> = now.chain(gone).collect();
    judge(&mut cells, &rule);
    let origin = |r: &Report| format!("{} of {}", r.header.commit, r.header.started);
    let comparison = Comparison {
        base: origin(base),
        new: origin(new),
        rule,
        drift: machine.drift,
        controls: machine.controls,
        cells,
    };
    if comparison.judged() == 0 {
        return Err(CompareError::Disjoint { base: base.header.command.clone(), new: new.header.command.clone() });
    }
    Ok(comparison)
}

fn change(before: Option<&Entry>, now: &Entry, drift: f64, rule: &Rule) -> Change {
    let Some(before) = before else { return Change::Added };
    match (times(before), times(now)) {
        (Some(b), Some(n)) => {
            let state = |b: &Times, n: &Times| {
                let expected: Vec<f64> = b.rounds.iter().map(|t| t * drift).collect();
                State {
                    base_us: b.median_us,
                    new_us: n.median_us,
                    shift: shift(&expected, &n.rounds, Pairing::Apart, rule),
                    verdict: Verdict::Unsure,
                }
            };
            Change::Timed { cold: state(&b.cold, &n.cold), hot: state(&b.hot, &n.hot) }
        }
        (Some(_), None) => Change::Broke { reason: now.outcome.reason().unwrap_or("it was not timed").to_owned() },
        (None, Some(_)) => Change::Mended,
        (None, None) => Change::Untimed,
    }
}

/// Adjusts all shifts together and gives each its verdict.
fn judge(cells: &mut [Cell], rule: &Rule) {
    let mut states: Vec<&mut State> = cells
        .iter_mut()
        .filter(|c| !c.library)
        .filter_map(|c| match &mut c.change {
            Change::Timed { cold, hot } => Some([cold, hot]),
            _ => None,
        })
        .flatten()
        .collect();
    adjust(&mut states.iter_mut().filter_map(|s| s.shift.as_mut()).collect::<Vec<_>>());
    for state in states {
        state.verdict = state.shift.map_or(Verdict::Unsure, |s| s.verdict(rule));
    }
}

impl Comparison {
    /// Times that a verdict was sought for.
    pub fn judged(&self) -> usize {
        2 * self.cells.iter().filter(|c| !c.library && matches!(c.change, Change::Timed { .. })).count()
    }

    /// Entries of ours that are slower in either state, or that broke.
    pub fn regressions(&self) -> impl Iterator<Item = &Cell> {
        self.cells.iter().filter(|c| c.is_regression())
    }
}

impl Cell {
    /// Whether it is slower, or lost its time.
    pub fn is_regression(&self) -> bool {
        !self.library && (self.has(Verdict::Slower) || matches!(self.change, Change::Broke { .. }))
    }

    /// Whether either state has this verdict.
    pub fn has(&self, verdict: Verdict) -> bool {
        matches!(&self.change, Change::Timed { cold, hot } if cold.verdict == verdict || hot.verdict == verdict)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} against {}", self.new, self.base)?;
        let percent = |part: f64| 100.0 * part;
        let (drift, noise) = (percent(self.drift - 1.0), percent(self.rule.run_noise));
        if self.controls == 0 {
            writeln!(f, "  the machine itself: unknown, too few libraries in both runs; runs differ by {noise:.1} %")?;
        } else {
            writeln!(
                f,
                "  the machine itself: {drift:+.1} % by {} times of libraries, runs differ by {noise:.1} %",
                self.controls
            )?;
        }
        for cell in self.cells.iter().filter(|c| !c.library) {
            match &cell.change {
                Change::Broke { reason } => {
                    writeln!(f, "  BROKE   {} {} {}: {reason}", cell.op, cell.problem, cell.variant)?;
                }
                Change::Timed { cold, hot } => {
                    for (name, state) in [("cold", cold), ("hot", hot)] {
                        if matches!(state.verdict, Verdict::Slower | Verdict::Faster) {
                            writeln!(
                                f,
                                "  {:7} {} {} {} {name}: {state}",
                                state.verdict.name().to_uppercase(),
                                cell.op,
                                cell.problem,
                                cell.variant
                            )?;
                        }
                    }
                }
                _ => {}
            }
        }
        let count = |verdict| self.cells.iter().filter(|c| !c.library && c.has(verdict)).count();
        let changes = |pick: fn(&Change) -> bool| self.cells.iter().filter(|c| !c.library && pick(&c.change)).count();
        write!(
            f,
            "  {} slower, {} broke, {} faster, {} the same, {} unsure, {} newly measured; a change below {} % is none, and \
             unchanged code raises any alarm in {} of 100 comparisons at most",
            count(Verdict::Slower),
            changes(|c| matches!(c, Change::Broke { .. })),
            count(Verdict::Faster),
            self.cells.iter().filter(|c| !c.library && c.is_quiet()).count(),
            count(Verdict::Unsure),
            changes(|c| matches!(c, Change::Mended | Change::Added)),
            percent(self.rule.threshold),
            percent(self.rule.alarm),
        )
    }
}

impl Cell {
    fn is_quiet(&self) -> bool {
        matches!(&self.change, Change::Timed { cold, hot } if cold.verdict == Verdict::Same && hot.verdict == Verdict::Same)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2} -> {:.2} us", self.base_us, self.new_us)?;
        if let Some(s) = &self.shift {
            let [at, low, high] = [s.ratio, s.low, s.high].map(|r| 100.0 * (r - 1.0));
            write!(f, ", {at:+.1} % [{low:+.1}, {high:+.1}], p = {:.1e}", s.p_slower.min(s.p_faster))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use metallic_kernels::cases::Rng;

    use super::*;
    use crate::fixture::report;

    const SLOWED: &str = "ksplit/f16_half_bn4_tg128";

    #[test]
    fn the_same_code_is_quiet_and_a_slowed_variant_is_named() {
        let base = report(1, &[]);
        let quiet = compare(&base, &report(2, &[]), &Rule::default()).unwrap();
        assert_eq!(quiet.regressions().count(), 0, "{quiet}");
        let loud = compare(&base, &report(3, &[(SLOWED, 1.05)]), &Rule::default()).unwrap();
        assert!(loud.regressions().all(|c| c.variant == SLOWED), "{loud}");
        let measured = base.problems.iter().flat_map(Problem::measured).filter(|(e, _)| e.variant == SLOWED).count();
        assert_eq!(loud.regressions().count(), measured, "{loud}");
        assert!(loud.to_string().contains("SLOWER"), "{loud}");
    }

    #[test]
    fn a_slower_machine_is_not_the_code() {
        let mut new = report(4, &[]);
        for entry in new.problems.iter_mut().flat_map(|p| &mut p.entries) {
            if let Outcome::Measured(m) = &mut entry.outcome {
                for times in [&mut m.cold, &mut m.hot] {
                    times.median_us *= 1.06;
                    times.rounds.iter_mut().for_each(|t| *t *= 1.06);
                }
            }
        }
        let c = compare(&report(1, &[]), &new, &Rule::default()).unwrap();
        assert_eq!(c.regressions().count(), 0, "{c}");
        assert!((c.drift - 1.06).abs() < 0.01, "{}", c.drift);
    }

    #[test]
    fn a_variant_that_lost_its_time_is_a_regression() {
        let (base, mut new) = (report(1, &[]), report(2, &[]));
        new.problems[0].entries[0].outcome = Outcome::Failed { reason: "planted".to_owned() };
        let c = compare(&base, &new, &Rule::default()).unwrap();
        assert_eq!(c.regressions().count(), 1);
        assert!(c.to_string().contains("BROKE"), "{c}");
        assert!(c.to_string().contains("planted"), "{c}");
    }

    #[test]
    fn a_restless_machine_without_libraries_is_not_the_code() {
        let runs = [1, 2].map(|seed| {
            let mut r = report(seed, &[]);
            let mut rng = Rng(seed);
            for p in &mut r.problems {
                p.entries.retain(|e| !e.is_library());
                for entry in &mut p.entries {
                    if let Outcome::Measured(m) = &mut entry.outcome {
                        for times in [&mut m.cold, &mut m.hot] {
                            let by = f64::from(0.15 * rng.normal()).exp();
                            times.median_us *= by;
                            times.rounds.iter_mut().for_each(|t| *t *= by);
                        }
                    }
                }
            }
            r
        });
        let c = compare(&runs[0], &runs[1], &Rule::default()).unwrap();
        assert_eq!(c.regressions().count(), 0, "{c}");
    }

    #[test]
    fn other_devices_are_not_compared() {
        let (base, mut new) = (report(1, &[]), report(2, &[]));
        new.header.description = "another".to_owned();
        let e = compare(&base, &new, &Rule::default()).unwrap_err();
        assert!(matches!(e, CompareError::Device { .. }));
        new.header.description.clone_from(&base.header.description);
        new.problems.clear();
        assert!(matches!(compare(&base, &new, &Rule::default()).unwrap_err(), CompareError::Disjoint { .. }));
    }
}
