//! `matmul: y[r, j] = f(alpha * sum_i x[r, i] * w[j, i] (+ bias[j])) (+ beta * y[r, j] before)`, f: nothing, relu, gelu or silu
//!
//! `gated: y[r, j] = silu(sum_i x[r, i] * w[j, i]) * sum_i x[r, i] * v[j, i]`, the SwiGLU of a feed-forward layer (Shazeer 2020)
//!
//! m rows (tokens), n outputs, k reduced. y: (m, n), row stride `ldy`; x: (m, k), row stride `ldx`; bias: (n) or absent, these
//! three of the key's `act`; w: (n, k) of any stored type, `Layout::Row` or packed; v: as w, or absent. Sums are f32 or wider.
//! On GPUs every operand begins at a multiple of 16 bytes.
//!
//! In the names of vendors' libraries: A is x, B is w, and `Flags::TRANSPOSE_B` is the usual weight above (NT). Without that flag w is
//! (k, n), row-major (NN); with `Flags::TRANSPOSE_A` x is (k, m) with row stride `ldx`. `batch` problems lie `bx`, `bw` and `by`
//! elements apart and share the bias. `Flags::SCALED` says that alpha is not 1, or beta where y is added to.
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
mod cases;
pub mod pack;
mod plain;
mod portable;
#[cfg(target_arch = "x86_64")]
mod roles;
#[cfg(target_arch = "x86_64")]
mod unpack;
#[cfg(target_arch = "x86_64")]
mod vnni;
#[cfg(target_arch = "x86_64")]
mod vnni_gemm;

use crate::DType;
use crate::contract::{Flags, Key, Layout, Native, Op, params};
use crate::elementwise::Activation;

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
        /// 1 where x is (k, m).
        pub transpose_a: u32,
        /// 1 where w is (n, k), 0 where it is (k, n).
        pub transpose_b: u32,
        /// Problems.
        pub batch: u32,
        /// Elements from one problem of x to the next.
        pub bx: u32,
        /// Elements from one problem of w to the next.
        pub bw: u32,
        /// Elements from one problem of y to the next.
        pub by: u32,
        /// An `Activation`: 0 none, 1 relu, 2 gelu, 3 silu.
        pub activation: u32,
        /// Factor on the product.
        pub alpha: f32,
        /// Factor on what y holds, where it is added to.
        pub beta: f32,
    }
}

impl MatmulParams {
    /// One product of dense f32 rows and the usual weight, of n outputs over k, with nothing added: what callers begin from.
    pub fn new(n: usize, k: usize) -> MatmulParams {
        MatmulParams {
            n: n as u32,
            k: k as u32,
            ldx: k as u32,
            ldy: n as u32,
            transpose_b: 1,
            batch: 1,
            alpha: 1.0,
            beta: 1.0,
            ..MatmulParams::default()
        }
    }

    /// What becomes of a sum, in f64.
    pub fn finish(&self, sum: f64, bias: f64, before: f64) -> f64 {
        let f = Activation::from_number(self.activation);
        f.apply(f64::from(self.alpha) * sum + bias) + f64::from(self.beta) * before
    }

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
pub static OP: Op = Op {
    name: "matmul",
    manifest: include_str!("variants.json"),
    params: MatmulParams::INFO,
    native,
    cases: cases::all,
    budget,
};

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
        "vnni_gemm" => Some(vnni_gemm::NATIVE),
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
