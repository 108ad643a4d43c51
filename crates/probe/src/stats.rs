//! Statistics of repeated measurements.

/// Arithmetic mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Standard deviation of a sample (n - 1); 0 of fewer than two values.
pub fn stddev(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let mean = mean(values);
    let squares: f64 = values.iter().map(|v| (v - mean) * (v - mean)).sum();
    (squares / (values.len() - 1) as f64).sqrt()
}

/// The value below which the fraction `p` of all values lies, between neighbours linearly; 0 of nothing.
pub fn percentile(values: &[f64], p: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return 0.0 };
    let at = p.clamp(0.0, 1.0) * last as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract()
}

/// The middle value.
pub fn median(values: &[f64]) -> f64 {
    percentile(values, 0.5)
}

/// The smallest value; 0 of nothing.
pub fn min(values: &[f64]) -> f64 {
    percentile(values, 0.0)
}

/// The largest value; 0 of nothing.
pub fn max(values: &[f64]) -> f64 {
    percentile(values, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let v = [4.0, 1.0, 3.0, 2.0];
        assert_eq!((mean(&v), median(&v), min(&v), max(&v)), (2.5, 2.5, 1.0, 4.0));
        assert!((stddev(&v) - (5.0f64 / 3.0).sqrt()).abs() < 1e-12);
        assert!((percentile(&v, 0.9) - 3.7).abs() < 1e-12);
        assert_eq!((mean(&[]), median(&[]), stddev(&[1.0])), (0.0, 0.0, 0.0));
    }
}
