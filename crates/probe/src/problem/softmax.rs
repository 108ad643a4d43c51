//! Softmax with data. Every element is compared.

use metallic_kernels::act;
use metallic_kernels::contract::{Flags, Key, Params};
use metallic_kernels::softmax::{self, SoftmaxParams};

use super::{Arguments, Operand, Oracle, Problem, parallel, random};
use crate::spec::SoftmaxShape;

/// Size of x before the factor: scores of attention, of which some stand out.
const STD: f32 = 8.0;

/// The factor on x.
const FACTOR: f32 = 0.35;

/// The problem of this shape.
pub fn problem(s: &SoftmaxShape, title: &str, seed: u64) -> Problem {
    let SoftmaxShape { m, k, batch, act: dtype, causal } = *s;
    let elements = batch * m * k;
    // The last row sees every column.
    let offset = if causal { k as i64 - m as i64 } else { 0 };
    let params = SoftmaxParams {
        k: k as u32,
        ldx: k as u32,
        ldy: k as u32,
        bx: (m * k) as u32,
        by: (m * k) as u32,
        causal: u32::from(causal),
        offset: offset as i32,
        batch: batch as u32,
        act: dtype.ggml(),
        scale: FACTOR,
    };
    let inputs = [seed, seed + 1].map(|seed| random::stored(dtype, elements, STD, seed));
    let seen = |r: usize| if causal { (r as i64 + offset + 1).clamp(0, k as i64) as usize } else { k };
    let expect = inputs.each_ref().map(|x| {
        let x = random::values(dtype, x);
        let rows = parallel(batch * m, |row| expected(&x[row * k..(row + 1) * k], seen(row % m), dtype));
        let (value, allowed) = rows.into_iter().unzip::<_, _, Vec<_>, Vec<_>>();
        Oracle { value: value.concat(), allowed: allowed.concat(), ..Oracle::default() }
    });
    // What no row sees need not be read.
    let read: usize = batch * (0..m).map(seen).sum::<usize>();
    Problem {
        op: &softmax::OP,
        key: key(s),
        title: title.to_owned(),
        detail: if causal { format!("offset={offset}") } else { String::new() },
        bytes: ((read + elements) * dtype.block_bytes()) as u64,
        // A product, a difference, an exponential, an addition and a quotient.
        flops: 5 * read as u64,
        operands: vec![Operand::Output { before: None }, Operand::Changing(inputs)],
        output: dtype,
        elements,
        expect,
        arguments: Arguments::Plain(Params::new(&params)),
    }
}

/// The key of this shape.
pub fn key(s: &SoftmaxShape) -> Key {
    softmax::key(s.m, s.k, s.batch, s.act, if s.causal { Flags::CAUSAL } else { Flags::NONE })
}

/// A row's values, and how far from them a kernel may be: the op's budget, and what f32 costs, as its own cases have it.
fn expected(x: &[f32], seen: usize, dtype: metallic_kernels::DType) -> (Vec<f64>, Vec<f64>) {
    let row: Vec<f64> = x[..seen].iter().map(|v| f64::from(FACTOR) * f64::from(*v)).collect();
    let top = row.iter().fold(f64::MIN, |m, &v| m.max(v));
    let weights: Vec<f64> = row.iter().map(|v| (v - top).exp()).collect();
    let sum: f64 = weights.iter().sum();
    let size = row.iter().fold(0.0f64, |m, v| m.max(v.abs()));
    let float = (3.0 * size + 8.0 + (x.len() as f64).sqrt()) * 6e-8;
    let smallest = if dtype == metallic_kernels::DType::F16 { 6e-8 } else { 1e-37 };
    let value = |j: usize| weights.get(j).map_or(0.0, |w| w / sum);
    (0..x.len()).map(value).map(|v| (v, v * (act::rounding(dtype) + float) + smallest)).unzip()
}
