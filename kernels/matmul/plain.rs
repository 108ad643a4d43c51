//! The variant that accepts everything: one row of w decoded at a time, whatever its type and layout; f64 sums.

use super::{BIAS, GATE, MatmulParams, W, X, Y, pack};
use crate::contract::{Args, Native};
use crate::{DType, act};

pub(super) const NATIVE: Native =
    Native { phases: &[plain], scratch: |key, workers| workers * key.k.next_multiple_of(16) * size_of::<f32>() };

/// # Safety
/// As `contract::Phase`.
unsafe fn plain(a: &Args<'_>) {
    let p = *a.params.get::<MatmulParams>();
    let (n, k) = (p.n as usize, p.k as usize);
    let dtype = DType::from_ggml(p.act).unwrap_or(DType::F32);
    // SAFETY: the contract's buffers; each worker has its own row of scratch and its own columns of y.
    unsafe {
        let (x, w) = (a.output::<u8>(X).cast_const(), a.input::<u8>(W));
        let (bias, biased) = (a.output::<u8>(BIAS).cast_const(), p.bias == 1);
        let v = if p.gated == 1 { a.input::<u8>(GATE) } else { &[] };
        let y = a.output::<u8>(Y);
        let mine = a.scratch.ptr.cast::<f32>().add(a.worker * k.next_multiple_of(16));
        let row = std::slice::from_raw_parts_mut(mine, k);
        for j in a.share(n, 1) {
            let dot = |r: usize, row: &[f32]| {
                let x = |i| act::load(dtype, x, r * p.ldx as usize + i);
                row.iter().enumerate().map(|(i, &w)| f64::from(x(i)) * f64::from(w)).sum::<f64>()
            };
            let bias = if biased { act::load(dtype, bias, j) } else { 0.0 };
            if p.gated == 1 {
                pack::decode_row(p.dtype(), p.layout(), v, k, j, row);
                for r in 0..a.rows {
                    act::store(dtype, y, r * p.ldy as usize + j, dot(r, row) as f32);
                }
            }
            pack::decode_row(p.dtype(), p.layout(), w, k, j, row);
            for r in 0..a.rows {
                let sum = dot(r, row);
                let at = r * p.ldy as usize + j;
                if p.gated == 1 {
                    let up = act::load(dtype, y, at);
                    act::store(dtype, y, at, up * (sum / (1.0 + (-sum).exp())) as f32);
                    continue;
                }
                let before = if p.accumulate == 1 { act::load(dtype, y, at) } else { 0.0 };
                act::store(dtype, y, at, sum as f32 + bias + before);
            }
        }
    }
}
