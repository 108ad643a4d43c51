//! Blocks of 32 values with one f16 scale: Q8_0, Q4_0, Q4_1, Q5_0, Q5_1.
//!
//! Byte i of the 4-bit quants holds value i in its low and value i + 16 in its high half; bit i of `qh` is the fifth
//! bit of value i.

use bytemuck::{Pod, Zeroable};

use super::lanes::Lanes;
use super::plain::F16;
use super::{Block, Encode};
use crate::DType;

const N: usize = 32;

/// Largest finite half.
const F16_MAX: f32 = 65504.0;

/// 32 values `d * q`, q in -127..=127: 34 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ8_0 {
    /// Scale.
    pub d: F16,
    /// Quants.
    pub qs: [i8; 32],
}

/// 32 values `d * (q - 8)`, q in 0..16: 18 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ4_0 {
    /// Scale.
    pub d: F16,
    /// Quants, two a byte.
    pub qs: [u8; 16],
}

/// 32 values `d * q + m`, q in 0..16: 20 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ4_1 {
    /// Scale.
    pub d: F16,
    /// Minimum.
    pub m: F16,
    /// Quants, two a byte.
    pub qs: [u8; 16],
}

/// 32 values `d * (q - 16)`, q in 0..32: 22 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ5_0 {
    /// Scale.
    pub d: F16,
    /// Fifth bits, little-endian.
    pub qh: [u8; 4],
    /// Low four bits, two a byte.
    pub qs: [u8; 16],
}

/// 32 values `d * q + m`, q in 0..32: 24 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ5_1 {
    /// Scale.
    pub d: F16,
    /// Minimum.
    pub m: F16,
    /// Fifth bits, little-endian.
    pub qh: [u8; 4],
    /// Low four bits, two a byte.
    pub qs: [u8; 16],
}

impl Block for BlockQ8_0 {
    const DTYPE: DType = DType::Q8_0;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        // Not by `s`: in a loop as short as this one, the vector register that it goes through is a chain between blocks.
        let d = self.d.get();
        let q: &[[u8; 16]; 2] = bytemuck::cast_ref(&self.qs);
        for (q, out) in q.iter().zip(bytemuck::cast_mut::<_, [[f32; 16]; 2]>(out)) {
            s.scaled(s.load(q), d, out);
        }
    }
}

impl Block for BlockQ4_0 {
    const DTYPE: DType = DType::Q4_0;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        let d = s.half(self.d);
        for (q, out) in split4(s, &self.qs).into_iter().zip(bytemuck::cast_mut::<_, [[f32; 16]; 2]>(out)) {
            s.scaled(s.less(q, 8), d, out);
        }
    }
}

impl Block for BlockQ4_1 {
    const DTYPE: DType = DType::Q4_1;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        let (d, m) = (s.half(self.d), s.half(self.m));
        for (q, out) in split4(s, &self.qs).into_iter().zip(bytemuck::cast_mut::<_, [[f32; 16]; 2]>(out)) {
            s.scaled_plus(q, d, m, out);
        }
    }
}

impl Block for BlockQ5_0 {
    const DTYPE: DType = DType::Q5_0;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        let d = s.half(self.d);
        for (q, out) in split5(s, &self.qs, self.qh).into_iter().zip(bytemuck::cast_mut::<_, [[f32; 16]; 2]>(out)) {
            s.scaled(s.less(q, 16), d, out);
        }
    }
}

impl Block for BlockQ5_1 {
    const DTYPE: DType = DType::Q5_1;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        let (d, m) = (s.half(self.d), s.half(self.m));
        for (q, out) in split5(s, &self.qs, self.qh).into_iter().zip(bytemuck::cast_mut::<_, [[f32; 16]; 2]>(out)) {
            s.scaled_plus(q, d, m, out);
        }
    }
}

impl Encode for BlockQ8_0 {
    const LIMIT: f32 = 127.0 * F16_MAX;

    #[inline(always)]
    fn encode(x: &[f32; N]) -> BlockQ8_0 {
        // Magnitudes order as their bits do, and a maximum of integers vectorizes.
        let largest = f32::from_bits(x.iter().fold(0, |a, v| v.abs().to_bits().max(a)));
        let d = largest / 127.0;
        let inverse = reciprocal(d);
        BlockQ8_0 { d: F16::new(d), qs: x.map(|v| round_half_away(v * inverse) as i8) }
    }
}

