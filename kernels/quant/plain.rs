//! Types without blocks: F32, F16, BF16, I32, and the half-precision field that the block formats share.

use bytemuck::{Pod, Zeroable};

use super::lanes::Lanes;
use super::{Block, Encode};
use crate::DType;

/// One little-endian f32.
#[repr(transparent)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct F32([u8; 4]);

/// One little-endian IEEE half.
#[repr(transparent)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct F16([u8; 2]);

/// One little-endian bfloat16: the upper half of an f32.
#[repr(transparent)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct Bf16([u8; 2]);

/// One little-endian i32.
#[repr(transparent)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct I32([u8; 4]);

impl F16 {
    /// The value, exactly.
    #[inline(always)]
    pub fn get(self) -> f32 {
        f16_to_f32(self.bits())
    }

    /// The 16 bits.
    #[inline(always)]
    pub fn bits(self) -> u16 {
        u16::from_le_bytes(self.0)
    }

    /// The half nearest to `value`.
    #[inline(always)]
    pub fn new(value: f32) -> F16 {
        F16(f32_to_f16(value).to_le_bytes())
    }
}

/// The value of the half with these bits, exactly.
///
/// Integer steps and one subtraction of normal numbers: it vectorizes anywhere, and subnormal halves survive a thread
/// that treats subnormal f32 as zero.
#[inline(always)]
pub fn f16_to_f32(bits: u16) -> f32 {
    const REBIAS: u32 = (127 - 15) << 23;
    let magnitude = u32::from(bits & 0x7fff) << 13;
    let sign = u32::from(bits & 0x8000) << 16;
    let infinite = if magnitude >= 0x1f << 23 { REBIAS } else { 0 };
    let smallest_normal = f32::from_bits(REBIAS + (1 << 23));
    let subnormal = (f32::from_bits(magnitude + REBIAS + (1 << 23)) - smallest_normal).to_bits();
    let absolute = if magnitude < 1 << 23 { subnormal } else { magnitude + REBIAS + infinite };
    f32::from_bits(absolute | sign)
}

/// Bits of the half nearest to `value`, ties to even; infinity from 65520 on; NaN becomes the quiet NaN.
#[inline(always)]
pub fn f32_to_f16(value: f32) -> u16 {
    const REBIAS: u32 = (127 - 15) << 23;
    let bits = value.to_bits();
    let magnitude = bits & 0x7fff_ffff;
    // Adding 0.5 leaves steps of 2^-24, the spacing of subnormal halves, and rounds to them.
    let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
    let normal = magnitude.wrapping_sub(REBIAS).wrapping_add(0xfff + (magnitude >> 13 & 1)) >> 13;
    let finite = if magnitude < REBIAS + (1 << 23) { subnormal } else { normal };
    let large = if magnitude > 0x7f80_0000 { 0x7e00 } else { 0x7c00 };
    let absolute = if magnitude >= 0x477f_f000 { large } else { finite };
    (absolute | (bits >> 16 & 0x8000)) as u16
}

/// Bits of the bfloat16 nearest to `value`, ties to even; NaN stays NaN.
#[inline(always)]
pub fn f32_to_bf16(value: f32) -> u16 {
    let bits = value.to_bits();
    let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
    let nan = bits >> 16 | 0x40;
    (if bits & 0x7fff_ffff > 0x7f80_0000 { nan } else { rounded }) as u16
}

impl Block for F32 {
    const DTYPE: DType = DType::F32;
    type Values = [f32; 1];

    #[inline(always)]
    fn decode<S: Lanes>(&self, _: S, out: &mut [f32; 1]) {
        out[0] = f32::from_le_bytes(self.0);
    }
}

impl Encode for F32 {
    const LIMIT: f32 = f32::MAX;

    #[inline(always)]
    fn encode(values: &[f32; 1]) -> F32 {
        F32(values[0].to_le_bytes())
    }
}

impl Block for F16 {
    const DTYPE: DType = DType::F16;
    type Values = [f32; 1];

    #[inline(always)]
    fn decode<S: Lanes>(&self, _: S, out: &mut [f32; 1]) {
        out[0] = self.get();
    }

    #[inline(always)]
    fn decode_all<S: Lanes>(blocks: &[F16], s: S, out: &mut [[f32; 1]]) {
        let (eights, rest) = blocks.as_chunks::<8>();
        let (out, out_rest) = bytemuck::cast_slice_mut::<_, f32>(out).as_chunks_mut::<8>();
        for (halves, out) in eights.iter().zip(out) {
            s.halves(halves, out);
        }
        for (half, out) in rest.iter().zip(out_rest) {
            *out = half.get();
        }
    }
}

impl Encode for F16 {
    /// The last f32 that rounds to 65504 and not to infinity.
    const LIMIT: f32 = f32::from_bits(0x477f_efff);

    #[inline(always)]
    fn encode(values: &[f32; 1]) -> F16 {
        F16::new(values[0])
    }
}

impl Block for Bf16 {
    const DTYPE: DType = DType::BF16;
    type Values = [f32; 1];

    #[inline(always)]
    fn decode<S: Lanes>(&self, _: S, out: &mut [f32; 1]) {
        out[0] = f32::from_bits(u32::from(u16::from_le_bytes(self.0)) << 16);
    }
}

impl Encode for Bf16 {
    /// The last f32 that does not round to infinity.
    const LIMIT: f32 = f32::from_bits(0x7f7f_7fff);

    #[inline(always)]
    fn encode(values: &[f32; 1]) -> Bf16 {
        Bf16(f32_to_bf16(values[0]).to_le_bytes())
    }
}

impl Block for I32 {
    const DTYPE: DType = DType::I32;
    type Values = [f32; 1];

    #[inline(always)]
    fn decode<S: Lanes>(&self, _: S, out: &mut [f32; 1]) {
        out[0] = i32::from_le_bytes(self.0) as f32;
    }
}
