//! The variant that accepts everything: one row of w decoded at a time, whatever its type and layout; f64 sums.

use super::{BIAS, GATE, MatmulParams, W, X, Y, pack};
use crate::contract::{Args, Native};

pub(super) const NATIVE: Native =
    Native { phases: &[plain], scratch: |key, workers| workers * key.k.next_multiple_of(16) * size_of::<f32>() };

/// # Safety
/// As `contract::Phase`.
unsafe fn plain(a: &Args<'_>) {
    let p = *a.params.get::<MatmulParams>();
    let (n, k) = (p.n as usize, p.k as usize);
    // SAFETY: the contract's buffers; each worker has its own row of scratch and its own columns of y.
    unsafe {
        let (x, w, bias) = (a.input::<f32>(X), a.input::<u8>(W), a.input::<f32>(BIAS));
        let v = if p.gated == 1 { a.input::<u8>(GATE) } else { &[] };
        let y = a.output::<f32>(Y);
        let mine = a.scratch.ptr.cast::<f32>().add(a.worker * k.next_multiple_of(16));
        let row = std::slice::from_raw_parts_mut(mine, k);
        for j in a.share(n, 1) {
            let dot = |r: usize, row: &[f32]| {
                let x = &x[r * p.ldx as usize..][..k];
                x.iter().zip(row).map(|(&x, &w)| f64::from(x) * f64::from(w)).sum::<f64>()
            };
            if p.gated == 1 {
                pack::decode_row(p.dtype(), p.layout(), v, k, j, row);
                for r in 0..a.rows {
                    *y.add(r * p.ldy as usize + j) = dot(r, row) as f32;
                }
            }
            pack::decode_row(p.dtype(), p.layout(), w, k, j, row);
            for r in 0..a.rows {
                let sum = dot(r, row);
                let out = y.add(r * p.ldy as usize + j);
                if p.gated == 1 {
                    *out *= (sum / (1.0 + (-sum).exp())) as f32;
                    continue;
                }
                let before = if p.accumulate == 1 { *out } else { 0.0 };
                *out = sum as f32 + bias.get(j).copied().unwrap_or(0.0) + before;
            }
        }
    }
}
