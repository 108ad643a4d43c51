//! Super-blocks of 256 values whose sub-blocks have small integer scales: Q2_K to Q6_K.
//!
//! Quants of fewer than eight bits lie in planes: a byte carries the same lane of two or four runs of 32 values, so that
//! one load and one shift give 32 consecutive values.

use bytemuck::{Pod, Zeroable};

use super::Block;
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
    let (mut scales, mut mins) = ([0; 8], [0; 8]);
    for i in 0..4 {
        let (s, m, rest) = (packed[i], packed[i + 4], packed[i + 8]);
        scales[i] = s & 63;
        mins[i] = m & 63;
        scales[i + 4] = (rest & 15) | (s >> 6) << 4;
        mins[i + 4] = (rest >> 4) | (m >> 6) << 4;
    }
    (scales, mins)
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
    fn decode(&self, out: &mut [f32; N]) {
        let (d, dmin) = (self.d.get(), self.dmin.get());
        let (qs, _) = self.qs.as_chunks::<16>();
        let (out, _) = out.as_chunks_mut::<16>();
        for (sub, out) in out.iter_mut().enumerate() {
            let scale = d * f32::from(self.scales[sub] & 15);
            let min = dmin * f32::from(self.scales[sub] >> 4);
            let (bytes, plane) = (&qs[sub / 8 * 2 + sub % 2], sub / 2 % 4);
            for l in 0..16 {
                out[l] = scale * f32::from(bytes[l] >> (2 * plane) & 3) - min;
            }
        }
    }
}

impl Block for BlockQ3K {
    const DTYPE: DType = DType::Q3_K;
    type Values = [f32; N];

    #[inline(always)]
    fn decode(&self, out: &mut [f32; N]) {
        let d = self.d.get();
        let scales = self.scales();
        let (qs, _) = self.qs.as_chunks::<16>();
        let (hmask, _) = self.hmask.as_chunks::<16>();
        let (out, _) = out.as_chunks_mut::<16>();
        for (sub, out) in out.iter_mut().enumerate() {
            let scale = d * f32::from(scales[sub]);
            let (bytes, plane) = (&qs[sub / 8 * 2 + sub % 2], sub / 2 % 4);
            let high = &hmask[sub % 2];
            for l in 0..16 {
                let q = (bytes[l] >> (2 * plane) & 3) | (high[l] >> (sub / 2) & 1) << 2;
                out[l] = scale * (i32::from(q) - 4) as f32;
            }
        }
    }
}

impl Block for BlockQ4K {
    const DTYPE: DType = DType::Q4_K;
    type Values = [f32; N];

    #[inline(always)]
    fn decode(&self, out: &mut [f32; N]) {
        let (d, dmin) = (self.d.get(), self.dmin.get());
        let (scales, mins) = scale_min(&self.scales);
        let (qs, _) = self.qs.as_chunks::<32>();
        let (out, _) = out.as_chunks_mut::<32>();
        for (sub, out) in out.iter_mut().enumerate() {
            let scale = d * f32::from(scales[sub]);
            let min = dmin * f32::from(mins[sub]);
            let bytes = &qs[sub / 2];
            for l in 0..32 {
                out[l] = scale * f32::from(bytes[l] >> (sub % 2 * 4) & 15) - min;
            }
        }
    }
}

impl Block for BlockQ5K {
    const DTYPE: DType = DType::Q5_K;
    type Values = [f32; N];

    #[inline(always)]
    fn decode(&self, out: &mut [f32; N]) {
        let (d, dmin) = (self.d.get(), self.dmin.get());
        let (scales, mins) = scale_min(&self.scales);
        let (qs, _) = self.qs.as_chunks::<32>();
        let (out, _) = out.as_chunks_mut::<32>();
        for (sub, out) in out.iter_mut().enumerate() {
            let scale = d * f32::from(scales[sub]);
            let min = dmin * f32::from(mins[sub]);
            let bytes = &qs[sub / 2];
            for l in 0..32 {
                let q = (bytes[l] >> (sub % 2 * 4) & 15) | (self.qh[l] >> sub & 1) << 4;
                out[l] = scale * f32::from(q) - min;
            }
        }
    }
}

impl Block for BlockQ6K {
    const DTYPE: DType = DType::Q6_K;
    type Values = [f32; N];

    #[inline(always)]
    fn decode(&self, out: &mut [f32; N]) {
        let d = self.d.get();
        let (ql, _) = self.ql.as_chunks::<16>();
        let (qh, _) = self.qh.as_chunks::<16>();
        let (out, _) = out.as_chunks_mut::<16>();
        for (sub, out) in out.iter_mut().enumerate() {
            let scale = d * f32::from(self.scales[sub]);
            let (half, plane) = (sub / 8, sub / 2 % 4);
            let low = &ql[half * 4 + sub % 4];
            let high = &qh[half * 2 + sub % 2];
            for l in 0..16 {
                let q = (low[l] >> (plane / 2 * 4) & 15) | (high[l] >> (2 * plane) & 3) << 4;
                out[l] = scale * (i32::from(q) - 32) as f32;
            }
        }
    }
}
