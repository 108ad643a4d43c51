//! Super-blocks of 256 values whose sub-blocks have small integer scales: Q2_K to Q6_K.
//!
//! Quants of fewer than eight bits lie in planes: a byte carries the same lane of two or four runs of 32 values, so that
//! one load and one shift give 32 consecutive values.

use bytemuck::{Pod, Zeroable};

use super::Block;
use super::lanes::Lanes;
use super::legacy::split4;
use super::plain::F16;
use crate::DType;

const N: usize = 256;

/// 256 values `d * s * q - dmin * m`, q in 0..4, in 16 sub-blocks of 16 values: 84 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ2K {
    /// A sub-block's s in the low and m in the high four bits.
    pub scales: [u8; 16],
    /// Quants, four a byte: 32 bytes hold 128 values, bits 2p and 2p+1 the p-th 32 of them.
    pub qs: [u8; 64],
    /// Scale of the s.
    pub d: F16,
    /// Scale of the m.
    pub dmin: F16,
}

/// 256 values `d * (s - 32) * (q - 4)`, q in 0..8, in 16 sub-blocks of 16 values: 110 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ3K {
    /// Third bits: bit p of byte l belongs to value 32p + l.
    pub hmask: [u8; 32],
    /// Low two bits, as in Q2_K.
    pub qs: [u8; 64],
    /// Sixteen 6-bit s: see [`BlockQ3K::scales`].
    pub scales: [u8; 12],
    /// Scale of the s.
    pub d: F16,
}

/// 256 values `d * s * q - dmin * m`, q in 0..16, in 8 sub-blocks of 32 values: 144 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ4K {
    /// Scale of the s.
    pub d: F16,
    /// Scale of the m.
    pub dmin: F16,
    /// Eight pairs of 6-bit s and m: see [`scale_min`].
    pub scales: [u8; 12],
    /// Quants, two a byte: 32 bytes hold two sub-blocks, the first in the low halves.
    pub qs: [u8; 128],
}

/// 256 values `d * s * q - dmin * m`, q in 0..32, in 8 sub-blocks of 32 values: 176 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ5K {
    /// Scale of the s.
    pub d: F16,
    /// Scale of the m.
    pub dmin: F16,
    /// Eight pairs of 6-bit s and m: see [`scale_min`].
    pub scales: [u8; 12],
    /// Fifth bits: bit p of byte l belongs to value 32p + l.
    pub qh: [u8; 32],
    /// Low four bits, as in Q4_K.
    pub qs: [u8; 128],
}

/// 256 values `d * s * (q - 32)`, q in 0..64, in 16 sub-blocks of 16 values: 210 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockQ6K {
    /// Low four bits: 64 bytes hold 128 values, the first 64 of them in the low halves.
    pub ql: [u8; 128],
    /// High two bits, in the order of Q2_K's quants.
    pub qh: [u8; 64],
    /// Scales s of the sub-blocks.
    pub scales: [i8; 16],
    /// Scale of the s.
    pub d: F16,
}

/// The eight 6-bit scales and the eight 6-bit minima of Q4_K and Q5_K.
///
/// Bytes 0..4 hold the first four scales, bytes 4..8 the first four minima; their upper two bits and bytes 8..12 (low
/// half scale, high half minimum) make up the last four.
#[inline(always)]
pub fn scale_min(packed: &[u8; 12]) -> ([u8; 8], [u8; 8]) {
    const LOW4: u32 = 0x0f0f_0f0f;
    const LOW6: u32 = 0x3f3f_3f3f;
    let [s, m, rest]: [u32; 3] = bytemuck::pod_read_unaligned(packed);
    let scales = [s & LOW6, rest & LOW4 | s >> 2 & (LOW6 & !LOW4)];
    let mins = [m & LOW6, rest >> 4 & LOW4 | m >> 2 & (LOW6 & !LOW4)];
    (bytemuck::cast(scales), bytemuck::cast(mins))
}

impl BlockQ3K {
    /// The sixteen scales, less 32. The low four bits of scale i are a half of byte i mod 8, its upper two bits a
    /// quarter of byte 8 + i mod 4.
    #[inline(always)]
    pub fn scales(&self) -> [i8; 16] {
        std::array::from_fn(|i| {
            let low = self.scales[i % 8] >> (4 * (i / 8)) & 15;
            let high = self.scales[8 + i % 4] >> (2 * (i / 4)) & 3;
            (low | high << 4) as i8 - 32
        })
    }
}

