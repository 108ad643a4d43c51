//! Matrix products with data.

use metallic_kernels::DType;
use metallic_kernels::cases::Rng;
use metallic_kernels::contract::{Flags, Key, Layout};
use metallic_kernels::elementwise::Activation;
use metallic_kernels::matmul::{self, MatmulParams, pack};

use super::{Arguments, Operand, Oracle, Problem, Sums, parallel, random};
use crate::spec::MatmulShape;

mod expect;

use expect::Inputs;

/// Products of f32 values that all elements may take; larger problems are sampled.
const WHOLE_PRODUCTS: usize = 300_000_000;

/// Elements that may be known one by one.
const WHOLE_ELEMENTS: usize = 1 << 22;

/// The problem of this shape.
pub fn problem(s: &MatmulShape, title: &str, seed: u64) -> Problem {
    let MatmulShape { m, n, k, batch, w: stored, act, .. } = *s;
    let (bx, bw, by) = if batch == 1 { (0, 0, 0) } else { (m * k, n * k, m * n) };
    let accumulate = s.beta != 0.0;
    let params = MatmulParams {
        ldx: if s.ta { m } else { k } as u32,
        dtype: stored.ggml(),
        accumulate: u32::from(accumulate),
        gated: u32::from(s.gated),
        act: act.ggml(),
        bias: u32::from(s.bias),
        transpose_a: u32::from(s.ta),
        transpose_b: u32::from(s.tb),
        batch: batch as u32,
        bx: bx as u32,
        bw: bw as u32,
        by: by as u32,
        activation: s.activation as u32,
        alpha: s.alpha,
        beta: if accumulate { s.beta } else { 1.0 },
        ..MatmulParams::new(n, k)
    };
    let elements = batch * m * n;
    let x = [seed, seed + 1].map(|seed| random::stored(act, batch * m * k, 1.0, seed));
    let w = random::stored(stored, batch * n * k, 0.05, seed + 2);
    let when = |there: bool, bytes: Vec<u8>| if there { bytes } else { Vec::new() };
    let bias = when(s.bias, random::stored(act, n, 1.0, seed + 3));
    let before = accumulate.then(|| random::stored(act, elements, 1.0, seed + 4));
    let gate = when(s.gated, random::stored(stored, n * k, 0.05, seed + 5));
    let inputs = Inputs::new(s, &params, &x, (&w, &gate), &bias, before.as_deref());
    let expect = inputs.expect(seed);
    let weights = (w.len() + gate.len()) as u64;
    let act_bytes = act.block_bytes() as u64;
    let optional = |bytes: Vec<u8>| if bytes.is_empty() { Operand::Absent } else { Operand::Fixed(bytes) };
    let gate = if gate.is_empty() { Operand::Absent } else { Operand::Stored(gate) };
    let touched = elements as u64 * (1 + u64::from(accumulate)) + (batch * m * k + if s.bias { n } else { 0 }) as u64;
    Problem {
        op: &matmul::OP,
        key: key(s),
        title: title.to_owned(),
        detail: detail(s),
        bytes: weights + touched * act_bytes,
        flops: 2 * (elements as u64) * (k as u64) * (1 + u64::from(s.gated)),
        operands: vec![Operand::Output { before }, Operand::Changing(x), Operand::Stored(w), optional(bias), gate],
        output: act,
        elements,
        expect,
        arguments: Arguments::Matmul(params),
    }
}

/// The key of this shape, with the stored operand as in a file.
pub fn key(s: &MatmulShape) -> Key {
    let flags = [
        (s.ta, Flags::TRANSPOSE_A),
        (s.tb, Flags::TRANSPOSE_B),
        (s.bias, Flags::BIAS),
        (s.beta != 0.0, Flags::ACCUMULATE),
        (s.gated, Flags::GATED),
        (s.alpha != 1.0 || !matches!(s.beta, 0.0 | 1.0), Flags::SCALED),
        (s.activation != Activation::Identity, Flags::ACTIVATION),
    ];
    let flags = flags.iter().filter(|(set, _)| *set).fold(Flags::NONE, |all, (_, flag)| all.with(*flag));
    let own = matmul::key(s.m, s.n, s.k, s.w, Layout::Row, Flags::NONE);
    Key { act: s.act, batch: s.batch, flags, ..own }
}

fn detail(s: &MatmulShape) -> String {
    let mut parts = Vec::new();
    if s.alpha != 1.0 {
        parts.push(format!("alpha={}", s.alpha));
    }
    if s.beta != 0.0 {
        parts.push(format!("beta={}", s.beta));
    }
    if s.activation != Activation::Identity {
        parts.push(crate::spec::activation_name(s.activation).to_owned());
    }
    parts.join(" ")
}

/// The weights of a key in another layout. Only one usual weight has one.
pub fn packed(key: &Key, rows: &[u8], layout: Layout) -> Option<Vec<u8>> {
    if key.batch != 1 || !key.flags.has(Flags::TRANSPOSE_B) {
        return None;
    }
    let bytes = pack::bytes(key.w, layout, key.n, key.k)?;
    // Not zeros, so that packing has to write all of it.
    let mut packed = vec![0x55; bytes];
    pack::pack(key.w, layout, rows, key.n, key.k, &mut packed);
    Some(packed)
}
