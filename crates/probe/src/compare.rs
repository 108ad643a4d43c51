//! Whether a kernel became slower: a shift of times with its interval, a verdict, and what a run of many verdicts may claim.
//!
//! **What is compared.** Logarithms of times, so that a shift is a ratio. Rounds taken in turn ([`Pairing::Interleaved`]) are
//! compared round by round: what both saw of the machine cancels. Rounds of two runs ([`Pairing::Apart`]) are compared as
//! two samples.
//!
//! **The statistic.** The mean of the middle half (25 % trimmed from each end), which a quarter of wild rounds cannot move, over its
//! standard error from the winsorized variance (Tukey and McLaughlin 1963; Yuen 1974 for two samples), against Student's t. Rounds
//! that resemble their predecessors count for less: the variance grows by the autocorrelation of the winsorized rounds. Two
//! runs differ by more than their rounds tell (placement in memory, clocks): each run adds a variance of its own,
//! [`Rule::run_noise`].
//!
//! **The verdict.** *Slower* needs both: a shift of at least [`Rule::threshold`], and evidence that it is above zero at
//! [`Rule::alarm`]. *Same* needs evidence too: the interval lies within the threshold. What shows neither is *unsure*.
//!
//! **False alarms.** One comparison of unchanged code says *slower* with a probability of [`Rule::alarm`] at most (0.01 unless set). Over
//! many comparisons, p-values are adjusted by Benjamini and Hochberg's step-up: with nothing changed, the whole table shows any alarm
//! with that same probability; with something changed, that is the expected part of the flags that are false.

mod machine;
mod reports;
mod student;
mod trimmed;

use serde::{Deserialize, Serialize};

pub use reports::{Cell, Change, CompareError, Comparison, State, compare, same_device};

/// How two series of rounds belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Round i of one was taken beside round i of the other.
    Interleaved,
    /// Two runs, one after the other.
    Apart,
}

/// When a difference counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Smallest shift worth a word: 0.02 is 2 %.
    pub threshold: f64,
    /// Probability at most that unchanged code is called slower.
    pub alarm: f64,
    /// Confidence of the intervals that are shown.
    pub confidence: f64,
    /// Standard deviation, as a part of the time, by which runs of the same code differ beyond what their rounds tell.
    pub run_noise: f64,
}

impl Default for Rule {
    fn default() -> Rule {
        Rule { threshold: 0.02, alarm: 0.01, confidence: 0.95, run_noise: 0.005 }
    }
}

impl Rule {
    /// The rule for two runs on a device, by its short name. Where buffers lie moves the time of a kernel in a CPU's caches by some
    /// 2.5 % (`examples/regression.rs`, each side with memory of its own), so that two runs on a CPU tell less.
    pub fn on(device: &str) -> Rule {
        let run_noise = if device == "cpu" { 0.025 } else { 0.005 };
        Rule { run_noise, ..Rule::default() }
    }
}

/// How much longer the new code takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shift {
    /// New time over old time: 1.05 is 5 % slower.
    pub ratio: f64,
    /// Lower end of its interval, at [`Rule::confidence`].
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Probability of so much evidence for *slower* if nothing had changed.
    pub p_slower: f64,
    /// The same for *faster*.
    pub p_faster: f64,
}

/// What a shift means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// A regression.
    Slower,
    /// An improvement.
    Faster,
    /// The interval lies within the threshold.
    Same,
    /// Too noisy to tell.
    Unsure,
}

impl Verdict {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Slower => "slower",
            Verdict::Faster => "faster",
            Verdict::Same => "same",
            Verdict::Unsure => "unsure",
        }
    }
}

/// Fewest rounds of each side that a verdict rests on.
pub const FEWEST_ROUNDS: usize = 6;

/// The shift from `base` to `new`, both times a launch in any unit. `None` with fewer than [`FEWEST_ROUNDS`] rounds on a side, or
/// with a time that is not positive: nothing can be said then.
pub fn shift(base: &[f64], new: &[f64], pairing: Pairing, rule: &Rule) -> Option<Shift> {
    let logs = |times: &[f64]| -> Option<Vec<f64>> {
        times.iter().map(|&t| (t > 0.0 && t.is_finite()).then(|| t.ln())).collect()
    };
    let (base, new) = (logs(base)?, logs(new)?);
    if base.len().min(new.len()) < FEWEST_ROUNDS {
        return None;
    }
    let estimate = match pairing {
        Pairing::Interleaved => {
            let differences: Vec<f64> = base.iter().zip(&new).map(|(b, n)| n - b).collect();
            trimmed::center(&differences)
        }
        Pairing::Apart => {
            let between = trimmed::Center { at: 0.0, variance: 2.0 * rule.run_noise.powi(2), freedom: f64::INFINITY };
            trimmed::center(&new).minus(&trimmed::center(&base)).plus_noise(&between)
        }
    };
    Some(estimate.shift(rule))
}

