//! Seeded data for cases: the same numbers on every machine.

use half::f16;

use crate::contract::{Case, Flags, Operand, Params, Role};
use crate::matmul::{tiled_at, tiled_bytes};
use crate::{DType, act};

/// A small generator (SplitMix64, Steele et al. 2014).
pub struct Rng(pub u64);

impl Rng {
    /// Next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1).
    pub fn uniform(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Standard normal, nearly (Irwin-Hall of 12).
    pub fn normal(&mut self) -> f32 {
        (0..12).map(|_| self.uniform()).sum::<f32>() - 6.0
    }

    /// `count` normal values times `std`.
    pub fn normals(&mut self, count: usize, std: f32) -> Vec<f32> {
        (0..count).map(|_| self.normal() * std).collect()
    }

    /// Below `n`.
    pub fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }
}

/// An f32 operand.
pub fn f32s(role: Role, values: &[f32]) -> Operand {
    Operand { role, bytes: bytemuck::cast_slice(values).to_vec(), dtype: DType::F32 }
}

/// An i32 operand.
pub fn i32s(role: Role, values: &[i32]) -> Operand {
    Operand { role, bytes: bytemuck::cast_slice(values).to_vec(), dtype: DType::I32 }
}

/// An absent optional operand.
pub fn none() -> Operand {
    Operand { role: Role::Input, bytes: Vec::new(), dtype: DType::F32 }
}

/// `rows x k` of a stored type: random blocks with scales near `std`, or random floats. Every bit pattern of the quants occurs.
pub fn stored(rng: &mut Rng, dtype: DType, rows: usize, k: usize, std: f32) -> Operand {
    let count = rows * k;
    let bytes = match dtype {
        DType::F32 => bytemuck::cast_slice(&rng.normals(count, std)).to_vec(),
        DType::F16 => rng.normals(count, std).iter().flat_map(|&v| f16::from_f32(v).to_le_bytes()).collect(),
        DType::BF16 => rng.normals(count, std).iter().flat_map(|&v| half::bf16::from_f32(v).to_le_bytes()).collect(),
        _ => blocks(rng, dtype, count, std),
    };
    Operand { role: Role::Input, bytes, dtype }
}

/// Byte offsets of the f16 fields of a block, and what their values are divided by to give weights near `std`.
fn scale_fields(dtype: DType) -> (&'static [usize], f32) {
    match dtype {
        DType::Q8_0 => (&[0], 73.0),
        DType::Q4_0 | DType::IQ4_NL => (&[0], 6.0),
        DType::Q5_0 => (&[0], 10.0),
        DType::Q4_1 | DType::Q5_1 => (&[0, 2], 12.0),
        DType::Q2_K => (&[80, 82], 16.0),
        DType::Q3_K => (&[108], 48.0),
        DType::Q4_K | DType::Q5_K => (&[0, 2], 300.0),
        DType::Q6_K => (&[208], 1200.0),
        _ => (&[], 1.0),
    }
}

fn blocks(rng: &mut Rng, dtype: DType, count: usize, std: f32) -> Vec<u8> {
    let size = dtype.block_bytes();
    let mut out = Vec::with_capacity(count / dtype.block() * size);
    let (fields, divisor) = scale_fields(dtype);
    for _ in 0..count / dtype.block() {
        let start = out.len();
        out.extend((0..size).map(|_| rng.bits() as u8));
        let block = &mut out[start..];
        for &at in fields {
            let sign = if rng.bits() & 1 == 0 { 1.0 } else { -1.0 };
            let scale = f16::from_f32(sign * std / divisor * (0.5 + rng.uniform()));
            block[at..at + 2].copy_from_slice(&scale.to_le_bytes());
        }
        if dtype == DType::MXFP4 {
            block[0] = (127.0 + (std / 3.0).log2().round() + (rng.below(3) as f32 - 1.0)) as u8;
        }
    }
    out
}

/// The same problem with its f32 result of `cols` columns, whose rows lie `ld` elements apart, in bf16 tiles; `budget` is the op's.
/// `params` are its arguments with a stride of 0.
pub fn in_tiles(mut c: Case, params: Params, cols: usize, ld: usize, budget: f64) -> Case {
    c.name += " in tiles";
    c.key = c.key.with(Flags::TILED_Y);
    c.params = params;
    for e in &mut c.expect {
        c.operands[e.operand] = act::output(DType::BF16, tiled_bytes(c.rows, cols) / 2);
        e.at.iter_mut().for_each(|at| *at = tiled_at(cols, *at / ld, *at % ld));
        let rounding = act::rounding(DType::BF16) / budget;
        e.scale.iter_mut().zip(&e.value).for_each(|(scale, value)| *scale += value.abs() * rounding);
    }
    c
}
