//! `softmax: y[b, r, j] = exp(s x[b, r, j] - top) / sum_j exp(s x[b, r, j] - top)`, top = max_j s x[b, r, j]
//!
//! `batch` problems (heads) of m rows (queries) and k columns (keys). x, y: element (b, r, j) lies at `b * bx + r * ldx + j`, `act`
//! is their type; in place where they are the same. With `causal`, row r sees the columns j <= r + offset; the others become 0.
//! x is finite or -inf. A row that sees nothing but -inf, or nothing at all, becomes 0.
//!
//! Error budget, times the value: half a step of the type. A case adds what f32 costs: the exponent's own rounding, which is
//! relative to the magnitude of s x, and the sum's.

use crate::cases::Rng;
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Params, params};
use crate::{DType, act};

params! {
    /// Arguments.
    pub struct SoftmaxParams {
        /// Columns.
        pub k: u32,
        /// Elements from one row of x to the next.
        pub ldx: u32,
        /// Elements from one row of y to the next.
        pub ldy: u32,
        /// Elements from one problem of x to the next.
        pub bx: u32,
        /// Elements from one problem of y to the next.
        pub by: u32,
        /// 1 hides the columns after r + offset.
        pub causal: u32,
        /// Position of the first row among the columns; below zero where rows come before all columns.
        pub offset: i32,
        /// Problems.
        pub batch: u32,
        /// Type of x and y, as its GGUF number.
        pub act: u32,
        /// s, the factor on x.
        pub scale: f32,
    }
}

impl SoftmaxParams {
    /// Columns that row `r` sees.
    fn seen(&self, r: usize) -> usize {
        if self.causal == 0 {
            return self.k as usize;
        }
        (r as i64 + i64::from(self.offset) + 1).clamp(0, i64::from(self.k)) as usize
    }
}

/// The op.
pub static OP: Op = Op {
    name: "softmax",
    manifest: include_str!("variants.json"),
    params: SoftmaxParams::INFO,
    native,
    cases,
    budget: act::rounding,
};

fn native(entry: &str) -> Option<Native> {
    (entry == "plain").then_some(Native { phases: &[plain], scratch: |_, _| 0 })
}

/// # Safety
/// As `contract::Phase`.
unsafe fn plain(a: &Args<'_>) {
    let p = *a.params.get::<SoftmaxParams>();
    let Some(dtype) = DType::from_ggml(p.act) else { return };
    let (x, y) = (a.output::<u8>(1).cast_const(), a.output::<u8>(0));
    for unit in a.share(a.rows * p.batch as usize, 1) {
        let (b, r) = (unit / a.rows, unit % a.rows);
        let (from, to) = (b * p.bx as usize + r * p.ldx as usize, b * p.by as usize + r * p.ldy as usize);
        let seen = p.seen(r);
        // SAFETY: the contract's buffers; this row belongs to this unit alone.
        unsafe {
            let value = |j| f64::from(p.scale) * f64::from(act::load(dtype, x, from + j));
            let top = (0..seen).map(value).fold(f64::MIN, f64::max);
            let sum: f64 = (0..seen).map(|j| (value(j) - top).exp()).sum();
            for j in 0..p.k as usize {
                let weight = if j < seen && sum > 0.0 { (value(j) - top).exp() / sum } else { 0.0 };
                act::store(dtype, y, to + j, weight as f32);
            }
        }
    }
}

/// The key of a softmax.
pub fn key(m: usize, k: usize, batch: usize, act: DType, flags: Flags) -> Key {
    Key { op: "softmax", m, n: k, k, batch, w: act, act, layout: Layout::Row, flags }
}

/// What a case tries.
#[derive(Clone, Copy)]
struct Shape {
    m: usize,
    k: usize,
    batch: usize,
    /// Offset of the first row, where causal.
    causal: Option<i32>,
    std: f32,
    /// Every such column is -inf.
    hole: Option<usize>,
}

