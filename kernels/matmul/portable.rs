//! Row-major weights of any type on any CPU: a row of w is decoded once and multiplied with four rows of x at a time.
//!
//! A worker owns columns of y. The order of every sum is fixed by the code alone, whatever vectors the CPU has.

use super::{BIAS, MatmulParams, W, X, Y};
use crate::contract::{Args, Native};
use crate::quant;
use crate::vector::widest;

pub(super) const NATIVE: Native =
    Native { phases: &[portable], scratch: |key, workers| workers * key.k.next_multiple_of(16) * size_of::<f32>() };

widest!(portable, columns);

/// # Safety
/// As `contract::Phase`.
#[inline(always)]
unsafe fn columns(a: &Args<'_>) {
    let p = *a.params.get::<MatmulParams>();
    let (n, k) = (p.n as usize, p.k as usize);
    let stride = p.dtype().bytes(k).unwrap_or(0);
    let decode = quant::row_decoder(p.dtype());
    // SAFETY: the contract's buffers; each worker has its own row of scratch and its own columns of y.
    unsafe {
        let (x, w, bias) = (a.input::<f32>(X), a.input::<u8>(W), a.input::<f32>(BIAS));
        let y = a.output::<f32>(Y);
        let mine = a.scratch.ptr.cast::<f32>().add(a.worker * k.next_multiple_of(16));
        let row = std::slice::from_raw_parts_mut(mine, k);
        for j in a.share(n, 16) {
            decode(&w[j * stride..][..stride], row);
            let bias = bias.get(j).copied().unwrap_or(0.0);
            let store = |r: usize, sum: f32| {
                let out = y.add(r * p.ldy as usize + j);
                let before = if p.accumulate == 1 { *out } else { 0.0 };
                *out = sum + bias + before;
            };
            let x_row = |r: usize| &x[r * p.ldx as usize..][..k];
            let whole = a.rows - a.rows % 4;
            for r in (0..whole).step_by(4) {
                let sums = dots(row, [x_row(r), x_row(r + 1), x_row(r + 2), x_row(r + 3)]);
                sums.iter().enumerate().for_each(|(i, &s)| store(r + i, s));
            }
            for r in whole..a.rows {
                let [sum] = dots(row, [x_row(r)]);
                store(r, sum);
            }
        }
    }
}

/// Lanes that every sum is split into, on every CPU.
const LANES: usize = 32;

/// Dot products of one row with several, each in 32 interleaved partial sums.
#[inline(always)]
fn dots<const G: usize>(w: &[f32], x: [&[f32]; G]) -> [f32; G] {
    let mut sums = [[0.0f32; LANES]; G];
    let (chunks, tail) = w.as_chunks::<LANES>();
    for (c, w) in chunks.iter().enumerate() {
        for g in 0..G {
            let x: &[f32] = &x[g][c * LANES..][..LANES];
            for l in 0..LANES {
                sums[g][l] = w[l].mul_add(x[l], sums[g][l]);
            }
        }
    }
    let done = chunks.len() * LANES;
    for g in 0..G {
        for (l, w) in tail.iter().enumerate() {
            sums[g][l] = w.mul_add(x[g][done + l], sums[g][l]);
        }
    }
    sums.map(|mut s| {
        let mut width = LANES / 2;
        while width > 0 {
            for i in 0..width {
                s[i] += s[i + width];
            }
            width /= 2;
        }
        s[0]
    })
}