impl Encode for BlockQ4_0 {
    const LIMIT: f32 = 8.0 * F16_MAX;

    #[inline(always)]
    fn encode(x: &[f32; N]) -> BlockQ4_0 {
        let d = farthest_from_zero(x) / -8.0;
        let inverse = reciprocal(d);
        let q = x.map(|v| ((v * inverse + 8.5) as i32).clamp(0, 15) as u8);
        BlockQ4_0 { d: F16::new(d), qs: nibbles(&q) }
    }
}

impl Encode for BlockQ4_1 {
    const LIMIT: f32 = F16_MAX;

    #[inline(always)]
    fn encode(x: &[f32; N]) -> BlockQ4_1 {
        let (min, max) = range(x);
        let d = (max - min) / 15.0;
        let inverse = reciprocal(d);
        let q = x.map(|v| (((v - min) * inverse + 0.5) as i32).clamp(0, 15) as u8);
        BlockQ4_1 { d: F16::new(d), m: F16::new(min), qs: nibbles(&q) }
    }
}

impl Encode for BlockQ5_0 {
    const LIMIT: f32 = 16.0 * F16_MAX;

    #[inline(always)]
    fn encode(x: &[f32; N]) -> BlockQ5_0 {
        let d = farthest_from_zero(x) / -16.0;
        let inverse = reciprocal(d);
        let q = x.map(|v| ((v * inverse + 16.5) as i32).clamp(0, 31) as u8);
        BlockQ5_0 { d: F16::new(d), qh: fifth_bits(&q), qs: nibbles(&q) }
    }
}

impl Encode for BlockQ5_1 {
    const LIMIT: f32 = F16_MAX;

    #[inline(always)]
    fn encode(x: &[f32; N]) -> BlockQ5_1 {
        let (min, max) = range(x);
        let d = (max - min) / 31.0;
        let inverse = reciprocal(d);
        let q = x.map(|v| (((v - min) * inverse + 0.5) as i32).clamp(0, 31) as u8);
        BlockQ5_1 { d: F16::new(d), m: F16::new(min), qh: fifth_bits(&q), qs: nibbles(&q) }
    }
}

/// The 32 four-bit quants.
#[inline(always)]
pub(super) fn split4<S: Lanes>(s: S, qs: &[u8; 16]) -> [S::Bytes; 2] {
    let bytes = s.load(qs);
    [s.bits(bytes, 0, 15), s.bits(bytes, 4, 15)]
}

/// The 32 five-bit quants.
#[inline(always)]
fn split5<S: Lanes>(s: S, qs: &[u8; 16], qh: [u8; 4]) -> [S::Bytes; 2] {
    let [low, high] = split4(s, qs);
    let fifth = |a, b| s.spread(u16::from_le_bytes([a, b]));
    [s.join(low, fifth(qh[0], qh[1]), 4), s.join(high, fifth(qh[2], qh[3]), 4)]
}

/// 1 / d, or 0 where that is no finite number: such a block has a zero scale in f16 anyway.
#[inline(always)]
fn reciprocal(d: f32) -> f32 {
    let inverse = 1.0 / d;
    if inverse.is_finite() { inverse } else { 0.0 }
}

/// The first of the values with the largest magnitude, with its sign.
#[inline(always)]
fn farthest_from_zero(x: &[f32; N]) -> f32 {
    x.iter().fold(x[0], |a, &v| if v.abs() > a.abs() { v } else { a })
}

#[inline(always)]
fn range(x: &[f32; N]) -> (f32, f32) {
    x.iter().fold((x[0], x[0]), |(lo, hi), &v| (if v < lo { v } else { lo }, if v > hi { v } else { hi }))
}

#[inline(always)]
fn round_half_away(x: f32) -> i32 {
    let magnitude = x.abs();
    let whole = magnitude as i32;
    let rounded = whole + i32::from(magnitude - whole as f32 >= 0.5);
    if x < 0.0 { -rounded } else { rounded }
}

#[inline(always)]
fn nibbles(q: &[u8; N]) -> [u8; 16] {
    std::array::from_fn(|i| (q[i] & 15) | (q[i + 16] << 4))
}

#[inline(always)]
fn fifth_bits(q: &[u8; N]) -> [u8; 4] {
    q.iter().enumerate().fold(0u32, |bits, (i, &q)| bits | u32::from(q >> 4) << i).to_le_bytes()
}
