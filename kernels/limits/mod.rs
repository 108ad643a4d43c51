//! Not an op of a model: kernels that do one thing as fast as a device can, so that others can be held against it.
//!
//! `write: y[i] = pattern(i)`, `read: y[g] = sum of x over what SIMD group g owns`, `copy: y[i] = x[i]`, in units of 16 bytes; arithmetic in
//! registers; launches of nothing, and launches that each read what the one ahead wrote. Rows: units of 16 bytes, or threads.

use crate::contract::{Op, Variant, params};

params! {
    /// Arguments.
    pub struct LimitsParams {
        /// Rows.
        pub rows: u32,
    }
}

/// The kernels. `cases` is empty: what they leave is compared where they are used.
pub static OP: Op = Op {
    name: "limits",
    manifest: include_str!("variants.json"),
    params: LimitsParams::INFO,
    native: |_| None,
    cases: Vec::new,
    budget: |_| 0.0,
};

/// Bytes of a unit that memory kernels move.
const UNIT: usize = 16;

/// Threads of an arithmetic launch, as `limits.metal` counts their operations.
const F32_THREADS: usize = 1 << 19;
const F16_THREADS: usize = 1 << 17;

/// What a kernel does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Reads memory.
    Read,
    /// Writes memory.
    Write,
    /// Reads and writes memory.
    Copy,
    /// Multiplies and adds f32.
    F32,
    /// Multiplies matrices of f16, with sums in f32.
    F16,
    /// Nothing.
    Empty,
    /// Reads a word that the launch ahead wrote, and writes one.
    Chain,
}

impl Work {
    /// The family of its variants.
    pub fn family(self) -> &'static str {
        match self {
            Work::Read => "read",
            Work::Write => "write",
            Work::Copy => "copy",
            Work::F32 => "f32",
            Work::F16 => "f16",
            Work::Empty => "empty",
            Work::Chain => "chain",
        }
    }

    /// Rows of a launch over `bytes`.
    pub fn rows(self, bytes: usize) -> usize {
        match self {
            Work::Read | Work::Write | Work::Copy => bytes / UNIT,
            Work::F32 => F32_THREADS,
            Work::F16 => F16_THREADS,
            Work::Empty | Work::Chain => 1,
        }
    }

    /// Bytes moved, operations done or launches made by one launch over `bytes`.
    pub fn amount(self, bytes: usize) -> f64 {
        match self {
            Work::Read | Work::Write => bytes as f64,
            Work::Copy => 2.0 * bytes as f64,
            // 1024 turns of 16 multiplications with an addition.
            Work::F32 => F32_THREADS as f64 * 1024.0 * 16.0 * 2.0,
            // 1024 turns of 2 x 16 products of 8 x 8 matrices for each 32 threads, or 256 of 64 x 256 x 16 for each 128.
            Work::F16 => F16_THREADS as f64 / 32.0 * 1024.0 * 32.0 * 1024.0,
            Work::Empty | Work::Chain => 1.0,
        }
    }

    /// Bytes that a launch over `bytes` writes.
    pub fn output_bytes(self, bytes: usize, variant: &Variant) -> usize {
        match self {
            Work::Write | Work::Copy => bytes,
            // A word for each SIMD group, which owns 32 PER units.
            Work::Read => {
                let per = variant.knobs.get("PER").map_or(1, |p| (*p).max(1) as usize);
                bytes / UNIT / 32 / per * 4
            }
            Work::F32 => F32_THREADS * 4,
            // 16 sums of 64 values for each 32 threads.
            Work::F16 => F16_THREADS / 32 * 16 * 64 * 4,
            Work::Empty | Work::Chain => UNIT,
        }
    }

    /// The sum of all words that a launch over `bytes` must leave; `None` where that is not known.
    pub fn sum(self, bytes: usize) -> Option<u32> {
        // Unit i holds i times the factor, four times.
        let units = (bytes / UNIT) as u64;
        let all = (units * (units.saturating_sub(1)) / 2) as u32;
        matches!(self, Work::Read | Work::Write | Work::Copy).then(|| all.wrapping_mul(FACTOR).wrapping_mul(4))
    }
}

/// Knuth's multiplicative hash: words that compress badly.
const FACTOR: u32 = 2_654_435_761;
