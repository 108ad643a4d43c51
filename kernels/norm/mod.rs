//! `norm: y[r, g, :] = x[r, g, :] / sqrt(mean(x[r, g, :]^2) + eps) * w`
//!
//! m rows, `batch` groups a row (heads, for QK-norm; else 1), k elements a group. x: row stride `ldx`, y: row stride `ldy`,
//! w: (k) f32. In place where x and y are the same. With `TILED_Y` y lies in bf16 tiles (`matmul::tiled_at`), for one group a row
//! of a multiple of 32 elements. RMSNorm: Zhang and Sennrich 2019.

use half::bf16;

use crate::DType;
use crate::cases::{self, Rng};
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Params, Role, params};
use crate::matmul::tiled_at;
use crate::vector::widest;

params! {
    /// Arguments.
    pub struct NormParams {
        /// Elements of a group.
        pub k: u32,
        /// Groups of a row.
        pub groups: u32,
        /// Elements from one row of x to the next.
        pub ldx: u32,
        /// Elements from one row of y to the next; 0 for bf16 tiles.
        pub ldy: u32,
        /// Added to the mean square.
        pub eps: f32,
    }
}

/// The op.
pub static OP: Op = Op {
    name: "norm",
    manifest: include_str!("variants.json"),
    params: NormParams::INFO,
    native,
    cases,
    budget: |_| BUDGET,
};

const BUDGET: f64 = 2e-6;

fn native(entry: &str) -> Option<Native> {
    (entry == "rms_norm").then_some(Native { phases: &[rms_norm], scratch: |_, _| 0 })
}

widest!(rms_norm, groups);

/// # Safety
/// As `contract::Phase`.
#[inline(always)]
unsafe fn groups(a: &Args<'_>) {
    let p = *a.params.get::<NormParams>();
    let (k, groups) = (p.k as usize, p.groups as usize);
    let (x, y) = (a.output::<f32>(1).cast_const(), a.output::<f32>(0));
    // SAFETY: the contract's buffers.
    let w = unsafe { &a.input::<f32>(2)[..k] };
    for unit in a.share(a.rows * groups, 1) {
        let (r, g) = (unit / groups, unit % groups);
        // SAFETY: this group belongs to this unit alone; x and y may be the same memory, so both stay pointers.
        unsafe {
            let x = x.add(r * p.ldx as usize + g * k);
            let scale = 1.0 / (mean_square(x, k) + p.eps).sqrt();
            if p.ldy == 0 {
                let x = std::slice::from_raw_parts(x, k);
                let y = a.output::<bf16>(0);
                for (j, (x, w)) in (0..).step_by(32).zip(x.as_chunks::<32>().0.iter().zip(w.as_chunks::<32>().0)) {
                    let value = |i| bf16::from_f32(x[i] * scale * w[i]);
                    y.add(tiled_at(k, r, j)).cast::<[bf16; 32]>().write(std::array::from_fn(value));
                }
                continue;
            }
            let y = y.add(r * p.ldy as usize + g * k);
            for (i, w) in w.iter().enumerate() {
                *y.add(i) = *x.add(i) * scale * w;
            }
        }
    }
}

/// Mean of squares in 32 partial sums: the same order on every machine.
///
/// # Safety
/// `x` points to `k` floats.
#[inline(always)]
unsafe fn mean_square(x: *const f32, k: usize) -> f32 {
    const LANES: usize = 32;
    // SAFETY: the caller's promise.
    let x = unsafe { std::slice::from_raw_parts(x, k) };
    let mut sums = [0.0f32; LANES];
    let (whole, tail) = x.as_chunks::<LANES>();
    for chunk in whole {
        for (s, v) in sums.iter_mut().zip(chunk) {
            *s = v.mul_add(*v, *s);
        }
    }
    for (s, v) in sums.iter_mut().zip(tail) {
        *s = v.mul_add(*v, *s);
    }
    let mut width = LANES / 2;
    while width > 0 {
        for i in 0..width {
            sums[i] += sums[i + width];
        }
        width /= 2;
    }
    sums[0] / k as f32
}

/// The key of a norm.
pub fn key(m: usize, groups: usize, k: usize) -> Key {
    Key {
        op: "norm",
        m,
        n: k,
        k,
        batch: groups,
        w: DType::F32,
        act: DType::F32,
        layout: Layout::Row,
        flags: Flags::NONE,
    }
}

fn cases() -> Vec<Case> {
    // rows, groups, k, stride, std of x, eps
    let shapes = [
        (1, 1, 1, 1, 1.0, 1e-6),
        (3, 1, 100, 100, 1.0, 1e-5),
        (2, 3, 64, 256, 50.0, 1e-6),
        (2, 1, 896, 896, 1e-4, 1e-6),
        (1, 2, 33, 70, 1.0, 0.0),
        (3, 1, 1111, 1120, 3.0, 1e-5),
    ];
    let plain = shapes.iter().map(|&(m, groups, k, ld, std, eps)| case(m, groups, k, ld, std, eps));
    let tiled = [(1, 32), (33, 96), (70, 896)].map(|(m, k)| {
        let c = case(m, 1, k, k, 2.0, 1e-6);
        let params = Params::new(&NormParams { ldy: 0, ..*c.params.get() });
        cases::in_tiles(c, params, k, k, BUDGET)
    });
    plain.chain(tiled).collect()
}

fn case(m: usize, groups: usize, k: usize, ld: usize, std: f32, eps: f32) -> Case {
    let mut rng = Rng(7);
    let x = rng.normals(m * ld, std);
    let w: Vec<f32> = rng.normals(k, 0.3).iter().map(|v| 1.0 + v).collect();
    let (mut value, mut at) = (Vec::new(), Vec::new());
    for unit in 0..m * groups {
        let start = unit / groups * ld + unit % groups * k;
        let group = &x[start..start + k];
        let mean = group.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / k as f64;
        let scale = 1.0 / (mean + f64::from(eps)).sqrt();
        value.extend(group.iter().zip(&w).map(|(&v, &w)| f64::from(v) * scale * f64::from(w)));
        at.extend(start..start + k);
    }
    let params = NormParams { k: k as u32, groups: groups as u32, ldx: ld as u32, ldy: ld as u32, eps };
    Case {
        name: format!("m={m} groups={groups} k={k} std={std}"),
        key: key(m, groups, k),
        params: Params::new(&params),
        rows: m,
        operands: vec![
            cases::f32s(Role::Output, &vec![0.0; m * ld]),
            cases::f32s(Role::Input, &x),
            cases::f32s(Role::Input, &w),
        ],
        packed: vec![],
        expect: vec![Expect { operand: 0, scale: value.iter().map(|v| v.abs() + 1e-30).collect(), value, at }],
    }
}
