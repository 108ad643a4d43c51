//! `matmul: y[r, j] = sum_i x[r, i] * w[j, i] (+ bias[j]) (+ y[r, j] before)`
//!
//! `gated: y[r, j] = silu(sum_i x[r, i] * w[j, i]) * sum_i x[r, i] * v[j, i]`, the SwiGLU of a feed-forward layer (Shazeer 2020)
//!
//! m rows (tokens), n outputs, k reduced. y: (m, n), row stride `ldy`; x: (m, k), row stride `ldx`; bias: (n) or absent, these
//! three of the key's `act`; w: (n, k) of any stored type, `Layout::Row` or packed; v: as w, or absent. Sums are f32 or wider.
//! On GPUs every operand begins at a multiple of 16 bytes.
//!
//! Error budget, times sqrt(sum (x w)^2), the size that independent rounding errors of the terms add up to. f32: the sum's
//! own rounding, 2^-24 an addition, a random walk of up to 1,280 of them, twice over. Others: x may be rounded to bf16, and a
//! quantized weight too once its scale is in it (2^-9 at most each); f16 and bf16 weights enter exactly. 5 sigma of that.

#[cfg(target_arch = "x86_64")]
mod amx;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod avx512_gemm;
pub mod pack;
mod plain;
mod portable;
#[cfg(target_arch = "x86_64")]
mod roles;
#[cfg(target_arch = "x86_64")]
mod unpack;
#[cfg(target_arch = "x86_64")]
mod vnni;

use crate::cases::{self, Rng};
use crate::contract::{Case, Expect, Flags, Key, Layout, Native, Op, Operand, Params, Role, params};
use crate::{DType, act, quant};

params! {
    /// Arguments.
    pub struct MatmulParams {
        /// Outputs of a row.
        pub n: u32,
        /// Reduced dimension.
        pub k: u32,
        /// Elements from one row of x to the next; 0 where x lies in tiles.
        pub ldx: u32,
        /// Elements from one row of y to the next; 0 where y lies in tiles.
        pub ldy: u32,
        /// Stored type of w, as its GGUF number.
        pub dtype: u32,
        /// Number of the layout of w and v.
        pub layout: u32,
        /// 1 adds to what y holds.
        pub accumulate: u32,
        /// 1 gates by a second matrix.
        pub gated: u32,
        /// Type of x, y and the bias, as its GGUF number.
        pub act: u32,
        /// 1 adds a bias.
        pub bias: u32,
    }
}

impl MatmulParams {
    fn dtype(&self) -> DType {
        DType::from_ggml(self.dtype).unwrap_or(DType::F32)
    }

    fn layout(&self) -> Layout {
        Layout::from_number(self.layout).unwrap_or(Layout::Row)
    }
}

/// Operand numbers.
const Y: usize = 0;
const X: usize = 1;
const W: usize = 2;
const BIAS: usize = 3;
const GATE: usize = 4;

/// Rows that lie together in tiles.
pub const TILE_ROWS: usize = 32;

/// Bytes of `rows` rows of `cols` columns in tiles.
pub fn tiled_bytes(rows: usize, cols: usize) -> usize {
    rows.next_multiple_of(TILE_ROWS) * cols.next_multiple_of(32) * 2
}

/// Where element (r, j) of an activation lies among bf16 tiles: 32 rows together, then 32 columns, each two tiles of 16 rows.
/// What fills up the last columns is zero.
pub fn tiled_at(cols: usize, r: usize, j: usize) -> usize {
    (r / TILE_ROWS * cols.div_ceil(32) + j / 32) * TILE_ROWS * 32 + r % TILE_ROWS * 32 + j % 32
}

/// The op.
pub static OP: Op =
    Op { name: "matmul", manifest: include_str!("variants.json"), params: MatmulParams::INFO, native, cases, budget };

fn budget(w: DType) -> f64 {
    match w {
        DType::F32 => 4.3e-6,
        DType::F16 | DType::BF16 => 7e-3,
        _ => 1e-2,
    }
}

