//! How sure a median is.

use metallic_kernels::cases::Rng;

use crate::stats::{median, percentile};

/// Samples of the bootstrap.
const SAMPLES: usize = 1000;

/// The 95 % interval of the median of `values`, by bootstrap (Efron 1979): medians of as many values drawn from them with replacement.
pub fn median_interval(values: &[f64]) -> (f64, f64) {
    if values.is_empty() {
        return (0.0, 0.0);
    }
    let mut rng = Rng(values.len() as u64);
    let medians: Vec<f64> = (0..SAMPLES)
        .map(|_| median(&(0..values.len()).map(|_| values[rng.below(values.len())]).collect::<Vec<f64>>()))
        .collect();
    (percentile(&medians, 0.025), percentile(&medians, 0.975))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_median_and_is_inside_of_the_values() {
        let values = [3.0, 1.0, 2.0, 5.0, 4.0, 2.5, 2.6];
        let (low, high) = median_interval(&values);
        assert!((1.0..=2.6).contains(&low) && (2.6..=5.0).contains(&high), "{low} {high}");
        assert_eq!(median_interval(&[7.0]), (7.0, 7.0));
        assert_eq!(median_interval(&[]), (0.0, 0.0));
    }
}
