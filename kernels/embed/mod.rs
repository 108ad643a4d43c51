//! `embed: y[r, :] = w[ids[r], :]`
//!
//! m rows, n entries, k elements. y: (m, k) f32, ids: (m) i32 below n, w: (n, k) of any stored type and layout.

use crate::cases::{self, Rng};
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Params, Role, params};
use crate::matmul::pack;
use crate::{DType, quant};

params! {
    /// Arguments.
    pub struct EmbedParams {
        /// Entries.
        pub n: u32,
        /// Elements of an entry.
        pub k: u32,
        /// Stored type, as its GGUF number.
        pub dtype: u32,
        /// Number of the layout of w.
        pub layout: u32,
    }
}

/// The op.
pub static OP: Op = Op {
    name: "embed",
    manifest: include_str!("variants.json"),
    params: EmbedParams::INFO,
    native,
    cases,
    budget: |_| 0.0,
};

fn native(entry: &str) -> Option<Native> {
    (entry == "embed_rows").then_some(Native { phases: &[embed_rows], scratch: |_, _| 0 })
}

/// # Safety
/// As `contract::Phase`.
unsafe fn embed_rows(a: &Args<'_>) {
    let p = *a.params.get::<EmbedParams>();
    let Some(dtype) = DType::from_ggml(p.dtype) else { return };
    let Some(layout) = Layout::from_number(p.layout) else { return };
    // SAFETY: the contract's buffers; each worker writes its own rows.
    unsafe {
        let (ids, w) = (a.input::<i32>(1), a.input::<u8>(2));
        let k = p.k as usize;
        for r in a.share(a.rows, 1) {
            let out = std::slice::from_raw_parts_mut(a.output::<f32>(0).add(r * k), k);
            pack::decode_row(dtype, layout, w, k, ids[r] as usize, out);
        }
    }
}

/// The key of an embedding.
pub fn key(m: usize, n: usize, k: usize, w: DType, layout: Layout) -> Key {
    Key { op: "embed", m, n, k, batch: 1, w, act: DType::F32, layout, flags: Flags::NONE }
}

fn cases() -> Vec<Case> {
    let types = DType::all().filter(|d| *d != DType::I32);
    types.flat_map(|d| Layout::all().map(move |l| (d, l))).filter_map(|(d, l)| case(d, l)).collect()
}

fn case(dtype: DType, layout: Layout) -> Option<Case> {
    let (m, n, k) = (4, 37, 256);
    pack::bytes(dtype, layout, n, k)?;
    let mut rng = Rng(21);
    let w = cases::stored(&mut rng, dtype, n, k, 0.5);
    let ids = [0, 36, 17, 16];
    let mut table = vec![0.0f32; n * k];
    quant::dequantize(dtype, &w.bytes, &mut table).ok()?;
    let value: Vec<f64> =
        ids.iter().flat_map(|&i| table[i as usize * k..][..k].iter().map(|&v| f64::from(v))).collect();
    let params = EmbedParams { n: n as u32, k: k as u32, dtype: dtype.ggml(), layout: layout.number() };
    Some(Case {
        name: format!("{dtype} {layout}"),
        key: key(m, n, k, dtype, layout),
        params: Params::new(&params),
        rows: m,
        operands: vec![cases::f32s(Role::Output, &vec![0.0; m * k]), cases::i32s(Role::Input, &ids), w],
        packed: vec![2],
        expect: vec![Expect { operand: 0, scale: vec![0.0; value.len()], value, at: vec![] }],
    })
}
