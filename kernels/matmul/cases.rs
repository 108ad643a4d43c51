//! Problems with data: every stored type, then what GPU kernels and libraries claim beyond the engine's own products.

use super::{GATE, MatmulParams, W, Y, budget, key, tiled_at, tiled_bytes};
use crate::cases::{self, Rng};
use crate::contract::{Case, Expect, Flags, Key, Layout, Operand, Params, Role};
use crate::elementwise::Activation;
use crate::{DType, act, quant};

/// What a case tries, beside its type.
#[derive(Clone, Copy)]
struct Shape {
    m: usize,
    n: usize,
    k: usize,
    batch: usize,
    flags: Flags,
    std: f32,
    act: DType,
    alpha: f32,
    beta: f32,
    activation: Activation,
}

impl Shape {
    /// The usual weight.
    fn nt(m: usize, n: usize, k: usize) -> Shape {
        Shape {
            m,
            n,
            k,
            batch: 1,
            flags: Flags::TRANSPOSE_B,
            std: 1.0,
            act: DType::F32,
            alpha: 1.0,
            beta: 1.0,
            activation: Activation::Identity,
        }
    }

    /// x and w as the letters say, n: as the formula of a library reads it, t: transposed.
    fn stored(self, letters: &str) -> Shape {
        let flag = |at, flag| if letters.as_bytes().get(at) == Some(&b't') { flag } else { Flags::NONE };
        Shape { flags: flag(0, Flags::TRANSPOSE_A).with(flag(1, Flags::TRANSPOSE_B)), ..self }
    }

    fn with(self, flags: Flags) -> Shape {
        Shape { flags: self.flags.with(flags), ..self }
    }

    fn std(self, std: f32) -> Shape {
        Shape { std, ..self }
    }

    fn batch(self, batch: usize) -> Shape {
        Shape { batch, ..self }
    }

    fn scaled(self, alpha: f32, beta: f32) -> Shape {
        Shape { alpha, beta, ..self.with(Flags::SCALED) }
    }

    fn activated(self, activation: Activation) -> Shape {
        Shape { activation, ..self.with(Flags::ACTIVATION) }
    }
}

const BOTH: Flags = Flags::BIAS.with(Flags::ACCUMULATE);

/// Every case.
pub(super) fn all() -> Vec<Case> {
    let mut list = Vec::new();
    for dtype in DType::all().filter(|d| *d != DType::I32) {
        let unit = dtype.block().max(2);
        let shapes = [
            Shape::nt(1, 1, unit),
            Shape::nt(1, 50, unit * 3).with(Flags::BIAS),
            Shape::nt(2, 33, 512),
            Shape::nt(3, 16, 256).with(Flags::ACCUMULATE).std(1e3),
            Shape::nt(4, 31, 768).with(BOTH).std(1e-3),
            Shape::nt(7, 64, 256).with(Flags::BIAS),
            Shape::nt(17, 47, 1280),
            Shape::nt(70, 96, 512).with(BOTH),
            Shape::nt(1, 40, 512).with(Flags::GATED),
            Shape::nt(3, 16, 256).with(Flags::GATED).std(4.0),
            Shape::nt(37, 75, 768).with(Flags::GATED),
            Shape::nt(3, 32, 256).with(Flags::GATED.with(Flags::TILED_Y)),
            Shape::nt(70, 96, 1280).with(Flags::GATED.with(Flags::TILED_Y)),
            Shape::nt(5, 20, 256).with(BOTH.with(Flags::TILED_X)),
            Shape::nt(70, 96, 1280).with(Flags::TILED_X),
        ];
        list.extend(shapes.iter().map(|s| case(dtype, s)));
    }
    for dtype in [DType::F16, DType::Q8_0] {
        // More of x than a second-level cache holds.
        let tiled = [Flags::TILED_X, Flags::TILED_X.with(Flags::TILED_Y).with(Flags::GATED)];
        list.extend(tiled.map(|flags| case(dtype, &Shape::nt(70, 96, 6464).with(flags))));
        // Tails of k for 16-byte loads, of n for several rows a threadgroup, of all three for tiles.
        let odd = if dtype == DType::F16 { 1 } else { 0 };
        let shapes = [
            Shape::nt(1, 1, 32 - odd),
            Shape::nt(1, 9, 32 + 7 * odd).with(Flags::BIAS),
            Shape::nt(1, 13, 896).with(Flags::BIAS),
            Shape::nt(1, 24, 2048 + 8 * odd).std(1e-2),
            Shape::nt(1, 5, 4864).with(BOTH),
            Shape::nt(2, 18, 320).std(8.0),
            Shape::nt(16, 64, 64).with(Flags::BIAS),
            Shape::nt(33, 70, 96 + 5 * odd).with(Flags::BIAS),
            Shape::nt(40, 130, 160 - 8 * odd),
            Shape::nt(65, 31, 128).with(Flags::ACCUMULATE),
            Shape::nt(1, 300, 96).with(Flags::BIAS).activated(Activation::Silu),
            Shape::nt(1, 21, 160).activated(Activation::Gelu).std(3.0),
            Shape::nt(4, 37, 224).with(Flags::BIAS).activated(Activation::Relu),
            Shape::nt(1, 70, 128).with(Flags::ACCUMULATE).scaled(0.5, -2.0),
            Shape::nt(8, 40, 256),
            Shape::nt(12, 33, 96).with(Flags::BIAS),
        ];
        list.extend(shapes.into_iter().map(|s| case(dtype, &Shape { act: DType::F16, ..s })));
    }
    let dense = stored_either_way().into_iter().chain(several_problems()).chain(few_outputs());
    list.extend(dense.map(|s| case(DType::F16, &Shape { act: DType::F16, ..s })));
    for dtype in [DType::BF16, DType::F32] {
        list.extend(of_one_type().map(|s| case(dtype, &Shape { act: dtype, ..s })));
    }
    list
}

