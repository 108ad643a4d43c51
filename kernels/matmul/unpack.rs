//! Panels to what the matrix loops multiply: bf16 tile rows for AMX, f32 rows for AVX-512.

use std::arch::x86_64::*;

use super::pack;
use crate::DType;
use crate::x86::{interleave_index, narrow};

/// bf16 parts that a weight of this type is split into: two hold an f16 exactly, one a bf16; quantized types are rounded to one.
pub(super) fn parts(dtype: DType) -> usize {
    if dtype == DType::F16 { 2 } else { 1 }
}

/// Where the converted tiles of one panel go: part 0, and part 1 where the type has two.
#[derive(Clone, Copy)]
pub(super) struct Tiles {
    pub first: *mut u8,
    pub second: *mut u8,
}

/// Bytes of a panel that are asked for ahead of their conversion.
const AHEAD: usize = 2048;

/// Converts elements `from..from + 32` of a panel of rows of `k` to a bf16 tile; past `k` it is zero. `from` is a multiple of 32.
///
/// # Safety
/// The CPU has AVX-512 F, BW, VL and BF16; the panel is whole; the tiles have room.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,f16c")]
pub(super) unsafe fn to_bf16(dtype: DType, panel: *const u8, from: usize, k: usize, out: Tiles) {
    let pairs = (k - from).min(32) / 2;
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            DType::F16 => f16_tile(panel.add(from * 32), pairs, out),
            DType::BF16 => std::ptr::copy_nonoverlapping(panel.add(from * 32), out.first, pairs * 64),
            DType::Q8_0 => q8_0_tile(panel.add(from * 17), out.first),
            _ => q4_0_tile(panel.add(from * 9), out.first),
        }
        for pair in pairs..16 {
            _mm512_storeu_si512(out.first.add(pair * 64).cast(), _mm512_setzero_si512());
            if parts(dtype) == 2 {
                _mm512_storeu_si512(out.second.add(pair * 64).cast(), _mm512_setzero_si512());
            }
        }
    }
}

/// # Safety
/// As `to_bf16`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,f16c")]
unsafe fn f16_tile(from: *const u8, pairs: usize, out: Tiles) {
    let upper = _mm512_set1_epi32(0xFFFF_0000u32 as i32);
    // SAFETY: the caller's promise.
    unsafe {
        for pair in 0..pairs {
            let at = from.add(pair * 64);
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
            let v = [
                _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())),
                _mm512_cvtph_ps(_mm256_loadu_si256(at.add(32).cast())),
            ];
            // The upper 8 bits of the significand, and the 3 that are left: both exact.
            let high = v.map(|v| _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(v), upper)));
            let low = [_mm512_sub_ps(v[0], high[0]), _mm512_sub_ps(v[1], high[1])];
            _mm512_storeu_si512(out.first.add(pair * 64).cast(), narrow(high[0], high[1]));
            _mm512_storeu_si512(out.second.add(pair * 64).cast(), narrow(low[0], low[1]));
        }
    }
}

/// # Safety
/// As `to_bf16`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,f16c")]
unsafe fn q8_0_tile(at: *const u8, out: *mut u8) {
    let first = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    let second = _mm512_add_epi32(first, _mm512_set1_epi32(8));
    // SAFETY: the caller's promise.
    unsafe {
        let scale = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
        let (s0, s1) = (_mm512_permutexvar_ps(first, scale), _mm512_permutexvar_ps(second, scale));
        for i in 0..16 {
            let q = at.add(32 + i * 32);
            if i % 2 == 0 {
                _mm_prefetch::<_MM_HINT_T0>(q.wrapping_add(AHEAD).cast());
            }
            let w0 = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(q.cast())));
            let w1 = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(q.add(16).cast())));
            let row = narrow(_mm512_mul_ps(w0, s0), _mm512_mul_ps(w1, s1));
            _mm512_storeu_si512(out.add(i * 64).cast(), row);
        }
    }
}

