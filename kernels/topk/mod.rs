//! `topk: values[r, i] = x[r, indices[r, i]]`, the i-th largest of row r
//!
//! m rows (logits) of k elements; n values kept, at most 256 and at most k. x: (m, k) of type `act`, row stride `ldx`; values: (m, n)
//! of that type; indices: (m, n) i32. Larger values come first, of equal ones the lower index; -0 equals 0; NaN counts as less
//! than -inf.

use std::cmp::Ordering;

use crate::cases::Rng;
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Operand, Params, Role, params};
use crate::{DType, act};

/// Values kept at most.
pub const MOST: usize = 256;

params! {
    /// Arguments.
    pub struct TopkParams {
        /// Elements of a row.
        pub k: u32,
        /// Values kept of a row.
        pub n: u32,
        /// Elements from one row of x to the next.
        pub ldx: u32,
        /// Type of x and of the values, as its GGUF number.
        pub act: u32,
    }
}

/// The op.
pub static OP: Op = Op {
    name: "topk",
    manifest: include_str!("variants.json"),
    params: TopkParams::INFO,
    native,
    cases,
    budget: |_| 0.0,
};

fn native(entry: &str) -> Option<Native> {
    let scratch = |key: &Key, workers| workers * (key.n + 1) * 8;
    (entry == "plain").then_some(Native { phases: &[plain], scratch })
}

/// Whether (value, index) `a` comes before `b`.
fn before(a: (f32, u32), b: (f32, u32)) -> bool {
    let order = match (a.0.is_nan(), b.0.is_nan()) {
        (false, false) => b.0.partial_cmp(&a.0).unwrap_or(Ordering::Equal),
        (a, b) => a.cmp(&b),
    };
    order.then(a.1.cmp(&b.1)) == Ordering::Less
}

/// Keeps the best so far in order; a new one moves up from the end.
///
/// # Safety
/// As `contract::Phase`.
unsafe fn plain(a: &Args<'_>) {
    let p = *a.params.get::<TopkParams>();
    let Some(dtype) = DType::from_ggml(p.act) else { return };
    let (k, n) = (p.k as usize, p.n as usize);
    // SAFETY: the contract's buffers; each worker has its own scratch and its own rows.
    unsafe {
        let mine = a.scratch.ptr.cast::<(f32, u32)>().add(a.worker * (n + 1));
        let best = std::slice::from_raw_parts_mut(mine, n + 1);
        for r in a.share(a.rows, 1) {
            let mut count = 0;
            for i in 0..k {
                let new = (act::load(dtype, a.output::<u8>(2), r * p.ldx as usize + i), i as u32);
                if count == n && (n == 0 || !before(new, best[n - 1])) {
                    continue;
                }
                let mut at = count;
                while at > 0 && before(new, best[at - 1]) {
                    best[at] = best[at - 1];
                    at -= 1;
                }
                best[at] = new;
                count = (count + 1).min(n);
            }
            for (i, (value, index)) in best[..n].iter().enumerate() {
                act::store(dtype, a.output::<u8>(0), r * n + i, *value);
                *a.output::<i32>(1).add(r * n + i) = *index as i32;
            }
        }
    }
}

/// The key of a top-k: the `n` best of `k`.
pub fn key(m: usize, n: usize, k: usize, act: DType) -> Key {
    Key { op: "topk", m, n, k, batch: 1, w: act, act, layout: Layout::Row, flags: Flags::NONE }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 1, 1), (2, 5, 5), (3, 4, 100), (1, 256, 256), (2, 40, 1000), (1, 256, 3001), (2, 1, 777)];
    let mut list = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        list.extend(shapes.iter().map(|&(m, n, k)| case("normal", dtype, (m, n, k), |rng| rng.normal() * 5.0)));
        list.push(case("ties", dtype, (2, 30, 600), |rng| rng.below(4) as f32 - 1.0));
        list.push(case("all equal", dtype, (1, 50, 400), |_| 2.5));
        list.push(case("extremes", dtype, (2, 60, 300), |rng| {
            [f32::NEG_INFINITY, f32::INFINITY, -0.0, 0.0, 65504.0, -65504.0, 6e-8, -6e-8][rng.below(8)]
        }));
    }
    list
}

fn case(name: &str, dtype: DType, (m, n, k): (usize, usize, usize), mut value: impl FnMut(&mut Rng) -> f32) -> Case {
    let ldx = k + 3;
    let mut rng = Rng((n * 1000 + k) as u64);
    let mut x: Vec<f32> = (0..m * ldx).map(|_| value(&mut rng)).collect();
    let operand = act::operand(Role::Input, dtype, &mut x);
    let exact = |operand, value: Vec<f64>| Expect { operand, scale: vec![0.0; value.len()], value, at: vec![] };
    let (mut values, mut indices) = (vec![], vec![]);
    for r in 0..m {
        let row = &x[r * ldx..][..k];
        let mut order: Vec<usize> = (0..k).collect();
        // A stable sort keeps the lower index first.
        order.sort_by(|&a, &b| row[b].partial_cmp(&row[a]).unwrap_or(Ordering::Equal));
        values.extend(order[..n].iter().map(|&i| f64::from(row[i])));
        indices.extend(order[..n].iter().map(|&i| i as f64));
    }
    Case {
        name: format!("{dtype} {name} m={m} n={n} k={k}"),
        key: key(m, n, k, dtype),
        params: Params::new(&TopkParams { k: k as u32, n: n as u32, ldx: ldx as u32, act: dtype.ggml() }),
        rows: m,
        operands: vec![
            act::output(dtype, m * n),
            Operand { role: Role::Output, bytes: vec![0; m * n * 4], dtype: DType::I32 },
            operand,
        ],
        packed: vec![],
        expect: vec![exact(0, values), exact(1, indices)],
    }
}