/// What libraries take: operands of one type, stored either way.
fn of_one_type() -> [Shape; 5] {
    [
        Shape::nt(1, 45, 77),
        Shape::nt(33, 70, 41).stored("nn"),
        Shape::nt(18, 136, 72).stored("tn").with(Flags::ACCUMULATE).scaled(0.25, 0.5),
        Shape::nt(64, 40, 320).stored("tt"),
        Shape::nt(20, 50, 64).batch(2).scaled(0.125, 1.0),
    ]
}

/// Both operands as they are and transposed, with whole tiles, tails of every dimension, and one row.
fn stored_either_way() -> Vec<Shape> {
    let mut list = Vec::new();
    for letters in ["nn", "tn", "tt", "nt"] {
        list.extend([
            Shape::nt(64, 64, 64).stored(letters),
            Shape::nt(33, 70, 41).stored(letters).with(Flags::BIAS),
            Shape::nt(18, 136, 72).stored(letters).with(Flags::ACCUMULATE).scaled(0.25, 0.5),
        ]);
        list.extend([Shape::nt(1, 136, 200).stored(letters), Shape::nt(1, 45, 77).stored(letters).with(Flags::BIAS)]);
    }
    list.push(Shape::nt(1, 264, 896).stored("nn").with(Flags::BIAS));
    list.push(Shape::nt(1, 72, 160).stored("nn").with(Flags::BIAS).activated(Activation::Gelu));
    list.push(Shape::nt(34, 40, 64).stored("nn").with(Flags::BIAS).activated(Activation::Relu));
    // Lines that begin at eight bytes but not at sixteen, and more outputs than any threadgroup owns.
    list.push(Shape::nt(1, 270, 196).with(Flags::BIAS).activated(Activation::Relu));
    list.push(Shape::nt(9, 36, 84).stored("tt").with(Flags::BIAS).activated(Activation::Silu));
    list.push(Shape::nt(11, 44, 92).stored("tn").with(Flags::BIAS).activated(Activation::Gelu));
    list
}

