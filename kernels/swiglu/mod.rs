//! `swiglu: y[r, j] = silu(g[r, j]) * g[r, k + j]`
//!
//! m rows, k columns. y: (m, k) f32, g: (m, 2k) f32: the gate's columns, then the up projection's (Shazeer 2020).

use crate::cases::{self, Rng};
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Params, Role, params};
use crate::vector::widest;
use crate::{DType, math};

params! {
    /// Arguments.
    pub struct SwigluParams {
        /// Columns of the result.
        pub k: u32,
    }
}

/// The op.
pub static OP: Op = Op {
    name: "swiglu",
    manifest: include_str!("variants.json"),
    params: SwigluParams::INFO,
    native,
    cases,
    budget: |_| 2e-6,
};

fn native(entry: &str) -> Option<Native> {
    (entry == "swiglu").then_some(Native { phases: &[swiglu], scratch: |_, _| 0 })
}

widest!(swiglu, spans);

/// # Safety
/// As `contract::Phase`.
#[inline(always)]
unsafe fn spans(a: &Args<'_>) {
    /// Columns a worker takes at a time: whole cache lines.
    const SPAN: usize = 64;
    let k = a.params.get::<SwigluParams>().k as usize;
    let spans = k.div_ceil(SPAN);
    // SAFETY: the contract's buffers; each worker writes its own spans.
    let g = unsafe { a.input::<f32>(1) };
    let y = a.output::<f32>(0);
    for unit in a.share(a.rows * spans, 1) {
        let (r, at) = (unit / spans, unit % spans * SPAN);
        let len = SPAN.min(k - at);
        let gate = &g[r * 2 * k + at..][..len];
        let up = &g[r * 2 * k + k + at..][..len];
        // SAFETY: row r, columns at..at+len of y belong to this unit alone.
        let out = unsafe { std::slice::from_raw_parts_mut(y.add(r * k + at), len) };
        for ((o, &x), &u) in out.iter_mut().zip(gate).zip(up) {
            *o = math::silu(x) * u;
        }
    }
}

/// The key of a swiglu.
pub fn key(m: usize, k: usize) -> Key {
    Key { op: "swiglu", m, n: k, k, batch: 1, w: DType::F32, act: DType::F32, layout: Layout::Row, flags: Flags::NONE }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 1, 1.0), (2, 63, 1.0), (3, 200, 8.0), (1, 130, 60.0)];
    let case = |&(m, k, std): &(usize, usize, f32)| {
        let g = Rng(5).normals(m * 2 * k, std);
        let pairs = (0..m * k).map(|i| {
            let (r, j) = (i / k, i % k);
            (f64::from(g[r * 2 * k + j]), f64::from(g[r * 2 * k + k + j]))
        });
        let value: Vec<f64> = pairs.map(|(x, u)| x / (1.0 + (-x).exp()) * u).collect();
        Case {
            name: format!("m={m} k={k} std={std}"),
            key: key(m, k),
            params: Params::new(&SwigluParams { k: k as u32 }),
            rows: m,
            operands: vec![cases::f32s(Role::Output, &vec![0.0; m * k]), cases::f32s(Role::Input, &g)],
            packed: vec![],
            expect: vec![Expect {
                operand: 0,
                scale: value.iter().map(|v| v.abs() + 1e-30).collect(),
                value,
                at: vec![],
            }],
        }
    };
    shapes.iter().map(case).collect()
}
