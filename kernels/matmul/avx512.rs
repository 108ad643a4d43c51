//! Few rows of x against float panels: each worker streams its panels once, sixteen outputs in one register.
//!
//! f32 `[k][16]`, bf16 and f16 `[k / 2][16][2]`: no horizontal sums inside the loop, one fold of the pairs at its end.

use std::arch::x86_64::*;

use super::{BIAS, GATE, MatmulParams, W, X, Y, pack};
use crate::DType;
use crate::contract::{Args, Native};
use crate::x86::gate;

pub(super) const NATIVE: Native = Native { phases: &[matvec], scratch: |_, _| 0 };

/// Most rows of x that one pass over the weights serves.
pub(super) const MAX_ROWS: usize = 4;

/// Bytes that loads are asked for ahead of their use. Measured: at 33 GB/s (two cores of a Xeon) 1 to 8 KiB lie within 8 %; at 85
/// GB/s (two of Zen 5) 4 KiB takes 4 to 8 % less time than 2 KiB.
pub(super) const AHEAD: usize = 4096;

/// # Safety
/// As `contract::Phase`; the CPU has AVX-512 F, BW and VL.
unsafe fn matvec(a: &Args<'_>) {
    // SAFETY: the caller's promise.
    unsafe { in_groups(a, [panels::<1>, panels::<2>, panels::<3>, panels::<4>]) }
}

/// Work on the rows of x from a given one on, as many as its place in the array of [`in_groups`] says.
pub(super) type Group = unsafe fn(&Args<'_>, usize);

/// Takes the rows of x in groups of at most `MAX_ROWS`; `groups[i]` does `i + 1` rows.
///
/// # Safety
/// As `contract::Phase`, and what the groups ask for.
pub(super) unsafe fn in_groups(a: &Args<'_>, groups: [Group; MAX_ROWS]) {
    for first in (0..a.rows).step_by(MAX_ROWS) {
        let rows = (a.rows - first).min(MAX_ROWS);
        // SAFETY: the caller's promise; the rows exist.
        unsafe { groups[rows - 1](a, first) };
    }
}

/// # Safety
/// As `matvec`; rows `first..first + M` exist.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
unsafe fn panels<const M: usize>(a: &Args<'_>, first: usize) {
    let p = a.params.get::<MatmulParams>();
    let (n, k, dtype) = (p.n as usize, p.k as usize, p.dtype());
    let bytes = pack::panel_bytes(dtype, k);
    // SAFETY: the contract's buffers: w holds ceil(n / 16) panels, x rows of k.
    unsafe {
        let w = a.input::<u8>(W).as_ptr();
        let x: [*const f32; M] =
            std::array::from_fn(|r| a.output::<f32>(X).cast_const().add((first + r) * p.ldx as usize));
        let v = a.input::<u8>(GATE).as_ptr();
        for j in a.share(n, pack::ROWS).step_by(pack::ROWS) {
            let at = j / pack::ROWS * bytes;
            let mut sums = dot(dtype, w.add(at), k, x);
            if p.gated == 1 {
                let others = dot(dtype, v.add(at), k, x);
                sums.iter_mut().zip(others).for_each(|(s, o)| *s = gate(*s, o));
            }
            for (r, sum) in sums.into_iter().enumerate() {
                store(a, p, first + r, j, sum);
            }
        }
    }
}

/// # Safety
/// As `dot_f16`.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,f16c")]
unsafe fn dot<const M: usize>(dtype: DType, panel: *const u8, k: usize, x: [*const f32; M]) -> [__m512; M] {
    // SAFETY: the caller's promise.
    unsafe {
        match dtype {
            DType::F16 => dot_f16(panel, k, x),
            DType::BF16 => dot_bf16(panel, k, x),
            _ => dot_f32(panel, k, x),
        }
    }
}

/// Writes sixteen outputs of row `r` from column `j` on, with what the epilogue adds.
///
/// # Safety
/// As `matvec`; row and column are inside.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn store(a: &Args<'_>, p: &MatmulParams, r: usize, j: usize, sum: __m512) {
    let left = p.n as usize - j;
    let mask: __mmask16 = if left >= 16 { !0 } else { (1 << left) - 1 };
    // SAFETY: the mask keeps loads and stores inside the row.
    unsafe {
        let mut sum = sum;
        let bias = a.input::<f32>(BIAS);
        if !bias.is_empty() {
            sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, bias.as_ptr().add(j)));
        }
        let out = a.output::<f32>(Y).add(r * p.ldy as usize + j);
        if p.accumulate == 1 {
            sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, out));
        }
        _mm512_mask_storeu_ps(out, mask, sum);
    }
}

