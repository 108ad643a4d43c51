//! Scalar functions written so that a loop over them becomes vector code.

/// `e^x` in f32: 2^n times a polynomial on [-ln2/2, ln2/2]; error below 2 ulp, 0 below -87.3, inf above 88.7.
#[inline(always)]
pub fn exp(x: f32) -> f32 {
    const LOG2E: f32 = std::f32::consts::LOG2_E;
    const LN2_HI: f32 = 0.693_145_75;
    const LN2_LO: f32 = 1.428_606_8e-6;
    // 1.5 * 2^23: adding and subtracting it rounds to the nearest integer.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.7);
    let shifted = clamped.mul_add(LOG2E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN2_LO, n.mul_add(-LN2_HI, clamped));
    let p = 1.0 / 5040.0;
    let p = r.mul_add(p, 1.0 / 720.0);
    let p = r.mul_add(p, 1.0 / 120.0);
    let p = r.mul_add(p, 1.0 / 24.0);
    let p = r.mul_add(p, 1.0 / 6.0);
    let p = r.mul_add(p, 0.5);
    let p = r.mul_add(p, 1.0);
    let p = r.mul_add(p, 1.0);
    // Two factors, so that n = 128 does not overflow the exponent field.
    // n's integer lies in the lowest bits, where it is read without a cast: one that saturates is no vector instruction.
    let integer = shifted.to_bits().wrapping_sub(ROUND.to_bits()) as i32;
    let half = integer >> 1;
    let rest = integer.wrapping_sub(half);
    let pow2 = |e: i32| f32::from_bits((e.wrapping_add(127) as u32) << 23);
    let y = p * pow2(half) * pow2(rest);
    let y = if x < -87.3 { 0.0 } else { y };
    if x > 88.72 { f32::INFINITY } else { y }
}

/// `x * sigmoid(x)`.
#[inline(always)]
pub fn silu(x: f32) -> f32 {
    x / (1.0 + exp(-x))
}

#[cfg(test)]
mod tests {
    #[test]
    fn exp_is_within_two_ulp() {
        let mut x = -88.0f32;
        while x < 89.0 {
            let want = f64::from(x).exp();
            let got = f64::from(super::exp(x));
            if (-87.2..=88.6).contains(&x) {
                assert!((got - want).abs() <= want * 2.4e-7, "exp({x}): {got} for {want}");
            }
            x += 0.003_7;
        }
        assert_eq!(super::exp(f32::NEG_INFINITY), 0.0);
        assert_eq!(super::exp(f32::INFINITY), f32::INFINITY);
        assert!(super::exp(f32::NAN).is_nan());
    }
}
