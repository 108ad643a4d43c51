//! `dequantize: y[r, :] = decode(w[r, :])`
//!
//! m rows of k elements. w: (m, k) of any stored type, `Layout::Row`; y: (m, k) of type `act`, row stride `ldy`.

use crate::cases::{self, Rng};
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Params, params};
use crate::{DType, act, quant};

params! {
    /// Arguments.
    pub struct DequantizeParams {
        /// Elements of a row.
        pub k: u32,
        /// Elements from one row of y to the next.
        pub ldy: u32,
        /// Stored type of w, as its GGUF number.
        pub dtype: u32,
        /// Type of y, as its GGUF number.
        pub act: u32,
    }
}

/// The op.
pub static OP: Op = Op {
    name: "dequantize",
    manifest: include_str!("variants.json"),
    params: DequantizeParams::INFO,
    native,
    cases,
    budget: |_| 1.0,
};

fn native(entry: &str) -> Option<Native> {
    let scratch = |key: &Key, workers| workers * key.k.next_multiple_of(16) * size_of::<f32>();
    (entry == "plain").then_some(Native { phases: &[plain], scratch })
}

/// # Safety
/// As `contract::Phase`.
unsafe fn plain(a: &Args<'_>) {
    let p = *a.params.get::<DequantizeParams>();
    let (Some(dtype), Some(to)) = (DType::from_ggml(p.dtype), DType::from_ggml(p.act)) else { return };
    let k = p.k as usize;
    let stride = dtype.bytes(k).unwrap_or(0);
    let decode = quant::row_decoder(dtype);
    // SAFETY: the contract's buffers; each worker has its own row of scratch and its own rows of y.
    unsafe {
        let w = a.input::<u8>(1);
        let mine = a.scratch.ptr.cast::<f32>().add(a.worker * k.next_multiple_of(16));
        let row = std::slice::from_raw_parts_mut(mine, k);
        for r in a.share(a.rows, 1) {
            decode(&w[r * stride..][..stride], row);
            for (j, &v) in row.iter().enumerate() {
                act::store(to, a.output::<u8>(0), r * p.ldy as usize + j, v);
            }
        }
    }
}

/// The key of a dequantize.
pub fn key(m: usize, k: usize, w: DType, act: DType) -> Key {
    Key { op: "dequantize", m, n: k, k, batch: 1, w, act, layout: Layout::Row, flags: Flags::NONE }
}

fn cases() -> Vec<Case> {
    let types = DType::all().filter(|d| *d != DType::I32);
    types.flat_map(|d| [DType::F32, DType::F16].map(|a| [case(d, a, 3, 256), case(d, a, 1, 1280)])).flatten().collect()
}

fn case(dtype: DType, to: DType, m: usize, k: usize) -> Case {
    let mut rng = Rng(k as u64);
    let w = cases::stored(&mut rng, dtype, m, k, 0.5);
    let mut table = vec![0.0f32; m * k];
    let decoded = quant::dequantize(dtype, &w.bytes, &mut table);
    debug_assert!(decoded.is_ok());
    let ldy = k + 6;
    let value: Vec<f64> = table.iter().map(|&v| f64::from(v)).collect();
    // An f32 holds the product of an f16 scale and a quant exactly; other types round once.
    let exact = to == DType::F32 && matches!(dtype, DType::F32 | DType::F16 | DType::BF16 | DType::Q8_0);
    let step = if exact { 0.0 } else { act::rounding(to) };
    Case {
        name: format!("{dtype} to {to} m={m} k={k}"),
        key: key(m, k, dtype, to),
        params: Params::new(&DequantizeParams { k: k as u32, ldy: ldy as u32, dtype: dtype.ggml(), act: to.ggml() }),
        rows: m,
        operands: vec![act::output(to, m * ldy), w],
        packed: vec![],
        expect: vec![Expect {
            operand: 0,
            scale: value.iter().map(|v| v.abs() * step + if to == DType::F16 { 3e-8 } else { 0.0 }).collect(),
            value,
            at: (0..m).flat_map(|r| r * ldy..r * ldy + k).collect(),
        }],
    }
}
