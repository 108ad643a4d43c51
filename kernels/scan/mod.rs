//! `scan: y[r, i] = sum_j x[r, j]` over j <= i, or over j < i where exclusive
//!
//! m rows of k elements; x and y of type `act`, i32 (which wraps, so that u32 goes too) or f32, with row strides `ldx` and `ldy`. In
//! place where they are the same.

use crate::cases::Rng;
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Operand, Params, Role, params};
use crate::{DType, act};

params! {
    /// Arguments.
    pub struct ScanParams {
        /// Elements of a row.
        pub k: u32,
        /// Elements from one row of x to the next.
        pub ldx: u32,
        /// Elements from one row of y to the next.
        pub ldy: u32,
        /// 1 leaves an element out of its own sum.
        pub exclusive: u32,
        /// Type of x and y, as its GGUF number.
        pub act: u32,
    }
}

/// The op. Its f32 budget multiplies the root of the sum of squares so far.
pub static OP: Op = Op {
    name: "scan",
    manifest: include_str!("variants.json"),
    params: ScanParams::INFO,
    native,
    cases,
    budget: |dtype| if dtype == DType::I32 { 0.0 } else { 2e-6 },
};

fn native(entry: &str) -> Option<Native> {
    (entry == "plain").then_some(Native { phases: &[plain], scratch: |_, _| 0 })
}

/// # Safety
/// As `contract::Phase`.
unsafe fn plain(a: &Args<'_>) {
    let p = *a.params.get::<ScanParams>();
    for r in a.share(a.rows, 1) {
        let (from, to) = (r * p.ldx as usize, r * p.ldy as usize);
        // SAFETY: the contract's buffers; this row belongs to this worker alone.
        unsafe {
            if p.act == DType::I32.ggml() {
                let (x, y) = (a.output::<i32>(1).add(from), a.output::<i32>(0).add(to));
                prefix(x, y, &p, 0, i32::wrapping_add, |sum| sum);
            } else {
                let (x, y) = (a.output::<f32>(1).add(from), a.output::<f32>(0).add(to));
                prefix(x, y, &p, 0.0, |sum, v| sum + f64::from(v), |sum| sum as f32);
            }
        }
    }
}

/// # Safety
/// `x` and `y` point to a row each.
unsafe fn prefix<T: Copy, S: Copy>(
    x: *const T,
    y: *mut T,
    p: &ScanParams,
    zero: S,
    add: fn(S, T) -> S,
    get: fn(S) -> T,
) {
    let mut sum = zero;
    for i in 0..p.k as usize {
        // SAFETY: the caller's promise.
        unsafe {
            let next = add(sum, *x.add(i));
            *y.add(i) = get(if p.exclusive == 1 { sum } else { next });
            sum = next;
        }
    }
}

/// The key of a scan.
pub fn key(m: usize, k: usize, act: DType) -> Key {
    Key { op: "scan", m, n: k, k, batch: 1, w: act, act, layout: Layout::Row, flags: Flags::NONE }
}

fn cases() -> Vec<Case> {
    let shapes = [(1, 1), (2, 31), (3, 33), (1, 1000), (2, 1024), (1, 4097), (1, 9001)];
    let mut list = Vec::new();
    for dtype in [DType::I32, DType::F32] {
        for (i, &(m, k)) in shapes.iter().enumerate() {
            list.push(case(dtype, m, k, (i % 2) as u32));
            list.push(case(dtype, m, k, 1 - (i % 2) as u32));
        }
    }
    list
}

fn case(dtype: DType, m: usize, k: usize, exclusive: u32) -> Case {
    let (ldx, ldy) = (k + 2, k + 5);
    let mut rng = Rng(k as u64);
    let floats = rng.normals(m * ldx, 3.0);
    // Large enough to wrap.
    let ints: Vec<i32> = (0..m * ldx).map(|_| rng.bits() as i32 >> 4).collect();
    let mut e = Expect { operand: 0, value: vec![], scale: vec![], at: vec![] };
    for r in 0..m {
        let (mut sum, mut squares, mut wrapped) = (0.0f64, 0.0f64, 0i32);
        for i in 0..k {
            let before = if dtype == DType::I32 { f64::from(wrapped) } else { sum };
            let v = f64::from(floats[r * ldx + i]);
            (sum, squares, wrapped) = (sum + v, squares + v * v, wrapped.wrapping_add(ints[r * ldx + i]));
            let after = if dtype == DType::I32 { f64::from(wrapped) } else { sum };
            e.value.push(if exclusive == 1 { before } else { after });
            e.scale.push(squares.sqrt());
            e.at.push(r * ldy + i);
        }
    }
    let bytes =
        if dtype == DType::I32 { bytemuck::cast_slice(&ints) } else { bytemuck::cast_slice::<f32, u8>(&floats) };
    let params = ScanParams { k: k as u32, ldx: ldx as u32, ldy: ldy as u32, exclusive, act: dtype.ggml() };
    Case {
        name: format!("{dtype} m={m} k={k} exclusive={exclusive}"),
        key: key(m, k, dtype),
        params: Params::new(&params),
        rows: m,
        operands: vec![act::output(dtype, m * ldy), Operand { role: Role::Input, bytes: bytes.to_vec(), dtype }],
        packed: vec![],
        expect: vec![e],
    }
}
