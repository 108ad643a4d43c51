//! The variant that accepts everything: one row of w at a time, whatever its type and layout; f64 sums.

use super::{BIAS, GATE, MatmulParams, W, X, Y, pack, tiled_at};
use crate::contract::{Args, Native};
use crate::{DType, act};

pub(super) const NATIVE: Native =
    Native { phases: &[plain], scratch: |key, workers| workers * 2 * key.k.next_multiple_of(16) * size_of::<f32>() };

/// # Safety
/// As `contract::Phase`.
unsafe fn plain(a: &Args<'_>) {
    let p = *a.params.get::<MatmulParams>();
    let (n, k) = (p.n as usize, p.k as usize);
    let act = DType::from_ggml(p.act).unwrap_or(DType::F32);
    // Type and place of an element, in rows or in tiles.
    let x_type = if p.ldx == 0 { DType::BF16 } else { act };
    let y_type = if p.ldy == 0 { DType::BF16 } else { act };
    let (x_row, x_col) = if p.transpose_a == 1 { (1, p.ldx as usize) } else { (p.ldx as usize, 1) };
    let x_at = |r: usize, i: usize| if p.ldx == 0 { tiled_at(k, r, i) } else { r * x_row + i * x_col };
    let y_at = |r: usize, j: usize| if p.ldy == 0 { tiled_at(n, r, j) } else { r * p.ldy as usize + j };
    // SAFETY: the contract's buffers; each worker has its own row of scratch and its own columns of y.
    unsafe {
        let (x, w) = (a.output::<u8>(X).cast_const(), a.input::<u8>(W));
        let (bias, biased) = (a.output::<u8>(BIAS).cast_const(), p.bias == 1);
        let v = if p.gated == 1 { a.input::<u8>(GATE) } else { &[] };
        let y = a.output::<u8>(Y);
        let space = k.next_multiple_of(16);
        let mine = a.scratch.ptr.cast::<f32>().add(a.worker * 2 * space);
        let (row, second) =
            (std::slice::from_raw_parts_mut(mine, k), std::slice::from_raw_parts_mut(mine.add(space), k));
        for unit in a.share(n * p.batch as usize, 1) {
            let (b, j) = (unit / n, unit % n);
            let (bx, by) = (b * p.bx as usize, b * p.by as usize);
            let dot = |r: usize, row: &[f32]| {
                let x = |i| act::load(x_type, x, bx + x_at(r, i));
                row.iter().enumerate().map(|(i, &w)| f64::from(x(i)) * f64::from(w)).sum::<f64>()
            };
            let bias = if biased { f64::from(act::load(act, bias, j)) } else { 0.0 };
            if p.transpose_b == 1 {
                let w = &w[b * p.bw as usize * p.dtype().block_bytes() / p.dtype().block()..];
                pack::decode_row(p.dtype(), p.layout(), w, k, j, row);
            } else {
                let at = |i: usize| b * p.bw as usize + i * n + j;
                row.iter_mut().enumerate().for_each(|(i, to)| *to = act::load(p.dtype(), w.as_ptr(), at(i)));
            }
            if p.gated == 1 {
                pack::decode_row(p.dtype(), p.layout(), v, k, j, second);
            }
            for r in 0..a.rows {
                let (sum, at) = (dot(r, row), by + y_at(r, j));
                if p.gated == 1 {
                    act::store(y_type, y, at, (dot(r, second) * (sum / (1.0 + (-sum).exp()))) as f32);
                    continue;
                }
                let before = if p.accumulate == 1 { f64::from(act::load(y_type, y, at)) } else { 0.0 };
                act::store(y_type, y, at, p.finish(sum, bias, before) as f32);
            }
        }
    }
}
