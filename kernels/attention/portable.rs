//! Any CPU, any head size: one token and query head a unit, keys in blocks of a page, online softmax in f32.

use super::{AttentionParams, OUT, POSITIONS, Q, ROW_SEQ, View};
use crate::contract::{Args, Native};
use crate::{DType, kv, math};

pub(super) const NATIVE: Native = Native { phases: &[portable], scratch };

/// A worker's scratch: one decoded head vector.
fn scratch(key: &crate::contract::Key, workers: usize) -> usize {
    workers * key.k.next_multiple_of(16) * size_of::<f32>()
}

/// # Safety
/// As `contract::Phase`.
unsafe fn portable(a: &Args<'_>) {
    let p = *a.params.get::<AttentionParams>();
    let (heads, hd) = (p.heads as usize, p.head_dim as usize);
    let group = heads / p.kv_heads as usize;
    let dtype = DType::from_ggml(p.kv_dtype).unwrap_or(DType::F16);
    // SAFETY: the contract's buffers; a unit is one head of one row of out, and each worker has its own scratch.
    let (view, q, row_seq, positions, row) = unsafe {
        let mine = a.scratch.ptr.cast::<f32>().add(a.worker * hd.next_multiple_of(16));
        let row = std::slice::from_raw_parts_mut(mine, hd);
        (View::new(a, &p), a.input::<f32>(Q), a.input::<i32>(ROW_SEQ), a.input::<i32>(POSITIONS), row)
    };
    pulp::Arch::new().dispatch(
        #[inline(always)]
        || {
            for unit in a.share(a.rows * heads, 1) {
                let (r, h) = (unit / heads, unit % heads);
                let q = &q[r * p.ldq as usize + h * hd..][..hd];
                // SAFETY: as above.
                let out = unsafe {
                    std::slice::from_raw_parts_mut(a.output::<f32>(OUT).add(r * p.ldo as usize + h * hd), hd)
                };
                out.fill(0.0);
                let (mut top, mut total) = (f32::NEG_INFINITY, 0.0f32);
                let seen = view.seen(positions[r] as usize);
                let mut start = seen.start;
                while start < seen.end {
                    let end = seen.end.min((start / kv::PAGE + 1) * kv::PAGE);
                    let (keys, values) = view.at(row_seq[r] as usize, h / group, start);
                    let mut scores = [f32::NEG_INFINITY; kv::PAGE];
                    for (j, s) in scores[..end - start].iter_mut().enumerate() {
                        // SAFETY: inside the page.
                        unsafe { kv::load(dtype, keys.add(j * view.row_bytes), row) };
                        *s = dot(q, row) * p.scale;
                    }
                    let new_top = scores.iter().fold(top, |m, &s| m.max(s));
                    let keep = math::exp(top - new_top);
                    (top, total) = (new_top, total * keep);
                    out.iter_mut().for_each(|o| *o *= keep);
                    for (j, &s) in scores[..end - start].iter().enumerate() {
                        // SAFETY: inside the page.
                        unsafe { kv::load(dtype, values.add(j * view.row_bytes), row) };
                        let weight = math::exp(s - top);
                        total += weight;
                        out.iter_mut().zip(&*row).for_each(|(o, v)| *o = weight.mul_add(*v, *o));
                    }
                    start = end;
                }
                out.iter_mut().for_each(|o| *o /= total);
            }
        },
    );
}

/// Dot product in 32 partial sums.
#[inline(always)]
fn dot(x: &[f32], y: &[f32]) -> f32 {
    let mut sums = [0.0f32; 32];
    for (x, y) in x.chunks(32).zip(y.chunks(32)) {
        for ((s, x), y) in sums.iter_mut().zip(x).zip(y) {
            *s = x.mul_add(*y, *s);
        }
    }
    sums.iter().sum()
}
