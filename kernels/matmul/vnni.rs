//! Few rows of x against q8_0 and q4_0 panels in integers: x as 16-bit integers with a scale per block of 32 (2^-16 of the
//! block's largest value), products and sums exact, one scaling per block. A quarter of the work of converting weights to f32.

use std::arch::x86_64::*;

use super::avx512::{AHEAD, MAX_ROWS, in_groups, store};
use super::{GATE, MatmulParams, W, X, pack};
use crate::DType;
use crate::contract::{Args, Key, Native};
use crate::x86::gate;

pub(super) const NATIVE: Native = Native { phases: &[matvec], scratch };

pub(super) const BLOCK: usize = 32;

/// Bytes of one quantized row: k integers, then a scale and a sum per block.
pub(super) fn row_bytes(k: usize) -> usize {
    (k * 2 + k / BLOCK * 8).next_multiple_of(64)
}

fn scratch(key: &Key, workers: usize) -> usize {
    workers * MAX_ROWS * row_bytes(key.k)
}

/// One row of x in integers.
#[derive(Clone, Copy)]
pub(super) struct Row {
    values: *mut i16,
    pub scales: *mut f32,
    /// Sum of each block's integers, times 8: what q4_0's offset takes off.
    offsets: *mut i32,
}

impl Row {
    /// The row of `k` elements that is number `r` in memory from `base` on.
    pub fn at(base: *mut u8, r: usize, k: usize) -> Row {
        let values = base.wrapping_add(r * row_bytes(k));
        let scales = values.wrapping_add(k * 2).cast::<f32>();
        Row { values: values.cast(), scales, offsets: scales.wrapping_add(k / BLOCK).cast() }
    }
}

/// # Safety
/// As `contract::Phase`; the CPU has AVX-512 F, BW, VL and VNNI; k is a multiple of 32.
unsafe fn matvec(a: &Args<'_>) {
    // SAFETY: the caller's promise.
    unsafe { in_groups(a, [panels::<1>, panels::<2>, panels::<3>, panels::<4>]) }
}

/// # Safety
/// As `matvec`; rows `first..first + M` exist.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
unsafe fn panels<const M: usize>(a: &Args<'_>, first: usize) {
    let p = a.params.get::<MatmulParams>();
    let (n, k, dtype) = (p.n as usize, p.k as usize, p.dtype());
    let bytes = pack::panel_bytes(dtype, k);
    // SAFETY: the contract's buffers; each worker quantizes x into scratch of its own, which is cheaper than a barrier.
    unsafe {
        let x: [Row; M] = std::array::from_fn(|r| {
            let row = Row::at(a.scratch.ptr, a.worker * MAX_ROWS + r, k);
            quantize(a.output::<f32>(X).add((first + r) * p.ldx as usize), k, row);
            row
        });
        let (w, v) = (a.input::<u8>(W).as_ptr(), a.input::<u8>(GATE).as_ptr());
        for j in a.share(n, pack::ROWS).step_by(pack::ROWS) {
            let at = j / pack::ROWS * bytes;
            let dot = if dtype == DType::Q8_0 { dot_q8_0::<M> } else { dot_q4_0::<M> };
            let mut sums = dot(w.add(at), k, x);
            if p.gated == 1 {
                let others = dot(v.add(at), k, x);
                sums.iter_mut().zip(others).for_each(|(s, o)| *s = gate(*s, o));
            }
            for (r, sum) in sums.into_iter().enumerate() {
                store(a, p, first + r, j, sum);
            }
        }
    }
}