/// # Safety
/// As `to_bf16`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,f16c")]
unsafe fn q4_0_tile(at: *const u8, out: *mut u8) {
    let table = _mm512_setr_ps(-8., -7., -6., -5., -4., -3., -2., -1., 0., 1., 2., 3., 4., 5., 6., 7.);
    let interleave = interleave_index();
    // SAFETY: the caller's promise.
    unsafe {
        let scale = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
        for g in 0..4 {
            let mut even = _mm512_loadu_si512(at.add(32 + g * 64).cast());
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + g * 72).cast());
            for j in 0..4 {
                // The table look-up takes the lowest four bits of each lane: a row's even element, then its odd one.
                let odd = _mm512_srli_epi32::<16>(even);
                let w0 = _mm512_mul_ps(_mm512_permutexvar_ps(even, table), scale);
                let w1 = _mm512_mul_ps(_mm512_permutexvar_ps(odd, table), scale);
                let row = _mm512_permutexvar_epi16(interleave, narrow(w0, w1));
                _mm512_storeu_si512(out.add((g * 4 + j) * 64).cast(), row);
                even = _mm512_srli_epi32::<4>(even);
            }
        }
    }
}

/// Converts elements `from..to` of a panel to f32, `out[i][16]`. For quantized types `from` is a multiple of 32.
///
/// # Safety
/// The CPU has AVX-512 F, BW and VL; the panel is whole; `out` has room.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
pub(super) unsafe fn to_f32(dtype: DType, panel: *const u8, from: usize, to: usize, out: *mut f32) {
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
    let upper = _mm512_set1_epi32(0xFFFF_0000u32 as i32);
    let table = _mm512_setr_ps(-8., -7., -6., -5., -4., -3., -2., -1., 0., 1., 2., 3., 4., 5., 6., 7.);
    // SAFETY: the caller's promise.
    unsafe {
        let put = |i: usize, w0: __m512, w1: __m512| {
            _mm512_storeu_ps(out.add(i * 16), w0);
            _mm512_storeu_ps(out.add(i * 16 + 16), w1);
        };
        match dtype {
            DType::F16 => {
                for i in (from..to).step_by(2) {
                    let at = panel.add(i * 32);
                    let a = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
                    let b = _mm512_cvtph_ps(_mm256_loadu_si256(at.add(32).cast()));
                    put(i - from, _mm512_permutex2var_ps(a, even, b), _mm512_permutex2var_ps(a, odd, b));
                }
            }
            DType::BF16 => {
                for i in (from..to).step_by(2) {
                    let w = _mm512_loadu_si512(panel.add(i * 32).cast());
                    let w0 = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(w));
                    put(i - from, w0, _mm512_castsi512_ps(_mm512_and_si512(w, upper)));
                }
            }
            DType::Q8_0 => {
                for b in from / 32..to / 32 {
                    let at = panel.add(b * 34 * pack::ROWS);
                    let scale = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
                    for i in 0..16 {
                        let q = _mm512_cvtepi8_epi16(_mm256_loadu_si256(at.add(32 + i * 32).cast()));
                        let w0 = _mm512_srai_epi32::<16>(_mm512_slli_epi32::<16>(q));
                        let w1 = _mm512_srai_epi32::<16>(q);
                        let w = [w0, w1].map(|w| _mm512_mul_ps(_mm512_cvtepi32_ps(w), scale));
                        put(b * 32 + 2 * i - from, w[0], w[1]);
                    }
                }
            }
            DType::Q4_0 => {
                for b in from / 32..to / 32 {
                    let at = panel.add(b * 18 * pack::ROWS);
                    let scale = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
                    for i in 0..16 {
                        let v = _mm512_loadu_si512(at.add(32 + i / 4 * 64).cast());
                        let w0 = _mm512_srl_epi32(v, _mm_cvtsi32_si128(i as i32 % 4 * 4));
                        let w1 = _mm512_srli_epi32::<16>(w0);
                        let w = [w0, w1].map(|w| _mm512_mul_ps(_mm512_permutexvar_ps(w, table), scale));
                        put(b * 32 + 2 * i - from, w[0], w[1]);
                    }
                }
            }
            _ => std::ptr::copy_nonoverlapping(panel.add(from * 64).cast(), out, (to - from) * 16),
        }
    }
}
