//! Blocks of 32 values whose 4-bit quants index a table: IQ4_NL and MXFP4.
//!
//! Byte i holds value i in its low and value i + 16 in its high half.

use bytemuck::{Pod, Zeroable};

use super::lanes::Lanes;
use super::legacy::split4;
use super::plain::F16;
use super::{Block, Encode, search};
use crate::DType;

const N: usize = 32;

/// Magnitudes of FP4 E2M1 (one sign, two exponent, one mantissa bit), in the order of the codes 0 to 7.
///
/// Source: OCP Microscaling Formats (MX) 1.0, table 5.
pub const E2M1: [f32; 8] = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0];

/// All codes of FP4, doubled; GGUF decodes code 8 as +0.
const E2M1_DOUBLED: [i8; 16] = {
    let mut table = [0; 16];
    let mut code = 1;
    while code < 8 {
        table[code] = (2.0 * E2M1[code]) as i8;
        table[code + 8] = -table[code];
        code += 1;
    }
    table
};

/// The levels of IQ4_NL, denser around zero.
const IQ4_NL: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// 32 values `d * table[q]`: 18 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockIq4Nl {
    /// Scale.
    pub d: F16,
    /// Codes, two a byte.
    pub qs: [u8; 16],
}

/// 32 values `2^(e - 127) * fp4`: 17 bytes.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub struct BlockMxfp4 {
    /// Biased exponent of the scale (E8M0). GGUF gives 255 no special meaning.
    pub e: u8,
    /// Codes, two a byte.
    pub qs: [u8; 16],
}

impl BlockMxfp4 {
    /// Half the scale, to go with the doubled table; subnormal for the exponents 0 and 1.
    #[inline(always)]
    fn half_scale(e: u8) -> f32 {
        f32::from_bits(if e < 2 { 0x0020_0000 << e } else { u32::from(e - 1) << 23 })
    }
}

impl Block for BlockIq4Nl {
    const DTYPE: DType = DType::IQ4_NL;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        look_up(s, &IQ4_NL, s.half(self.d), &self.qs, out);
    }
}

impl Block for BlockMxfp4 {
    const DTYPE: DType = DType::MXFP4;
    type Values = [f32; N];

    #[inline(always)]
    fn decode<S: Lanes>(&self, s: S, out: &mut [f32; N]) {
        look_up(s, &E2M1_DOUBLED, BlockMxfp4::half_scale(self.e), &self.qs, out);
    }
}

#[inline(always)]
fn look_up<S: Lanes>(s: S, table: &[i8; 16], scale: f32, codes: &[u8; 16], out: &mut [f32; N]) {
    for (codes, out) in split4(s, codes).into_iter().zip(bytemuck::cast_mut::<_, [[f32; 16]; 2]>(out)) {
        s.scaled(s.look_up(table, codes), scale, out);
    }
}

impl Encode for BlockIq4Nl {
    const LIMIT: f32 = 65504.0;

    #[inline(always)]
    fn encode(x: &[f32; N]) -> BlockIq4Nl {
        let (d, q) = search::scale_for_levels(x, &IQ4_NL.map(f32::from));
        BlockIq4Nl { d, qs: std::array::from_fn(|i| q[i] | q[i + 16] << 4) }
    }
}

impl Encode for BlockMxfp4 {
    const LIMIT: f32 = f32::MAX;

    #[inline(always)]
    fn encode(x: &[f32; N]) -> BlockMxfp4 {
        let largest = x.iter().fold(0.0, |a: f32, v| a.max(v.abs()));
        // Two below the exponent of the largest value, so that it lands between 4 and 8; rounding the logarithm to f32
        // is what the format's reference does.
        let e = if largest > 0.0 { ((f64::from(largest).log2() as f32).floor() + 125.0) as u8 } else { 0 };
        let scale = BlockMxfp4::half_scale(e);
        let q = x.map(|v| nearest(&E2M1_DOUBLED, scale, v));
        BlockMxfp4 { e, qs: std::array::from_fn(|i| q[i] | q[i + 16] << 4) }
    }
}

/// The first code whose scaled level is nearest to `x`.
#[inline(always)]
fn nearest(table: &[i8; 16], scale: f32, x: f32) -> u8 {
    let mut best = (f32::INFINITY, 0);
    for (code, level) in table.iter().enumerate() {
        let error = (scale * f32::from(*level) - x).abs();
        if error < best.0 {
            best = (error, code as u8);
        }
    }
    best.1
}