/// Attention's products: scores are NT with a factor, weighted values are NN.
fn several_problems() -> Vec<Shape> {
    vec![
        Shape::nt(1, 77, 64).batch(3).scaled(0.125, 1.0),
        Shape::nt(1, 64, 77).batch(3).stored("nn"),
        Shape::nt(20, 50, 64).batch(2).scaled(0.125, 1.0),
        Shape::nt(20, 64, 50).batch(2).stored("nn").with(Flags::ACCUMULATE).scaled(1.5, 0.5),
        Shape::nt(1, 40, 96).batch(2).with(Flags::BIAS),
        Shape::nt(16, 24, 40).batch(2).stored("tn").with(Flags::BIAS),
        Shape::nt(8, 24, 40).batch(2).stored("tt").with(Flags::ACCUMULATE).scaled(2.0, -1.0),
        // The second problem begins at an odd element.
        Shape::nt(1, 11, 77).batch(2).stored("nn").with(Flags::BIAS).activated(Activation::Silu),
    ]
}

/// Few outputs: a column or a handful.
fn few_outputs() -> Vec<Shape> {
    let list = [1, 2, 4, 8, 16].into_iter().flat_map(|n| {
        [
            Shape::nt(13, n, 320).stored("nn"),
            Shape::nt(9, n, 71).stored("nn").with(Flags::BIAS),
            Shape::nt(5, n, 96).with(Flags::BIAS),
        ]
    });
    let finished = [2, 16].into_iter().flat_map(|n| {
        [
            Shape::nt(6, n, 136).stored("nn").with(Flags::BIAS).activated(Activation::Gelu),
            Shape::nt(5, n, 85).batch(2).with(Flags::ACCUMULATE).scaled(-0.5, 2.0),
            Shape::nt(3, n, 264).batch(2).stored("nn").with(Flags::BIAS).activated(Activation::Silu),
        ]
    });
    list.chain(finished).collect()
}

/// A dot product, and the root of the sum of its terms' squares.
fn dot(x: &[f32], w: &[f32]) -> (f64, f64) {
    let (sum, squares) = x.iter().zip(w).fold((0.0, 0.0), |(sum, squares), (&x, &w)| {
        let t = f64::from(x) * f64::from(w);
        (sum + t, squares + t * t)
    });
    (sum, squares.sqrt())
}

/// Rows of `k` values `ld` apart, rounded to bf16, as tiles.
fn tiled_operand(x: &mut [f32], m: usize, k: usize, ld: usize) -> Operand {
    let rounded = act::operand(Role::Input, DType::BF16, x);
    let mut operand = act::output(DType::BF16, tiled_bytes(m, k) / 2);
    for r in 0..m {
        for i in 0..k {
            let (from, to) = ((r * ld + i) * 2, tiled_at(k, r, i) * 2);
            operand.bytes[to..to + 2].copy_from_slice(&rounded.bytes[from..from + 2]);
        }
    }
    Operand { role: Role::Input, ..operand }
}

