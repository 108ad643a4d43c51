//! The middle of a series of rounds, and how sure it is.

use crate::stats::{mean, percentile};

/// Part of the rounds left out at each end.
const TRIM: f64 = 0.25;

/// A trimmed mean, the variance of its error, and the degrees of freedom of that variance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Center {
    /// The mean of the middle half.
    pub at: f64,
    /// Variance of its error.
    pub variance: f64,
    /// Degrees of freedom of the variance.
    pub freedom: f64,
}

impl Center {
    /// The difference of two independent centres, with Welch and Satterthwaite's degrees of freedom.
    pub fn minus(self, other: &Center) -> Center {
        Center { at: self.at - other.at, ..self.plus_noise(other) }
    }

    /// The same centre with another independent error on top.
    pub fn plus_noise(self, other: &Center) -> Center {
        let variance = self.variance + other.variance;
        let each = self.variance.powi(2) / self.freedom + other.variance.powi(2) / other.freedom;
        let freedom = if each > 0.0 { variance.powi(2) / each } else { self.freedom.min(other.freedom) };
        Center { at: self.at, variance, freedom }
    }
}

/// The centre of `values`, in the order in which they were taken.
pub fn center(values: &[f64]) -> Center {
    let count = values.len();
    let cut = (TRIM * count as f64).floor() as usize;
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let kept = &sorted[cut..count - cut];
    let (lowest, highest) = (kept[0], kept[kept.len() - 1]);
    let winsorized: Vec<f64> = values.iter().map(|v| v.clamp(lowest, highest)).collect();
    let middle = mean(&winsorized);
    let squares: f64 = winsorized.iter().map(|w| (w - middle).powi(2)).sum();
    let held = kept.len() as f64;
    // Tukey and McLaughlin: the winsorized sum of squares over h (h - 1), h being the rounds that were kept.
    let variance = squares / (held * (held - 1.0));
    let inflation = inflation(&winsorized);
    Center { at: mean(kept), variance: variance * inflation, freedom: held - 1.0 }
}

/// How much less `values` tell than as many independent ones: 1 + 2 sum of their autocorrelations with flat-top weights (Politis and
/// Romano 1995), at least 1. Sample autocorrelations are too small by about 1/n, which is put back.
fn inflation(values: &[f64]) -> f64 {
    let count = values.len();
    let middle = mean(values);
    let about: Vec<f64> = values.iter().map(|v| v - middle).collect();
    let square: f64 = about.iter().map(|v| v * v).sum();
    if square == 0.0 {
        return 1.0;
    }
    let lags = (count as f64).sqrt().floor() as usize;
    let weighted = (1..=lags).map(|lag| {
        let product: f64 = about.iter().zip(&about[lag..]).map(|(a, b)| a * b).sum();
        (product / square + 1.0 / count as f64) * (2.0 - 2.0 * lag as f64 / (lags + 1) as f64).min(1.0)
    });
    (1.0 + 2.0 * weighted.sum::<f64>()).max(1.0)
}

/// Standard deviation by the median distance from the median, which half of the values cannot move; 0 of nothing.
pub fn robust_deviation(values: &[f64]) -> f64 {
    let middle = percentile(values, 0.5);
    let distances: Vec<f64> = values.iter().map(|v| (v - middle).abs()).collect();
    1.4826 * percentile(&distances, 0.5)
}

#[cfg(test)]
mod tests {
    use metallic_kernels::cases::Rng;

    use super::*;

    #[test]
    fn a_quarter_of_wild_rounds_moves_little() {
        let calm = Rng(1).normals(40, 1.0).iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let mut wild = calm.clone();
        for v in wild.iter_mut().step_by(4) {
            *v = 1e9;
        }
        assert!((center(&calm).at - center(&wild).at).abs() < 1.0);
    }

    #[test]
    fn rounds_that_repeat_each_other_tell_less() {
        let fresh = Rng(2).normals(48, 1.0).iter().map(|v| f64::from(*v)).collect::<Vec<_>>();
        let slow: Vec<f64> = (0..48).map(|i| fresh[i / 4]).collect();
        let sure = |values: &[f64]| center(values).variance / robust_deviation(values).powi(2);
        assert!(sure(&slow) > 2.0 * sure(&fresh), "{} {}", sure(&slow), sure(&fresh));
    }
}
