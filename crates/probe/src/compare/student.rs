//! Student's t for whole degrees of freedom, by its finite series (Abramowitz and Stegun 26.7.3 and 26.7.4).

use std::f64::consts::FRAC_2_PI;

/// Beyond this many degrees of freedom the series stops and the rest is noise far below any decision.
const MOST: f64 = 400.0;

/// Probability that a t of `freedom` degrees is above `t`. Fractions of a degree are dropped, which errs towards caution.
pub fn upper_tail(t: f64, freedom: f64) -> f64 {
    let inside = within(t.abs(), freedom);
    let tail = (1.0 - inside) / 2.0;
    if t >= 0.0 { tail } else { 1.0 - tail }
}

/// The t below which the fraction `p`, from 0.5 to 1, lies.
pub fn quantile(p: f64, freedom: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    while 1.0 - upper_tail(high, freedom) < p && high < 1e9 {
        high *= 2.0;
    }
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if 1.0 - upper_tail(middle, freedom) < p {
            low = middle;
        } else {
            high = middle;
        }
    }
    (low + high) / 2.0
}

/// Probability of |t'| < t.
fn within(t: f64, freedom: f64) -> f64 {
    let freedom = freedom.clamp(1.0, MOST).floor();
    let angle = (t / freedom.sqrt()).atan();
    let (sin, cos) = angle.sin_cos();
    let v = freedom as u32;
    // Terms are products of (j - 1) / j cos^2 up to j = v - 2, over odd j for odd degrees and over even j for even ones.
    let mut term = if v % 2 == 1 { cos } else { 1.0 };
    let mut sum = if v == 1 { 0.0 } else { term };
    for j in (2 + v % 2..=v.saturating_sub(2)).step_by(2) {
        term *= f64::from(j - 1) / f64::from(j) * cos * cos;
        sum += term;
    }
    let inside = if v % 2 == 1 { FRAC_2_PI * (angle + sin * sum) } else { sin * sum };
    inside.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two-sided 95 % and 99.9 % points of printed tables.
    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (freedom, p975, p9995) in [
            (1.0, 12.706, 636.619),
            (2.0, 4.303, 31.599),
            (5.0, 2.571, 6.869),
            (8.0, 2.306, 5.041),
            (30.0, 2.042, 3.646),
        ] {
            assert!((quantile(0.975, freedom) - p975).abs() < 6e-4, "{freedom}: {}", quantile(0.975, freedom));
            assert!((quantile(0.9995, freedom) / p9995 - 1.0).abs() < 1e-3, "{freedom}: {}", quantile(0.9995, freedom));
        }
        assert!((quantile(0.975, f64::INFINITY) - 1.96).abs() < 0.01);
    }

    #[test]
    fn tails_are_symmetric() {
        for freedom in [1.0, 2.0, 3.0, 7.9, 100.0] {
            assert!((upper_tail(1.3, freedom) + upper_tail(-1.3, freedom) - 1.0).abs() < 1e-12);
            assert!((upper_tail(0.0, freedom) - 0.5).abs() < 1e-12);
        }
    }
}
