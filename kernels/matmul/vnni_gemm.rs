//! Many rows of x against q8_0 and q4_0 panels in integers, on CPUs without tiles: x as in `vnni`, products and sums exact, one scaling
//! a block. Twice the products an instruction that f32 has.
//!
//! Phase 1 brings x into integers. Phase 2: workers claim pairs of panels. A pair is brought into 16-bit integers, 68 bytes an element
//! of k, for the second-level cache, and multiplied with six rows of x at a time (12 integer and 12 float sums in registers).

use std::arch::x86_64::*;

use super::avx512::store;
use super::vnni::{BLOCK, Row, pair, quantize, row_bytes, scales};
use super::{GATE, MatmulParams, W, X, pack};
use crate::DType;
use crate::contract::{Args, Key, Native};
use crate::x86::gate;

pub(super) const NATIVE: Native = Native { phases: &[quantize_x, gemm], scratch };

/// Rows of x in registers.
const ROWS: usize = 6;

/// Bytes of a block of two panels: 16 pairs of integers and the scales of sixteen rows, each.
const INTEGERS: usize = 2 * 16 * 64;
const BLOCK_BYTES: usize = INTEGERS + 2 * 64;

fn scratch(key: &Key, workers: usize) -> usize {
    key.m * row_bytes(key.k) + workers * (key.k / BLOCK * BLOCK_BYTES)
}

/// # Safety
/// As `contract::Phase`; the CPU has AVX-512 F, BW and VL; k is a multiple of 32.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
unsafe fn quantize_x(a: &Args<'_>) {
    let p = a.params.get::<MatmulParams>();
    let k = p.k as usize;
    for r in a.share(a.rows, 1) {
        // SAFETY: the contract's buffers; each row has its place in scratch.
        unsafe { quantize(a.output::<f32>(X).add(r * p.ldx as usize), k, Row::at(a.scratch.ptr, r, k)) };
    }
}

/// # Safety
/// As `contract::Phase`, after `quantize_x`; the CPU has AVX-512 F, BW, VL and VNNI.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,f16c")]
unsafe fn gemm(a: &Args<'_>) {
    let p = a.params.get::<MatmulParams>();
    let k = p.k as usize;
    let panels = (p.n as usize).div_ceil(pack::ROWS);
    let per_pair = if p.gated == 1 { 1 } else { 2 };
    // SAFETY: the contract's buffers; a worker has its own part of scratch behind x, and its own columns of y.
    unsafe {
        let weights = a.scratch.ptr.add(a.rows * row_bytes(k) + a.worker * (k / BLOCK * BLOCK_BYTES));
        while let Some(panel) = a.claim(panels.div_ceil(per_pair)).map(|i| i * per_pair) {
            let second = if p.gated == 1 { (GATE, panel) } else { (W, (panel + 1).min(panels - 1)) };
            for (i, (from, panel)) in [(W, panel), second].into_iter().enumerate() {
                let from = a.input::<u8>(from).as_ptr().add(panel * pack::panel_bytes(p.dtype(), k));
                to_integers(p.dtype(), from, k, weights.add(i * 64));
            }
            let job = Job { a, p, panel, panels, weights };
            const { assert!(ROWS == 6, "one arm for each number of rows") };
            for first in (0..a.rows).step_by(ROWS) {
                match a.rows - first {
                    1 => job.multiply::<1>(first),
                    2 => job.multiply::<2>(first),
                    3 => job.multiply::<3>(first),
                    4 => job.multiply::<4>(first),
                    5 => job.multiply::<5>(first),
                    _ => job.multiply::<ROWS>(first),
                }
            }
        }
    }
}

/// Brings a panel into 16-bit integers and f32 scales, every other 64 bytes from `to` on; the other panel of the pair lies between.
///
/// # Safety
/// The panel is whole; `to` has room for k / 32 blocks.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
unsafe fn to_integers(dtype: DType, panel: *const u8, k: usize, to: *mut u8) {
    let (low, eight) = (_mm512_set1_epi16(15), _mm512_set1_epi16(8));
    let bytes = pack::panel_bytes(dtype, BLOCK);
    // SAFETY: the caller's promise.
    unsafe {
        for b in 0..k / BLOCK {
            let (from, to) = (panel.add(b * bytes), to.add(b * BLOCK_BYTES));
            let quants = from.add(2 * pack::ROWS);
            for i in 0..16 {
                let w = if dtype == DType::Q8_0 {
                    _mm512_cvtepi8_epi16(_mm256_loadu_si256(quants.add(i * 32).cast()))
                } else {
                    let words = _mm512_loadu_si512(quants.add(i / 4 * 64).cast());
                    let nibbles = _mm512_and_si512(_mm512_srl_epi16(words, _mm_cvtsi32_si128(i as i32 % 4 * 4)), low);
                    _mm512_sub_epi16(nibbles, eight)
                };
                _mm512_storeu_si512(to.add(i * 128).cast(), w);
            }
            _mm512_storeu_ps(to.add(INTEGERS).cast(), scales(from));
        }
    }
}

/// A pair of panels in integers, to multiply with all of x.
struct Job<'a> {
    a: &'a Args<'a>,
    p: &'a MatmulParams,
    /// The first of the two.
    panel: usize,
    /// Panels there are.
    panels: usize,
    weights: *const u8,
}

impl Job<'_> {
    /// # Safety
    /// As `gemm`; rows `first..first + M` exist.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    unsafe fn multiply<const M: usize>(&self, first: usize) {
        let (a, p) = (self.a, self.p);
        let k = p.k as usize;
        // SAFETY: the caller's promise.
        unsafe {
            let x: [Row; M] = std::array::from_fn(|r| Row::at(a.scratch.ptr, first + r, k));
            let mut sums = [[_mm512_setzero_ps(); 2]; M];
            for b in 0..k / BLOCK {
                let block = self.weights.add(b * BLOCK_BYTES);
                let mut dots = [[_mm512_setzero_si512(); 2]; M];
                for i in 0..16 {
                    let w = [0, 64].map(|side| _mm512_loadu_si512(block.add(i * 128 + side).cast()));
                    for r in 0..M {
                        let x = pair(x[r], b * 16 + i);
                        for (dot, w) in dots[r].iter_mut().zip(w) {
                            *dot = _mm512_dpwssd_epi32(*dot, w, x);
                        }
                    }
                }
                let scale = [0, 64].map(|side| _mm512_loadu_ps(block.add(INTEGERS + side).cast()));
                for r in 0..M {
                    let x_scale = _mm512_set1_ps(*x[r].scales.add(b));
                    for i in 0..2 {
                        let scale = _mm512_mul_ps(scale[i], x_scale);
                        sums[r][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dots[r][i]), scale, sums[r][i]);
                    }
                }
            }
            let j = self.panel * pack::ROWS;
            for (r, [one, other]) in sums.into_iter().enumerate() {
                if p.gated == 1 {
                    store(a, p, first + r, j, gate(one, other));
                    continue;
                }
                store(a, p, first + r, j, one);
                if self.panel + 1 < self.panels {
                    store(a, p, first + r, j + pack::ROWS, other);
                }
            }
        }
    }
}