fn native(entry: &str) -> Option<Native> {
    match entry {
        "plain" => Some(plain::NATIVE),
        "portable" => Some(portable::NATIVE),
        #[cfg(target_arch = "x86_64")]
        "avx512_matvec" => Some(avx512::NATIVE),
        #[cfg(target_arch = "x86_64")]
        "avx512_gemm" => Some(avx512_gemm::NATIVE),
        #[cfg(target_arch = "x86_64")]
        "vnni_matvec" => Some(vnni::NATIVE),
        #[cfg(target_arch = "x86_64")]
        "amx_bf16" => Some(amx::NATIVE),
        #[cfg(target_arch = "x86_64")]
        "amx_bf16_x2" => Some(amx::NATIVE_X2),
        _ => None,
    }
}

/// The key of a matmul.
pub fn key(m: usize, n: usize, k: usize, w: DType, layout: Layout, flags: Flags) -> Key {
    Key { op: "matmul", m, n, k, batch: 1, w, act: DType::F32, layout, flags: flags.with(Flags::TRANSPOSE_B) }
}

/// What a case tries, beside its type.
struct Shape {
    m: usize,
    n: usize,
    k: usize,
    flags: Flags,
    std: f32,
    act: DType,
}

fn cases() -> Vec<Case> {
    let shape = |m, n, k, flags, std| Shape { m, n, k, flags, std, act: DType::F32 };
    let both = Flags::BIAS.with(Flags::ACCUMULATE);
    let mut list = Vec::new();
    for dtype in DType::all().filter(|d| *d != DType::I32) {
        let unit = dtype.block().max(2);
        let shapes = [
            shape(1, 1, unit, Flags::NONE, 1.0),
            shape(1, 50, unit * 3, Flags::BIAS, 1.0),
            shape(2, 33, 512, Flags::NONE, 1.0),
            shape(3, 16, 256, Flags::ACCUMULATE, 1e3),
            shape(4, 31, 768, both, 1e-3),
            shape(7, 64, 256, Flags::BIAS, 1.0),
            shape(17, 47, 1280, Flags::NONE, 1.0),
            shape(70, 96, 512, both, 1.0),
            shape(1, 40, 512, Flags::GATED, 1.0),
            shape(3, 16, 256, Flags::GATED, 4.0),
            shape(37, 75, 768, Flags::GATED, 1.0),
            shape(3, 32, 256, Flags::GATED.with(Flags::TILED_Y), 1.0),
            shape(70, 96, 1280, Flags::GATED.with(Flags::TILED_Y), 1.0),
            shape(5, 20, 256, both.with(Flags::TILED_X), 1.0),
            shape(70, 96, 1280, Flags::TILED_X, 1.0),
        ];
        list.extend(shapes.iter().map(|s| case(dtype, s)));
    }
    for dtype in [DType::F16, DType::Q8_0] {
        // Tails of k for 16-byte loads, of n for several rows a threadgroup, of all three for tiles.
        let odd = if dtype == DType::F16 { 1 } else { 0 };
        let shapes = [
            shape(1, 1, 32 - odd, Flags::NONE, 1.0),
            shape(1, 9, 32 + 7 * odd, Flags::BIAS, 1.0),
            shape(1, 13, 896, Flags::BIAS, 1.0),
            shape(1, 24, 2048 + 8 * odd, Flags::NONE, 1e-2),
            shape(1, 5, 4864, both, 1.0),
            shape(2, 18, 320, Flags::NONE, 8.0),
            shape(16, 64, 64, Flags::BIAS, 1.0),
            shape(33, 70, 96 + 5 * odd, Flags::BIAS, 1.0),
            shape(40, 130, 160 - 8 * odd, Flags::NONE, 1.0),
            shape(65, 31, 128, Flags::ACCUMULATE, 1.0),
        ];
        list.extend(shapes.into_iter().map(|s| case(dtype, &Shape { act: DType::F16, ..s })));
    }
    list
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
    let (m, n, k) = (s.m, s.n, s.k);
    let (tiled_x, tiled_y) = (s.flags.has(Flags::TILED_X), s.flags.has(Flags::TILED_Y));
    // Strides wider than the rows, so that a kernel that ignores them writes where the poison must stay.
    let (ldx, ldy) = (k + 16, n + 5);
    let mut rng = Rng((m * 1000 + n) as u64);
    let mut x = rng.normals(m * ldx, s.std);
    x[0] = 40.0 * s.std;
    let x_operand = if tiled_x { tiled_operand(&mut x, m, k, ldx) } else { act::operand(Role::Input, s.act, &mut x) };
    let w = cases::stored(&mut rng, dtype, n, k, 0.05);
    let (bias, bias_operand) = act::normals(&mut rng, s.act, n, s.std);
    let (before, before_operand) = act::normals(&mut rng, s.act, m * ldy, s.std);
    let mut table = vec![0.0f32; n * k];
    let decoded = quant::dequantize(dtype, &w.bytes, &mut table);
    debug_assert!(decoded.is_ok());
    let (accumulate, biased) = (s.flags.has(Flags::ACCUMULATE), s.flags.has(Flags::BIAS));
    let gated = s.flags.has(Flags::GATED);
    let v = if gated { cases::stored(&mut rng, dtype, n, k, 0.05) } else { cases::none() };
    let mut second = vec![0.0f32; if gated { n * k } else { 0 }];
    let decoded = quant::dequantize(dtype, &v.bytes, &mut second);
    debug_assert!(decoded.is_ok());
    let mut e = Expect { operand: Y, value: vec![], scale: vec![], at: vec![] };
    for r in 0..m {
        for j in 0..n {
            let x = &x[r * ldx..][..k];
            let (sum, size) = dot(x, &table[j * k..][..k]);
            e.at.push(if tiled_y { tiled_at(n, r, j) } else { r * ldy + j });
            if gated {
                let (other, other_size) = dot(x, &second[j * k..][..k]);
                let silu = sum / (1.0 + (-sum).exp());
                e.value.push(silu * other);
                // The slope of silu is at most 1.1.
                e.scale.push(1.1 * size * other.abs() + silu.abs() * other_size + 1e-2 * size * other_size + 1e-30);
                continue;
            }
            let extra = if biased { f64::from(bias[j]) } else { 0.0 }
                + if accumulate { f64::from(before[r * ldy + j]) } else { 0.0 };
            e.value.push(sum + extra);
            e.scale.push(size + extra.abs() * 1e-3 + 1e-30);
        }
    }
    let stored = if tiled_y { DType::BF16 } else { s.act };
    if stored != DType::F32 {
        let rounding = act::rounding(stored) / budget(dtype);
        e.scale.iter_mut().zip(&e.value).for_each(|(scale, value)| *scale += value.abs() * rounding);
    }
    let params = MatmulParams {
        n: n as u32,
        k: k as u32,
        ldx: if tiled_x { 0 } else { ldx as u32 },
        ldy: if tiled_y { 0 } else { ldy as u32 },
        dtype: dtype.ggml(),
        layout: 0,
        accumulate: accumulate as u32,
        gated: gated as u32,
        act: s.act.ggml(),
        bias: biased as u32,
    };
    let y = if tiled_y {
        act::output(DType::BF16, tiled_bytes(m, n) / 2)
    } else {
        Operand { role: if accumulate { Role::InOut } else { Role::Output }, ..before_operand }
    };
    let bias = if biased { bias_operand } else { cases::none() };
    Case {
        name: format!(
            "{dtype} m={m} n={n} k={k} std={} act={}{}",
            s.std,
            s.act,
            if tiled_x || tiled_y { " tiled" } else { "" }
        ),
        key: Key { act: s.act, ..key(m, n, k, dtype, Layout::Row, s.flags) },
        params: Params::new(&params),
        rows: m,
        operands: vec![y, x_operand, w, bias, v],
        packed: vec![W, GATE],
        expect: vec![e],
    }
}
