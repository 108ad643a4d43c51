//! Many rows of x against panels in f32: a slice of two panels is converted into the first-level cache and multiplied with
//! twelve rows of x at a time (24 sums in registers). A worker owns panels; sums over k go slice by slice, in order.

use std::arch::x86_64::*;

use super::{BIAS, MatmulParams, W, X, Y, pack, unpack};
use crate::contract::{Args, Native};

pub(super) const NATIVE: Native =
    Native { phases: &[gemm], scratch: |_, workers| workers * SLICE * 2 * pack::ROWS * size_of::<f32>() };

/// Elements of k in a slice: two panels of it take 32 KiB.
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
    // SAFETY: the contract's buffers; each worker has its own slice of scratch and its own columns of y.
    unsafe {
        let slice = a.scratch.ptr.cast::<f32>().add(a.worker * SLICE * 2 * pack::ROWS);
        let w = a.input::<u8>(W).as_ptr();
        for from in (0..k).step_by(SLICE) {
            let to = (from + SLICE).min(k);
            for j in a.share(n, 2 * pack::ROWS).step_by(2 * pack::ROWS) {
                let panels = if j + pack::ROWS < n { 2 } else { 1 };
                for i in 0..panels {
                    let panel = w.add((j / pack::ROWS + i) * bytes);
                    unpack::to_f32(dtype, panel, from, to, slice.add(i * SLICE * pack::ROWS));
                }
                let tile = Tile { a, p, j, from, to, slice };
                for first in (0..a.rows).step_by(ROWS) {
                    tile.rows(first, panels);
                }
            }
        }
    }
}

/// One slice of two panels.
struct Tile<'a> {
    a: &'a Args<'a>,
    p: &'a MatmulParams,
    j: usize,
    from: usize,
    to: usize,
    slice: *const f32,
}

impl Tile<'_> {
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
        // SAFETY: the caller's promise; the mask keeps columns inside the row.
        unsafe {
            let x: [*const f32; M] =
                std::array::from_fn(|r| a.output::<f32>(X).cast_const().add((first + r) * p.ldx as usize + self.from));
            let mut sums = [[_mm512_setzero_ps(); P]; M];
            for i in 0..self.to - self.from {
                let w: [__m512; P] =
                    std::array::from_fn(|b| _mm512_loadu_ps(self.slice.add((b * SLICE + i) * pack::ROWS)));
                for r in 0..M {
                    let x = _mm512_set1_ps(*x[r].add(i));
                    for b in 0..P {
                        sums[r][b] = _mm512_fmadd_ps(w[b], x, sums[r][b]);
                    }
                }
            }
            let bias = a.input::<f32>(BIAS);
            for (r, row) in sums.iter().enumerate() {
                for (b, sum) in row.iter().enumerate() {
                    let j = self.j + b * pack::ROWS;
                    let left = p.n as usize - j;
                    let mask: __mmask16 = if left >= 16 { !0 } else { (1 << left) - 1 };
                    let out = a.output::<f32>(Y).add((first + r) * p.ldy as usize + j);
                    let mut sum = *sum;
                    if self.from > 0 || p.accumulate == 1 {
                        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, out));
                    }
                    if self.from == 0 && !bias.is_empty() {
                        sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(mask, bias.as_ptr().add(j)));
                    }
                    _mm512_mask_storeu_ps(out, mask, sum);
                }
            }
        }
    }
}