/// # Safety
/// As `panels`: `panel` holds `k / 2` steps of 64 bytes, every x has `k` elements, k is even.
#[inline]
#[target_feature(enable = "avx512f,avx512vl,f16c")]
unsafe fn dot_f16<const M: usize>(panel: *const u8, k: usize, x: [*const f32; M]) -> [__m512; M] {
    /// Independent sums per row, so that the adds of one row do not wait for each other.
    const U: usize = 4;
    let mut low = [[_mm512_setzero_ps(); U]; M];
    let mut high = [[_mm512_setzero_ps(); U]; M];
    let step = |low: &mut [[__m512; U]; M], high: &mut [[__m512; U]; M], i: usize, u: usize| {
        // SAFETY: i < k / 2.
        unsafe {
            let at = panel.add(i * 64);
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
            let w0 = _mm512_cvtph_ps(_mm256_loadu_si256(at.cast()));
            let w1 = _mm512_cvtph_ps(_mm256_loadu_si256(at.add(32).cast()));
            for r in 0..M {
                let pair = _mm512_castpd_ps(_mm512_set1_pd(x[r].cast::<f64>().add(i).read_unaligned()));
                low[r][u] = _mm512_fmadd_ps(w0, pair, low[r][u]);
                high[r][u] = _mm512_fmadd_ps(w1, pair, high[r][u]);
            }
        }
    };
    let steps = k / 2;
    let whole = steps - steps % U;
    for i in (0..whole).step_by(U) {
        for u in 0..U {
            step(&mut low, &mut high, i + u, u);
        }
    }
    for i in whole..steps {
        step(&mut low, &mut high, i, i - whole);
    }
    let even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    let odd = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
    std::array::from_fn(|r| {
        let (l, h) = (fold(low[r]), fold(high[r]));
        _mm512_add_ps(_mm512_permutex2var_ps(l, even, h), _mm512_permutex2var_ps(l, odd, h))
    })
}

/// # Safety
/// As `dot_f16`.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn dot_bf16<const M: usize>(panel: *const u8, k: usize, x: [*const f32; M]) -> [__m512; M] {
    let mut sums = [[_mm512_setzero_ps(); 4]; M];
    let upper = _mm512_set1_epi32(0xFFFF_0000u32 as i32);
    for i in 0..k / 2 {
        // SAFETY: i < k / 2.
        unsafe {
            let at = panel.add(i * 64);
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
            let w = _mm512_loadu_si512(at.cast());
            let w0 = _mm512_castsi512_ps(_mm512_slli_epi32::<16>(w));
            let w1 = _mm512_castsi512_ps(_mm512_and_si512(w, upper));
            let u = i % 2 * 2;
            for r in 0..M {
                sums[r][u] = _mm512_fmadd_ps(w0, _mm512_set1_ps(*x[r].add(2 * i)), sums[r][u]);
                sums[r][u + 1] = _mm512_fmadd_ps(w1, _mm512_set1_ps(*x[r].add(2 * i + 1)), sums[r][u + 1]);
            }
        }
    }
    std::array::from_fn(|r| fold(sums[r]))
}

/// # Safety
/// As `dot_f16`, with `k` steps.
#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn dot_f32<const M: usize>(panel: *const u8, k: usize, x: [*const f32; M]) -> [__m512; M] {
    let mut sums = [[_mm512_setzero_ps(); 4]; M];
    for i in 0..k {
        // SAFETY: i < k.
        unsafe {
            let at = panel.add(i * 64);
            _mm_prefetch::<_MM_HINT_T0>(at.wrapping_add(AHEAD).cast());
            let w = _mm512_loadu_ps(at.cast());
            for r in 0..M {
                sums[r][i % 4] = _mm512_fmadd_ps(w, _mm512_set1_ps(*x[r].add(i)), sums[r][i % 4]);
            }
        }
    }
    std::array::from_fn(|r| fold(sums[r]))
}

#[inline]
#[target_feature(enable = "avx512f")]
fn fold(s: [__m512; 4]) -> __m512 {
    _mm512_add_ps(_mm512_add_ps(s[0], s[1]), _mm512_add_ps(s[2], s[3]))
}