impl Block for BlockQ2K {
    const DTYPE: DType = DType::Q2_K;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        let (d, dmin) = (s.half(self.d), s.half(self.dmin));
        let scales = self.scales.map(|packed| d * f32::from(packed & 15));
        let mins = self.scales.map(|packed| dmin * f32::from(packed >> 4));
        let out: &mut [[f32; 16]; 16] = bytemuck::cast_mut(out);
        for (i, bytes) in self.qs.as_chunks::<16>().0.iter().enumerate() {
            let bytes = s.load(bytes);
            for plane in 0..4 {
                let sub = sub_block(i, plane);
                s.scaled_plus(s.bits(bytes, 2 * plane, 3), scales[sub], -mins[sub], &mut out[sub]);
            }
        }
    }
}

impl Block for BlockQ3K {
    const DTYPE: DType = DType::Q3_K;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        let d = s.half(self.d);
        let scales = self.scales().map(|s| d * f32::from(s));
        let hmask: &[[u8; 16]; 2] = bytemuck::cast_ref(&self.hmask);
        let out: &mut [[f32; 16]; 16] = bytemuck::cast_mut(out);
        for (i, bytes) in self.qs.as_chunks::<16>().0.iter().enumerate() {
            let bytes = s.load(bytes);
            let high = s.bits(s.load(&hmask[i % 2]), i as u32 / 2 * 4, 15);
            for plane in 0..4 {
                let sub = sub_block(i, plane);
                let q = s.join(s.bits(bytes, 2 * plane, 3), s.bits(high, plane, 1), 2);
                s.scaled(s.less(q, 4), scales[sub], &mut out[sub]);
            }
        }
    }
}

impl Block for BlockQ4K {
    const DTYPE: DType = DType::Q4_K;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        let (d, dmin) = (s.half(self.d), s.half(self.dmin));
        let (scales, mins) = scale_min(&self.scales);
        let scales = scales.map(|s| d * f32::from(s));
        let mins = mins.map(|m| dmin * f32::from(m));
        let out: &mut [[[f32; 16]; 2]; 8] = bytemuck::cast_mut(out);
        for (i, bytes) in self.qs.as_chunks::<16>().0.iter().enumerate() {
            let (sub, side) = (i / 2 * 2, i % 2);
            let [low, high] = split4(s, bytes);
            s.scaled_plus(low, scales[sub], -mins[sub], &mut out[sub][side]);
            s.scaled_plus(high, scales[sub + 1], -mins[sub + 1], &mut out[sub + 1][side]);
        }
    }
}

impl Block for BlockQ5K {
    const DTYPE: DType = DType::Q5_K;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        let (d, dmin) = (s.half(self.d), s.half(self.dmin));
        let (scales, mins) = scale_min(&self.scales);
        let scales = scales.map(|s| d * f32::from(s));
        let mins = mins.map(|m| dmin * f32::from(m));
        let qh: &[[u8; 16]; 2] = bytemuck::cast_ref(&self.qh);
        let out: &mut [[[f32; 16]; 2]; 8] = bytemuck::cast_mut(out);
        for (i, bytes) in self.qs.as_chunks::<16>().0.iter().enumerate() {
            let (sub, side) = (i / 2 * 2, i % 2);
            let [low, high] = split4(s, bytes);
            let fifth = s.bits(s.load(&qh[side]), sub as u32, 3);
            let low = s.join(low, s.bits(fifth, 0, 1), 4);
            let high = s.join(high, s.bits(fifth, 1, 1), 4);
            s.scaled_plus(low, scales[sub], -mins[sub], &mut out[sub][side]);
            s.scaled_plus(high, scales[sub + 1], -mins[sub + 1], &mut out[sub + 1][side]);
        }
    }
}

impl Block for BlockQ6K {
    const DTYPE: DType = DType::Q6_K;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        let d = s.half(self.d);
        let scales = self.scales.map(|s| d * f32::from(s));
        let ql: &[[u8; 16]; 8] = bytemuck::cast_ref(&self.ql);
        let out: &mut [[f32; 16]; 16] = bytemuck::cast_mut(out);
        for (i, high) in self.qh.as_chunks::<16>().0.iter().enumerate() {
            let high = s.load(high);
            let ([q0, q2], [q1, q3]) = (split4(s, &ql[i + i / 2 * 2]), split4(s, &ql[i + i / 2 * 2 + 2]));
            for (plane, low) in [q0, q1, q2, q3].into_iter().enumerate() {
                let sub = sub_block(i, plane as u32);
                let q = s.join(low, s.bits(high, 2 * plane as u32, 3), 4);
                s.scaled(s.less(q, 32), scales[sub], &mut out[sub]);
            }
        }
    }
}

/// The sub-block of 16 values whose quants are the bits `2 * plane` and `2 * plane + 1` of the i-th 16 bytes.
#[inline(always)]
pub(super) fn sub_block(i: usize, plane: u32) -> usize {
    i / 2 * 8 + plane as usize * 2 + i % 2
}
