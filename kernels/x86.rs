//! Vector functions that several AVX-512 kernels share.

use std::arch::asm;
use std::arch::x86_64::*;

/// Two vectors of f32 as 32 bf16, in order.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) fn narrow(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both are 64 bytes of plain data.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
}

/// 32 values as two vectors of bf16: rounded, and what rounding left.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
pub(crate) fn split(low: __m512, high: __m512) -> [__m512i; 2] {
    let first = narrow(low, high);
    let widen = |half| _mm512_castsi512_ps(_mm512_slli_epi32::<16>(_mm512_cvtepu16_epi32(half)));
    let low_first = widen(_mm512_castsi512_si256(first));
    let high_first = widen(_mm512_extracti64x4_epi64::<1>(first));
    [first, narrow(_mm512_sub_ps(low, low_first), _mm512_sub_ps(high, high_first))]
}

/// Asks for a line that will be written, in advance. Any address will do.
#[inline(always)]
pub(crate) fn prefetch_to_write(at: *const u8) {
    // SAFETY: a hint, which never faults.
    unsafe { asm!("prefetchw [{}]", in(reg) at, options(nostack, readonly, preserves_flags)) };
}

/// `value`, computed here and not where it is used: where it stands between other instructions, and not behind them.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn here(mut value: __m512i) -> __m512i {
    // SAFETY: no instruction at all; the comment names the register.
    unsafe { asm!("/* {} */", inout(zmm_reg) value, options(nostack, nomem, preserves_flags)) };
    value
}

/// `[f(0), ..., f(15)]` in registers, each called where it stands: a loop would keep the results in memory.
macro_rules! sixteen {
    ($f:expr) => {
        [
            $f(0),
            $f(1),
            $f(2),
            $f(3),
            $f(4),
            $f(5),
            $f(6),
            $f(7),
            $f(8),
            $f(9),
            $f(10),
            $f(11),
            $f(12),
            $f(13),
            $f(14),
            $f(15),
        ]
    };
}
pub(crate) use sixteen;

/// 0, 16, 1, 17, ...: puts two sixteens side by side.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(crate) fn interleave_index() -> __m512i {
    let index: [i16; 32] = std::array::from_fn(|i| (i / 2 + i % 2 * 16) as i16);
    // SAFETY: 64 bytes of plain data.
    unsafe { _mm512_loadu_si512(index.as_ptr().cast()) }
}

/// `e^x`: 2^n times a polynomial; error below 2 ulp, 0 below -200, infinite above 88.8.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn exp(x: __m512) -> __m512 {
    let x = _mm512_min_ps(_mm512_max_ps(x, _mm512_set1_ps(-200.0)), _mm512_set1_ps(200.0));
    let n = _mm512_roundscale_ps::<0>(_mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E)));
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693_145_75), x);
    let r = _mm512_fnmadd_ps(n, _mm512_set1_ps(1.428_606_8e-6), r);
    let mut p = _mm512_set1_ps(1.0 / 720.0);
    for c in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
    }
    _mm512_scalef_ps(p, n)
}

/// `2^x` with a relative error below 3e-6, enough for what is rounded to bf16; exactly 1 at 0, and 0 far below -126.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn exp2_short(x: __m512) -> __m512 {
    let n = _mm512_roundscale_ps::<0>(x);
    let r = _mm512_sub_ps(x, n);
    let mut p = _mm512_set1_ps(0.009_582_853);
    for c in [0.055_906_426, 0.240_240_99, 0.693_124_2, 1.0] {
        p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(c));
    }
    _mm512_scalef_ps(p, n)
}

/// `silu(x) * y`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn gate(x: __m512, y: __m512) -> __m512 {
    let one = _mm512_set1_ps(1.0);
    // Below -80 silu is -0 to every digit of an f32 sum; the bound keeps the reciprocal finite.
    let e = exp(_mm512_min_ps(_mm512_sub_ps(_mm512_setzero_ps(), x), _mm512_set1_ps(80.0)));
    let denominator = _mm512_add_ps(one, e);
    // 14 bits, then one Newton step.
    let r = _mm512_rcp14_ps(denominator);
    let r = _mm512_fmadd_ps(_mm512_fnmadd_ps(denominator, r, one), r, r);
    _mm512_mul_ps(_mm512_mul_ps(x, r), y)
}

/// `silu(x) * y` with a relative error below 7e-5 above -79, enough for what is rounded to bf16.
#[inline]
#[target_feature(enable = "avx512f")]
pub(crate) fn gate_short(x: __m512, y: __m512) -> __m512 {
    let t = _mm512_mul_ps(x, _mm512_set1_ps(-std::f32::consts::LOG2_E));
    // As in `gate`, the bound keeps the reciprocal finite.
    let e = exp2_short(_mm512_min_ps(t, _mm512_set1_ps(115.0)));
    let r = _mm512_rcp14_ps(_mm512_add_ps(_mm512_set1_ps(1.0), e));
    _mm512_mul_ps(_mm512_mul_ps(x, r), y)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The largest relative error of `f` over `points`, sixteen equal lanes at a time.
    #[target_feature(enable = "avx512f")]
    fn worst(points: impl Iterator<Item = f32>, f: fn(__m512) -> __m512, want: fn(f64) -> f64) -> f64 {
        let error = |x: f32| {
            // SAFETY: the test looked for AVX-512.
            let got = f64::from(_mm512_reduce_add_ps(f(_mm512_set1_ps(x)))) / 16.0;
            (got - want(x.into())).abs() / want(x.into()).abs()
        };
        points.map(error).fold(0.0, f64::max)
    }

    #[test]
    fn short_functions_keep_their_promises() {
        if !std::arch::is_x86_feature_detected!("avx512f") {
            eprintln!("not run: this CPU has no AVX-512");
            return;
        }
        let points = |from: i32, to: i32| (from * 1000..to * 1000).step_by(7).map(|i| i as f32 * 1e-3 + 1e-4);
        // SAFETY: the CPU has AVX-512.
        unsafe {
            assert!(worst(points(-120, 120), |x| exp2_short(x), f64::exp2) < 3e-6);
            assert!(worst(points(-79, 80), |x| gate_short(x, _mm512_set1_ps(1.0)), |x| x / (1.0 + (-x).exp())) < 7e-5);
            let at = |x: f32| _mm512_cvtss_f32(exp2_short(_mm512_set1_ps(x)));
            assert_eq!([at(0.0), at(-9e29), at(-200.0)], [1.0, 0.0, 0.0]);
        }
    }
}