fn case(dtype: DType, s: &Shape) -> Case {
    let Shape { m, n, k, batch, .. } = *s;
    let (tiled_x, tiled_y) = (s.flags.has(Flags::TILED_X), s.flags.has(Flags::TILED_Y));
    let (ta, tb) = (s.flags.has(Flags::TRANSPOSE_A), s.flags.has(Flags::TRANSPOSE_B));
    let (accumulate, biased) = (s.flags.has(Flags::ACCUMULATE), s.flags.has(Flags::BIAS));
    let gated = s.flags.has(Flags::GATED);
    // Strides wider than the rows, so that a kernel that ignores them writes where the poison must stay.
    let (ldx, ldy) = (if ta { m } else { k } + 16, n + 5);
    let (bx, bw, by) = ((if ta { k } else { m }) * ldx + 8, n * k, m * ldy + 3);
    let (bx, bw, by) = if batch == 1 { (0, 0, 0) } else { (bx, bw, by) };
    let (x_count, y_count) = ((if ta { k } else { m }) * ldx, m * ldy);
    let mut rng = Rng((m * 1000 + n) as u64);
    let mut x = rng.normals((batch - 1) * bx + x_count, s.std);
    x[0] = 40.0 * s.std;
    let x_operand = if tiled_x { tiled_operand(&mut x, m, k, ldx) } else { act::operand(Role::Input, s.act, &mut x) };
    let w = cases::stored(&mut rng, dtype, n * batch, k, 0.05);
    let (bias, bias_operand) = act::normals(&mut rng, s.act, n, s.std);
    let (before, before_operand) = act::normals(&mut rng, s.act, (batch - 1) * by + y_count, s.std);
    let mut table = vec![0.0f32; batch * n * k];
    let decoded = quant::dequantize(dtype, &w.bytes, &mut table);
    debug_assert!(decoded.is_ok());
    let v = if gated { cases::stored(&mut rng, dtype, n, k, 0.05) } else { cases::none() };
    let mut second = vec![0.0f32; if gated { n * k } else { 0 }];
    let decoded = quant::dequantize(dtype, &v.bytes, &mut second);
    debug_assert!(decoded.is_ok());
    let params = MatmulParams {
        ldx: if tiled_x { 0 } else { ldx as u32 },
        ldy: if tiled_y { 0 } else { ldy as u32 },
        dtype: dtype.ggml(),
        accumulate: accumulate as u32,
        gated: gated as u32,
        act: s.act.ggml(),
        bias: biased as u32,
        transpose_a: ta as u32,
        transpose_b: tb as u32,
        batch: batch as u32,
        bx: bx as u32,
        bw: bw as u32,
        by: by as u32,
        activation: s.activation as u32,
        alpha: s.alpha,
        beta: s.beta,
        ..MatmulParams::new(n, k)
    };
    let mut e = Expect { operand: Y, value: vec![], scale: vec![], at: vec![] };
    for (b, r, j) in (0..batch).flat_map(|b| (0..m).flat_map(move |r| (0..n).map(move |j| (b, r, j)))) {
        let x: Vec<f32> = (0..k).map(|i| x[b * bx + if ta { i * ldx + r } else { r * ldx + i }]).collect();
        let row = |from: &[f32]| -> Vec<f32> {
            (0..k).map(|i| from[b * bw + if tb { j * k + i } else { i * n + j }]).collect()
        };
        let (sum, size) = dot(&x, &row(&table));
        let at = by * b + r * ldy + j;
        e.at.push(if tiled_y { tiled_at(n, r, j) } else { at });
        if gated {
            let (other, other_size) = dot(&x, &row(&second));
            let silu = sum / (1.0 + (-sum).exp());
            e.value.push(silu * other);
            // The slope of silu is at most 1.1.
            e.scale.push(1.1 * size * other.abs() + silu.abs() * other_size + 1e-2 * size * other_size + 1e-30);
            continue;
        }
        let bias = if biased { f64::from(bias[j]) } else { 0.0 };
        let before = if accumulate { f64::from(before[at]) } else { 0.0 };
        e.value.push(params.finish(sum, bias, before));
        // The slope of every activation is below 1.2.
        let slope = if s.activation == Activation::Identity { 1.0 } else { 1.2 };
        let extra = bias.abs() + (f64::from(s.beta) * before).abs();
        e.scale.push(slope * f64::from(s.alpha).abs() * size + extra * 1e-3 + 1e-30);
    }
    let stored = if tiled_y { DType::BF16 } else { s.act };
    if stored != DType::F32 {
        let rounding = act::rounding(stored) / budget(dtype);
        // Halves below 2^-14 lie 2^-24 apart.
        let smallest = if stored == DType::F16 { 3e-8 / budget(dtype) } else { 0.0 };
        e.scale.iter_mut().zip(&e.value).for_each(|(scale, value)| *scale += value.abs() * rounding + smallest);
    }
    let y = if tiled_y {
        act::output(DType::BF16, tiled_bytes(m, n) / 2)
    } else {
        Operand { role: if accumulate { Role::InOut } else { Role::Output }, ..before_operand }
    };
    let bias = if biased { bias_operand } else { cases::none() };
    let own = key(m, n, k, dtype, Layout::Row, Flags::NONE);
    let key = Key { act: s.act, batch, flags: s.flags, ..own };
    Case {
        name: format!("{key} std={}", s.std),
        key,
        params: Params::new(&params),
        rows: m,
        operands: vec![y, x_operand, w, bias, v],
        packed: vec![W, GATE],
        expect: vec![e],
    }
}
