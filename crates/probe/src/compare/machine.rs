//! How fast the machine itself is now, and how much runs on it differ.

use std::collections::HashMap;

use super::Rule;
use super::reports::{Id, times};
use super::trimmed::robust_deviation;
use crate::record::Entry;
use crate::stats::median;

/// Fewest times of libraries that tell how the machine itself changed.
const FEWEST_CONTROLS: usize = 4;

/// Fewest times of ours whose scatter says something.
const FEWEST_OF_OURS: usize = 8;

/// What is known of the machine beside the code.
pub struct Machine {
    /// How many times as slow it is now.
    pub drift: f64,
    /// Standard deviation by which runs differ, as a part of the time.
    pub noise: f64,
    /// Times of libraries that this was told from.
    pub controls: usize,
}

impl Machine {
    /// From the libraries, whose code did not change. Where there are too few, how fast the machine is now cannot be told from how
    /// fast our code is; but how far our own ratios scatter about their middle tells how much one of them means.
    pub fn of(before: &HashMap<Id<'_>, &Entry>, after: &HashMap<Id<'_>, &Entry>, rule: &Rule) -> Machine {
        let ratios = |libraries: bool| -> Vec<f64> {
            let entries = after.iter().filter(|(_, e)| e.is_library() == libraries);
            let pairs = entries.filter_map(|(id, now)| Some((times(before.get(id)?)?, times(now)?)));
            let both = pairs.flat_map(|(b, n)| {
                [n.cold.median_us / b.cold.median_us, n.hot.median_us / b.hot.median_us].map(f64::ln)
            });
            both.filter(|l| l.is_finite()).collect()
        };
        // The scatter of a ratio is that of two runs.
        let noise = |logs: &[f64]| (robust_deviation(logs) / std::f64::consts::SQRT_2).max(rule.run_noise);
        let controls = ratios(true);
        if controls.len() >= FEWEST_CONTROLS {
            return Machine { drift: median(&controls).exp(), noise: noise(&controls), controls: controls.len() };
        }
        let ours = ratios(false);
        let noise = if ours.len() >= FEWEST_OF_OURS { noise(&ours) } else { rule.run_noise };
        Machine { drift: 1.0, noise, controls: 0 }
    }
}
