//! `elementwise: y[r, j] = s * f(x[r, j] o z[r, j] + bias[j])`
//!
//! m rows, k columns. o: x alone, sum or product; f: nothing, relu, gelu (by tanh, Hendrycks and Gimpel 2016) or silu; s: a factor.
//! y, x, z: (m, k) with row strides `ldy`, `ldx`, `ldz`, of type `act`; z may be absent; bias: (k) of the same type, or absent.
//! In place where y and x are the same.

use crate::cases::{self, Rng};
use crate::contract::{Args, Case, Expect, Flags, Key, Layout, Native, Op, Params, params};
use crate::{DType, act};

/// How x and z are joined.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// x alone.
    First = 0,
    /// x + z.
    Add = 1,
    /// x z.
    Mul = 2,
}

/// An activation function.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// None.
    Identity = 0,
    /// max(v, 0).
    Relu = 1,
    /// v / 2 (1 + tanh(sqrt(2 / pi) (v + 0.044715 v^3))).
    Gelu = 2,
    /// v / (1 + exp(-v)).
    Silu = 3,
}

impl Activation {
    /// The function that argument structs name `number`.
    pub fn from_number(number: u32) -> Activation {
        match number {
            1 => Activation::Relu,
            2 => Activation::Gelu,
            3 => Activation::Silu,
            _ => Activation::Identity,
        }
    }

    /// Its value, in f64.
    pub fn apply(self, v: f64) -> f64 {
        let sigmoid = |u: f64| 1.0 / (1.0 + (-u).exp());
        match self {
            Activation::Identity => v,
            Activation::Relu => v.max(0.0),
            Activation::Gelu => v * sigmoid(2.0 * (2.0 / std::f64::consts::PI).sqrt() * (v + 0.044_715 * v * v * v)),
            Activation::Silu => v * sigmoid(v),
        }
    }
}

params! {
    /// Arguments.
    pub struct ElementwiseParams {
        /// Columns.
        pub k: u32,
        /// Elements from one row of y to the next.
        pub ldy: u32,
        /// Elements from one row of x to the next.
        pub ldx: u32,
        /// Elements from one row of z to the next.
        pub ldz: u32,
        /// A `Join`: 0 takes x, 1 adds z, 2 multiplies by z.
        pub join: u32,
        /// 1 adds a bias.
        pub bias: u32,
        /// An `Activation`: 0 none, 1 relu, 2 gelu, 3 silu.
        pub activation: u32,
        /// Type of y, x, z and bias, as its GGUF number.
        pub act: u32,
        /// s, the factor on the result.
        pub scale: f32,
    }
}

/// The op.
pub static OP: Op = Op {
    name: "elementwise",
    manifest: include_str!("variants.json"),
    params: ElementwiseParams::INFO,
    native,
    cases,
    budget,
};

/// Times the magnitudes that go in. f32: a handful of roundings, and those of exp's argument.
fn budget(dtype: DType) -> f64 {
    if dtype == DType::F32 { 6e-7 } else { act::rounding(dtype) }
}

fn native(entry: &str) -> Option<Native> {
    (entry == "plain").then_some(Native { phases: &[plain], scratch: |_, _| 0 })
}

/// # Safety
/// As `contract::Phase`.
unsafe fn plain(a: &Args<'_>) {
    let p = *a.params.get::<ElementwiseParams>();
    let Some(dtype) = DType::from_ggml(p.act) else { return };
    let f = Activation::from_number(p.activation);
    let from = |operand: usize| a.output::<u8>(operand).cast_const();
    for r in a.share(a.rows, 1) {
        for j in 0..p.k as usize {
            // SAFETY: the contract's buffers; this row belongs to this worker alone.
            unsafe {
                let mut v = f64::from(act::load(dtype, from(1), r * p.ldx as usize + j));
                let z = || f64::from(act::load(dtype, from(2), r * p.ldz as usize + j));
                match p.join {
                    1 => v += z(),
                    2 => v *= z(),
                    _ => {}
                }
                if p.bias == 1 {
                    v += f64::from(act::load(dtype, from(3), j));
                }
                let y = f64::from(p.scale) * f.apply(v);
                act::store(dtype, a.output::<u8>(0), r * p.ldy as usize + j, y as f32);
            }
        }
    }
}

/// The key of an elementwise.
pub fn key(m: usize, k: usize, act: DType, flags: Flags) -> Key {
    Key { op: "elementwise", m, n: k, k, batch: 1, w: act, act, layout: Layout::Row, flags }
}

fn cases() -> Vec<Case> {
    use Activation::{Gelu, Identity, Relu, Silu};
    let mut list = Vec::new();
    for dtype in [DType::F32, DType::F16] {
        for (i, join) in [Join::First, Join::Add, Join::Mul].into_iter().enumerate() {
            for (j, f) in [Identity, Relu, Gelu, Silu].into_iter().enumerate() {
                let (m, k) = ([1, 3, 2][i], [1, 70, 129, 512][j]);
                list.push(case(dtype, join, f, (m, k), j % 2 == i % 2));
            }
        }
    }
    list
}

fn case(dtype: DType, join: Join, f: Activation, (m, k): (usize, usize), biased: bool) -> Case {
    let (ldy, ldx, ldz) = (k + 5, k + 2, k + 7);
    let mut rng = Rng((m * 100 + k) as u64);
    let (x, x_operand) = act::normals(&mut rng, dtype, m * ldx, 6.0);
    let (z, z_operand) = act::normals(&mut rng, dtype, m * ldz, 3.0);
    let (bias, bias_operand) = act::normals(&mut rng, dtype, k, 2.0);
    let scale = -0.75f32;
    let mut e = Expect { operand: 0, value: vec![], scale: vec![], at: vec![] };
    for (r, j) in (0..m).flat_map(|r| (0..k).map(move |j| (r, j))) {
        let (x, z) = (f64::from(x[r * ldx + j]), f64::from(z[r * ldz + j]));
        let bias = if biased { f64::from(bias[j]) } else { 0.0 };
        let (v, size) = match join {
            Join::First => (x + bias, x.abs() + bias.abs()),
            Join::Add => (x + z + bias, x.abs() + z.abs() + bias.abs()),
            Join::Mul => (x * z + bias, (x * z).abs() + bias.abs()),
        };
        e.value.push(f64::from(scale) * f.apply(v));
        // No slope of the functions is above 1.2; half precision has steps of 6e-8 near zero.
        e.scale.push(size + if dtype == DType::F16 { 1.3e-4 } else { 1e-30 });
        e.at.push(r * ldy + j);
    }
    let params = ElementwiseParams {
        k: k as u32,
        ldy: ldy as u32,
        ldx: ldx as u32,
        ldz: ldz as u32,
        join: join as u32,
        bias: biased as u32,
        activation: f as u32,
        act: dtype.ggml(),
        scale,
    };
    let flags = if biased { Flags::BIAS } else { Flags::NONE };
    Case {
        name: format!("{dtype} m={m} k={k} {join:?} {f:?} bias={biased}"),
        key: key(m, k, dtype, flags),
        params: Params::new(&params),
        rows: m,
        operands: vec![
            act::output(dtype, m * ldy),
            x_operand,
            if join == Join::First { cases::none() } else { z_operand },
            if biased { bias_operand } else { cases::none() },
        ],
        packed: vec![],
        expect: vec![e],
    }
}
