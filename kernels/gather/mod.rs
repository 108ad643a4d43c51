//! `gather: y[r, :] = x[index[r], :]`
//!
//! m rows of output, k columns. y: (m, k) f32, x: (any, k) f32, index: (m) i32. Picks the tokens whose logits are wanted.

use crate::DType;
use crate::cases::{self, Rng};
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Params, Role, params};

params! {
    /// Arguments.
    pub struct GatherParams {
        /// Columns.
        pub k: u32,
    }
}

/// The op.
pub static OP: Op = Op {
    name: "gather",
    manifest: include_str!("variants.json"),
    params: GatherParams::INFO,
    native,
    cases,
    budget: |_| 0.0,
};

fn native(entry: &str) -> Option<Native> {
    (entry == "gather_rows").then_some(Native { phases: &[gather_rows], scratch: |_, _| 0 })
}

/// # Safety
/// As `contract::Phase`.
unsafe fn gather_rows(a: &Args<'_>) {
    let k = a.params.get::<GatherParams>().k as usize;
    // SAFETY: the contract's buffers; each worker writes its own rows.
    unsafe {
        let (x, index) = (a.input::<f32>(1), a.input::<i32>(2));
        for r in a.share(a.rows, 1) {
            let from = &x[index[r] as usize * k..][..k];
            std::ptr::copy_nonoverlapping(from.as_ptr(), a.output::<f32>(0).add(r * k), k);
        }
    }
}

/// The key of a gather.
pub fn key(m: usize, k: usize) -> Key {
    Key { op: "gather", m, n: k, k, batch: 1, w: DType::F32, act: DType::F32, layout: Layout::Row, flags: Flags::NONE }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 7, 5), (3, 33, 4), (8, 64, 8)];
    let case = |&(m, k, from): &(usize, usize, usize)| {
        let mut rng = Rng(11);
        let x = rng.normals(from * k, 1.0);
        let index: Vec<i32> = (0..m).map(|_| rng.below(from) as i32).collect();
        let value: Vec<f64> =
            index.iter().flat_map(|&i| x[i as usize * k..][..k].iter().map(|&v| f64::from(v))).collect();
        Case {
            name: format!("m={m} k={k}"),
            key: key(m, k),
            params: Params::new(&GatherParams { k: k as u32 }),
            rows: m,
            operands: vec![
                cases::f32s(Role::Output, &vec![0.0; m * k]),
                cases::f32s(Role::Input, &x),
                cases::i32s(Role::Input, &index),
            ],
            packed: vec![],
            expect: vec![Expect { operand: 0, scale: vec![0.0; value.len()], value, at: vec![] }],
        }
    };
    shapes.iter().map(case).collect()
}