/// # Safety
/// `x` has k elements, a multiple of 32; `row` has room for them.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn quantize(x: *const f32, k: usize, row: Row) {
    // SAFETY: the caller's promise.
    unsafe {
        for b in 0..k / BLOCK {
            let (v0, v1) = (_mm512_loadu_ps(x.add(b * BLOCK)), _mm512_loadu_ps(x.add(b * BLOCK + 16)));
            let max = _mm512_reduce_max_ps(_mm512_max_ps(_mm512_abs_ps(v0), _mm512_abs_ps(v1)));
            let inverse = _mm512_set1_ps(if max > 0.0 { 32767.0 / max } else { 0.0 });
            let q0 = _mm512_cvtps_epi32(_mm512_mul_ps(v0, inverse));
            let q1 = _mm512_cvtps_epi32(_mm512_mul_ps(v1, inverse));
            let out = row.values.add(b * BLOCK);
            _mm256_storeu_si256(out.cast(), _mm512_cvtsepi32_epi16(q0));
            _mm256_storeu_si256(out.add(16).cast(), _mm512_cvtsepi32_epi16(q1));
            *row.scales.add(b) = max / 32767.0;
            *row.offsets.add(b) = 8 * _mm512_reduce_add_epi32(_mm512_add_epi32(q0, q1));
        }
    }
}

/// Sixteen rows' scales of a block.
///
/// # Safety
/// 32 bytes at `at`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn scales(at: *const u8) -> __m512 {
    // SAFETY: the caller's promise.
    unsafe { _mm512_cvtph_ps(_mm256_loadu_si256(at.cast())) }
}

/// The pair of integers `pair` of a row in every lane.
///
/// # Safety
/// The pair exists.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn pair(row: Row, pair: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe { _mm512_set1_epi32(row.values.cast::<i32>().add(pair).read_unaligned()) }
}

/// # Safety
/// `panel` holds k / 32 groups of 544 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
unsafe fn dot_q8_0<const M: usize>(panel: *const u8, k: usize, x: [Row; M]) -> [__m512; M] {
    let mut sums = [_mm512_setzero_ps(); M];
    // SAFETY: the caller's promise.
    unsafe {
        for b in 0..k / BLOCK {
            let at = panel.add(b * 34 * pack::ROWS);
            let mut dots = [[_mm512_setzero_si512(); 2]; M];
            for i in 0..16 {
                if i % 2 == 0 {
                    _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD + i * 32).cast());
                }
                let w = _mm512_cvtepi8_epi16(_mm256_loadu_si256(at.add(32 + i * 32).cast()));
                for r in 0..M {
                    dots[r][i % 2] = _mm512_dpwssd_epi32(dots[r][i % 2], w, pair(x[r], b * 16 + i));
                }
            }
            let scale = scales(at);
            for r in 0..M {
                let dot = _mm512_cvtepi32_ps(_mm512_add_epi32(dots[r][0], dots[r][1]));
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(*x[r].scales.add(b)));
                sums[r] = _mm512_fmadd_ps(dot, scale, sums[r]);
            }
        }
    }
    sums
}

/// # Safety
/// `panel` holds k / 32 groups of 288 bytes.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
unsafe fn dot_q4_0<const M: usize>(panel: *const u8, k: usize, x: [Row; M]) -> [__m512; M] {
    let mut sums = [_mm512_setzero_ps(); M];
    let mask = _mm512_set1_epi16(15);
    // SAFETY: the caller's promise.
    unsafe {
        for b in 0..k / BLOCK {
            let at = panel.add(b * 18 * pack::ROWS);
            let mut dots = [[_mm512_setzero_si512(); 2]; M];
            for g in 0..4 {
                // Measured at 85 GB/s: twice as far as others takes 6 % less time.
                _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(2 * AHEAD + g * 72).cast());
                let v = _mm512_loadu_si512(at.add(32 + g * 64).cast());
                let w = [
                    _mm512_and_si512(v, mask),
                    _mm512_and_si512(_mm512_srli_epi16::<4>(v), mask),
                    _mm512_and_si512(_mm512_srli_epi16::<8>(v), mask),
                    _mm512_srli_epi16::<12>(v),
                ];
                for (i, w) in w.into_iter().enumerate() {
                    for r in 0..M {
                        dots[r][i % 2] = _mm512_dpwssd_epi32(dots[r][i % 2], w, pair(x[r], b * 16 + g * 4 + i));
                    }
                }
            }
            let scale = scales(at);
            for r in 0..M {
                let offset = _mm512_set1_epi32(*x[r].offsets.add(b));
                let dot = _mm512_sub_epi32(_mm512_add_epi32(dots[r][0], dots[r][1]), offset);
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(*x[r].scales.add(b)));
                sums[r] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), scale, sums[r]);
            }
        }
    }
    sums
}