fn cases() -> Vec<Case> {
    let base = Shape { m: 1, k: 1, batch: 1, causal: None, std: 1.0, hole: None };
    let shapes = [
        base,
        Shape { m: 3, k: 7, batch: 2, ..base },
        Shape { m: 2, k: 100, std: 200.0, ..base },
        Shape { m: 5, k: 256, batch: 3, causal: Some(0), ..base },
        Shape { m: 4, k: 33, causal: Some(17), std: 5.0, ..base },
        Shape { m: 6, k: 40, causal: Some(-3), ..base },
        Shape { m: 2, k: 1023, hole: Some(3), ..base },
        Shape { m: 2, k: 1024, std: 0.0, ..base },
        Shape { m: 2, k: 50, hole: Some(1), ..base },
        Shape { m: 3, k: 700, batch: 2, causal: Some(500), std: 1e4, hole: Some(9) },
        Shape { m: 1, k: 1025, std: 4.0, ..base },
        Shape { m: 2, k: 3001, batch: 2, causal: Some(2800), ..base },
        Shape { m: 1, k: 5000, std: 3000.0, hole: Some(7), ..base },
    ];
    [DType::F32, DType::F16].iter().flat_map(|&d| shapes.iter().map(move |s| case(d, s))).collect()
}

fn case(dtype: DType, s: &Shape) -> Case {
    // Strides wider than the rows, so that a kernel that ignores them writes where the poison must stay.
    let (ldx, ldy) = (s.k + 3, s.k + 8);
    let (bx, by) = (s.m * ldx + 1, s.m * ldy + 5);
    let mut x = Rng(s.k as u64).normals(s.batch * bx, s.std);
    if let Some(step) = s.hole {
        x.iter_mut().step_by(step).for_each(|v| *v = f32::NEG_INFINITY);
    }
    let operand = act::operand(crate::contract::Role::Input, dtype, &mut x);
    let params = SoftmaxParams {
        k: s.k as u32,
        ldx: ldx as u32,
        ldy: ldy as u32,
        bx: bx as u32,
        by: by as u32,
        causal: s.causal.is_some() as u32,
        offset: s.causal.unwrap_or(0),
        batch: s.batch as u32,
        act: dtype.ggml(),
        scale: 0.7,
    };
    let budget = act::rounding(dtype);
    let mut e = Expect { operand: 0, value: vec![], scale: vec![], at: vec![] };
    for b in 0..s.batch {
        for r in 0..s.m {
            let seen = params.seen(r);
            let row: Vec<f64> =
                x[b * bx + r * ldx..][..s.k].iter().map(|&v| f64::from(v) * f64::from(0.7f32)).collect();
            let top = row[..seen].iter().fold(f64::MIN, |m, &v| m.max(v));
            let weights: Vec<f64> = row[..seen].iter().map(|v| (v - top).exp()).collect();
            let sum: f64 = weights.iter().sum();
            let size = row[..seen].iter().filter(|v| v.is_finite()).fold(0.0f64, |m, v| m.max(v.abs()));
            let weight = |j: usize| weights.get(j).map_or(0.0, |w| if sum > 0.0 { w / sum } else { 0.0 });
            for (j, value) in (0..s.k).map(|j| (j, weight(j))) {
                // Three roundings of the exponent, exp's own error, and a random walk of the sum's.
                let float = (3.0 * size + 8.0 + (s.k as f64).sqrt()) * 6e-8;
                let smallest = if dtype == DType::F16 { 6e-8 } else { 1e-37 };
                e.value.push(value);
                e.scale.push(value * (1.0 + float / budget) + smallest / budget);
                e.at.push(b * by + r * ldy + j);
            }
        }
    }
    let flags = if s.causal.is_some() { Flags::CAUSAL } else { Flags::NONE };
    Case {
        name: format!(
            "{dtype} m={} k={} batch={} causal={:?} std={} hole={:?}",
            s.m, s.k, s.batch, s.causal, s.std, s.hole
        ),
        key: key(s.m, s.k, s.batch, dtype, flags),
        params: Params::new(&params),
        rows: s.m,
        operands: vec![act::output(dtype, s.batch * by), operand],
        packed: vec![],
        expect: vec![e],
    }
}
