//! Many rows of x against panels in f32: two panels at a time are converted into the second-level cache and multiplied with twelve
//! rows of x at a time (24 sums in registers). A worker owns panels.

use std::arch::x86_64::*;

use super::avx512::store;
use super::{GATE, MatmulParams, W, X, pack, unpack};
use crate::contract::{Args, Native};
use crate::x86::gate;

pub(super) const NATIVE: Native =
    Native { phases: &[gemm], scratch: |key, workers| workers * 2 * pack::ROWS * key.k * size_of::<f32>() };

/// Products that are summed before they join the others: short sums are exacter.
const SLICE: usize = 256;

/// Rows of x in registers.
const ROWS: usize = 12;

/// # Safety
/// As `contract::Phase`; the CPU has AVX-512 F, BW and VL.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,f16c")]
unsafe fn gemm(a: &Args<'_>) {
    let p = a.params.get::<MatmulParams>();
    let (n, k, dtype) = (p.n as usize, p.k as usize, p.dtype());
    let bytes = pack::panel_bytes(dtype, k);
    let panels = n.div_ceil(pack::ROWS);
    let per_pair = if p.gated == 1 { 1 } else { 2 };
    // SAFETY: the contract's buffers; each worker has its own part of scratch and its own columns of y.
    unsafe {
        let weights = a.scratch.ptr.cast::<f32>().add(a.worker * 2 * pack::ROWS * k);
        for panel in a.share(panels, per_pair).step_by(per_pair) {
            let (second, count) = match () {
                () if p.gated == 1 => ((GATE, panel), 2),
                () if panel + 1 < panels => ((W, panel + 1), 2),
                () => ((W, panel), 1),
            };
            for (i, (from, panel)) in [(W, panel), second].into_iter().take(count).enumerate() {
                let from = a.input::<u8>(from).as_ptr().add(panel * bytes);
                unpack::to_f32(dtype, from, 0, k, weights.add(i * pack::ROWS * k));
            }
            let pair = Pair { a, p, j: panel * pack::ROWS, weights };
            for first in (0..a.rows).step_by(ROWS) {
                pair.rows(first, count);
            }
        }
    }
}

/// Two panels in f32, or the last one.
struct Pair<'a> {
    a: &'a Args<'a>,
    p: &'a MatmulParams,
    /// The first column.
    j: usize,
    weights: *const f32,
}

impl Pair<'_> {
    /// # Safety
    /// As `gemm`; `first` is a row.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn rows(&self, first: usize, panels: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            match (self.a.rows - first, panels) {
                (12.., 2) => self.multiply::<12, 2>(first),
                (8.., 2) => self.some::<8, 4, 2>(first),
                (_, 2) => self.some::<4, 1, 2>(first),
                (8.., _) => self.some::<8, 4, 1>(first),
                _ => self.some::<4, 1, 1>(first),
            }
        }
    }

    /// The rows from `first` to the end of the twelve, `A` at a time and the rest `B` at a time and one by one.
    ///
    /// # Safety
    /// As `rows`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn some<const A: usize, const B: usize, const P: usize>(&self, first: usize) {
        let end = (first + ROWS).min(self.a.rows);
        let mut r = first;
        // SAFETY: the caller's promise; r stays below the end.
        unsafe {
            while r + A <= end {
                self.multiply::<A, P>(r);
                r += A;
            }
            while r + B <= end {
                self.multiply::<B, P>(r);
                r += B;
            }
            while r < end {
                self.multiply::<1, P>(r);
                r += 1;
            }
        }
    }

    /// # Safety
    /// As `rows`; rows `first..first + M` exist.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl")]
    unsafe fn multiply<const M: usize, const P: usize>(&self, first: usize) {
        let (a, p) = (self.a, self.p);
        let k = p.k as usize;
        // SAFETY: the caller's promise.
        unsafe {
            let x: [*const f32; M] =
                std::array::from_fn(|r| a.output::<f32>(X).cast_const().add((first + r) * p.ldx as usize));
            let mut sums = [[_mm512_setzero_ps(); P]; M];
            for from in (0..k).step_by(SLICE) {
                let mut part = [[_mm512_setzero_ps(); P]; M];
                for i in from..(from + SLICE).min(k) {
                    let w: [__m512; P] =
                        std::array::from_fn(|b| _mm512_loadu_ps(self.weights.add((b * k + i) * pack::ROWS)));
                    for r in 0..M {
                        let x = _mm512_set1_ps(*x[r].add(i));
                        for b in 0..P {
                            part[r][b] = _mm512_fmadd_ps(w[b], x, part[r][b]);
                        }
                    }
                }
                for (sums, part) in sums.iter_mut().zip(part) {
                    for (sum, part) in sums.iter_mut().zip(part) {
                        *sum = _mm512_add_ps(*sum, part);
                    }
                }
            }
            for (r, sums) in sums.iter().enumerate() {
                if p.gated == 1 {
                    store(a, p, first + r, self.j, gate(sums[0], sums[P - 1]));
                    continue;
                }
                for (b, sum) in sums.iter().enumerate() {
                    store(a, p, first + r, self.j + b * pack::ROWS, *sum);
                }
            }
        }
    }
}
