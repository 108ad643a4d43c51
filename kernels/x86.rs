//! Vector functions that several AVX-512 kernels share.

use std::arch::x86_64::*;

/// Two vectors of f32 as 32 bf16, in order.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
pub(crate) fn narrow(low: __m512, high: __m512) -> __m512i {
    // SAFETY: both are 64 bytes of plain data.
    unsafe { std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(high, low)) }
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