impl trimmed::Center {
    fn shift(&self, rule: &Rule) -> Shift {
        // Rounds that agree to the last digit still have the clock's grain.
        let error = self.variance.sqrt().max(1e-6);
        let reach = student::quantile(0.5 + rule.confidence / 2.0, self.freedom) * error;
        let t = self.at / error;
        Shift {
            ratio: self.at.exp(),
            low: (self.at - reach).exp(),
            high: (self.at + reach).exp(),
            p_slower: student::upper_tail(t, self.freedom),
            p_faster: student::upper_tail(-t, self.freedom),
        }
    }
}

impl Shift {
    /// What this shift means alone; for one of many, adjust first ([`adjust`]).
    pub fn verdict(&self, rule: &Rule) -> Verdict {
        let most = 1.0 + rule.threshold;
        if self.ratio >= most && self.p_slower <= rule.alarm {
            Verdict::Slower
        } else if self.ratio <= 1.0 / most && self.p_faster <= rule.alarm {
            Verdict::Faster
        } else if self.low > 1.0 / most && self.high < most {
            Verdict::Same
        } else {
            Verdict::Unsure
        }
    }
}

/// Adjusts the p-values of shifts that are judged together (Benjamini and Hochberg 1995), in place and for each direction apart.
pub fn adjust(shifts: &mut [&mut Shift]) {
    adjust_side(shifts, |s| &mut s.p_slower);
    adjust_side(shifts, |s| &mut s.p_faster);
}

fn adjust_side(shifts: &mut [&mut Shift], side: fn(&mut Shift) -> &mut f64) {
    let mut order: Vec<(usize, f64)> = shifts.iter_mut().enumerate().map(|(i, s)| (i, *side(s))).collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let count = order.len();
    let mut least = 1.0f64;
    for (place, (i, p)) in order.into_iter().enumerate() {
        least = least.min(p * count as f64 / (count - place) as f64);
        *side(shifts[i]) = least;
    }
}

#[cfg(test)]
mod simulation;

#[cfg(test)]
mod tests {
    use super::*;

    fn with_p(p: f64) -> Shift {
        Shift { ratio: 1.1, low: 1.05, high: 1.15, p_slower: p, p_faster: 1.0 - p }
    }

    #[test]
    fn adjustment_is_the_step_up_procedure() {
        let mut list = [0.01, 0.04, 0.03, 0.005, 0.8].map(with_p);
        adjust(&mut list.iter_mut().collect::<Vec<_>>());
        // p m / rank, made monotone from the largest down: 0.8, 0.04 * 5/4, 0.03 * 5/3, 0.01 * 5/2, 0.005 * 5.
        let want = [0.025, 0.05, 0.05, 0.025, 0.8];
        for (s, want) in list.iter().zip(want) {
            assert!((s.p_slower - want).abs() < 1e-12, "{} instead of {want}", s.p_slower);
        }
    }

    #[test]
    fn too_few_rounds_and_impossible_times_say_nothing() {
        let rule = Rule::default();
        assert_eq!(shift(&[1.0; 5], &[1.0; 9], Pairing::Apart, &rule), None);
        assert_eq!(shift(&[1.0, 1.0, 1.0, 1.0, 1.0, 0.0], &[1.0; 6], Pairing::Apart, &rule), None);
        assert_eq!(shift(&[f64::NAN; 8], &[1.0; 8], Pairing::Interleaved, &rule), None);
    }

    #[test]
    fn exact_times_are_told_apart_exactly() {
        let rule = Rule::default();
        let s = shift(&[10.0; 8], &[10.5; 8], Pairing::Interleaved, &rule).unwrap();
        assert!((s.ratio - 1.05).abs() < 1e-12);
        assert_eq!(s.verdict(&rule), Verdict::Slower);
        let s = shift(&[10.5; 8], &[10.0; 8], Pairing::Interleaved, &rule).unwrap();
        assert_eq!(s.verdict(&rule), Verdict::Faster);
        let s = shift(&[10.0; 8], &[10.1; 8], Pairing::Interleaved, &rule).unwrap();
        assert_eq!(s.verdict(&rule), Verdict::Same, "1 % is below the threshold");
    }

    #[test]
    fn noise_alone_is_unsure_and_not_same() {
        let rule = Rule::default();
        let wide: Vec<f64> = (0..12).map(|i| if i % 2 == 0 { 10.0 } else { 13.0 }).collect();
        let other: Vec<f64> = (0..12).map(|i| if i % 3 == 0 { 10.0 } else { 13.0 }).collect();
        assert_eq!(shift(&wide, &other, Pairing::Apart, &rule).unwrap().verdict(&rule), Verdict::Unsure);
    }
}
