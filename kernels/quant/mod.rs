//! Block formats of GGUF: decoding of every stored type, encoding of most.
//!
//! A tensor's row is a run of blocks without padding. Each format is one plain struct whose fields are its bytes
//! ([`Block`]), so a row of bytes is viewed, never copied. Decoding rounds after every multiplication and addition in
//! the order that the `gguf` Python package does, and is equal to it bit for bit.

use bytemuck::Pod;
use thiserror::Error;

use crate::DType;

mod kquants;
mod kquants_encode;
mod lanes;
mod legacy;
mod lut;
mod plain;
mod search;
#[cfg(test)]
mod tests;

use lanes::Portable;

pub use kquants::{BlockQ2K, BlockQ3K, BlockQ4K, BlockQ5K, BlockQ6K, scale_min};
pub use lanes::Lanes;
pub use legacy::{BlockQ4_0, BlockQ4_1, BlockQ5_0, BlockQ5_1, BlockQ8_0};
pub use lut::{BlockIq4Nl, BlockMxfp4, E2M1};
pub use plain::{Bf16, F16, F32, I32, f16_to_f32, f32_to_bf16, f32_to_f16};

/// Why values could not be decoded or encoded.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
pub enum QuantError {
    /// The values do not fill whole blocks.
    #[error("{values} values are not whole blocks of {dtype} ({} values each)", dtype.block())]
    Partial {
        /// Stored type.
        dtype: DType,
        /// Number of values given.
        values: usize,
    },
    /// The bytes and the values disagree.
    #[error("{values} values of {dtype} take {expected} bytes, got {got}")]
    Size {
        /// Stored type.
        dtype: DType,
        /// Number of values given.
        values: usize,
        /// Bytes that so many values take.
        expected: usize,
        /// Bytes given.
        got: usize,
    },
    /// A value is NaN, infinite, or beyond what the type stores.
    #[error("value {value} at index {index} cannot be stored as {dtype} (finite, magnitude at most {limit})")]
    Value {
        /// Stored type.
        dtype: DType,
        /// Index into the values given.
        index: usize,
        /// The value itself.
        value: f32,
        /// Largest magnitude that the type takes.
        limit: f32,
    },
    /// There is no encoder for this type.
    #[error("cannot quantize to {dtype}")]
    NoEncoder {
        /// Stored type.
        dtype: DType,
    },
}

/// One block of a stored format, as its bytes lie in the file. Alignment is 1.
pub trait Block: Pod {
    /// The stored type.
    const DTYPE: DType;
    /// `[f32; N]`, the values of one block.
    type Values: Pod;

    /// Writes the values of this block.
    fn decode<S: Lanes>(&self, s: S, out: &mut Self::Values);

    /// Writes the values of a run of blocks.
    #[inline(always)]
    fn decode_all<S: Lanes>(blocks: &[Self], s: S, out: &mut [Self::Values]) {
        for (block, out) in blocks.iter().zip(out) {
            block.decode(s, out);
        }
    }
}

/// A format that values can be encoded to.
trait Encode: Block {
    /// Largest magnitude that is stored without overflow.
    const LIMIT: f32;

    /// The block nearest to `values`, which are finite and within the limit.
    fn encode(values: &Self::Values) -> Self;
}

/// Decodes a row: whole blocks in, their values out. Sizes are the caller's duty.
pub type RowDecoder = fn(&[u8], &mut [f32]);

/// Decodes whole blocks of `dtype`; equal to `gguf.quants.dequantize` bit for bit.
///
/// Integers become the nearest f32. Fails where `out` is not whole blocks or `bytes` is not exactly their size.
pub fn dequantize(dtype: DType, bytes: &[u8], out: &mut [f32]) -> Result<(), QuantError> {
    check_size(dtype, out.len(), bytes.len())?;
    row_decoder(dtype)(bytes, out);
    Ok(())
}

/// Encodes `values` into whole blocks of `dtype`; `out` is exactly their size.
///
/// F16, BF16, Q8_0, Q4_0, Q4_1, Q5_0, Q5_1 and MXFP4 equal `gguf.quants.quantize` bit for bit (but for the sign of a zero
/// minimum where a block has zeros of both signs); the other types search for the smallest weighted squared error. NaN, infinities and values too large for the type are errors.
pub fn quantize(dtype: DType, values: &[f32], out: &mut [u8]) -> Result<(), QuantError> {
    check_size(dtype, values.len(), out.len())?;
    match dtype {
        DType::F32 => encode::<F32>(values, out),
        DType::F16 => encode::<F16>(values, out),
        DType::BF16 => encode::<Bf16>(values, out),
        DType::Q8_0 => encode::<BlockQ8_0>(values, out),
        DType::Q4_0 => encode::<BlockQ4_0>(values, out),
        DType::Q4_1 => encode::<BlockQ4_1>(values, out),
        DType::Q5_0 => encode::<BlockQ5_0>(values, out),
        DType::Q5_1 => encode::<BlockQ5_1>(values, out),
        DType::MXFP4 => encode::<BlockMxfp4>(values, out),
        DType::Q2_K => encode::<BlockQ2K>(values, out),
        DType::Q3_K => encode::<BlockQ3K>(values, out),
        DType::Q4_K => encode::<BlockQ4K>(values, out),
        DType::Q5_K => encode::<BlockQ5K>(values, out),
        DType::Q6_K => encode::<BlockQ6K>(values, out),
        DType::IQ4_NL => encode::<BlockIq4Nl>(values, out),
        DType::I32 => Err(QuantError::NoEncoder { dtype }),
    }
}

/// True where [`quantize`] has an encoder for `dtype`.
pub fn can_quantize(dtype: DType) -> bool {
    quantize(dtype, &[], &mut []).is_ok()
}

/// The fastest row decoder for `dtype` on this machine, for loops: choose once, call often.
///
/// The decoder expects whole blocks and `out` of exactly their values; what does not fit is left undecoded.
pub fn row_decoder(dtype: DType) -> RowDecoder {
    match dtype {
        DType::F32 => pick::<F32>(),
        DType::F16 => pick::<F16>(),
        DType::BF16 => pick::<Bf16>(),
        DType::Q8_0 => pick::<BlockQ8_0>(),
        DType::Q4_0 => pick::<BlockQ4_0>(),
        DType::Q4_1 => pick::<BlockQ4_1>(),
        DType::Q5_0 => pick::<BlockQ5_0>(),
        DType::Q5_1 => pick::<BlockQ5_1>(),
        DType::Q2_K => pick::<BlockQ2K>(),
        DType::Q3_K => pick::<BlockQ3K>(),
        DType::Q4_K => pick::<BlockQ4K>(),
        DType::Q5_K => pick::<BlockQ5K>(),
        DType::Q6_K => pick::<BlockQ6K>(),
        DType::IQ4_NL => pick::<BlockIq4Nl>(),
        DType::MXFP4 => pick::<BlockMxfp4>(),
        DType::I32 => pick::<I32>(),
    }
}

#[inline(always)]
fn decode_row<B: Block, S: Lanes>(s: S, bytes: &[u8], out: &mut [f32]) {
    let (blocks, values) = (whole::<B>(bytes.len()), whole::<B::Values>(size_of_val(out)));
    debug_assert!(blocks * size_of::<B>() == bytes.len() && blocks == values, "{} row is not whole", B::DTYPE);
    let n = size_of::<B::Values>() / size_of::<f32>();
    let blocks: &[B] = bytemuck::cast_slice(&bytes[..blocks * size_of::<B>()]);
    B::decode_all(blocks, s, bytemuck::cast_slice_mut(&mut out[..values * n]));
}

fn decode_portable<B: Block>(bytes: &[u8], out: &mut [f32]) {
    decode_row::<B, Portable>(Portable, bytes, out);
}

/// Whole items of `T` in `bytes` bytes.
#[inline(always)]
fn whole<T>(bytes: usize) -> usize {
    bytes / size_of::<T>()
}

fn check_size(dtype: DType, values: usize, got: usize) -> Result<(), QuantError> {
    let expected = dtype.bytes(values).ok_or(QuantError::Partial { dtype, values })?;
    if expected != got {
        return Err(QuantError::Size { dtype, values, expected, got });
    }
    Ok(())
}

#[inline(always)]
fn encode_row<B: Encode>(values: &[f32], out: &mut [u8]) -> Result<(), QuantError> {
    let refused = |v: &f32| v.is_nan() || v.abs() > B::LIMIT;
    if values.iter().fold(false, |any, v| any | refused(v))
        && let Some((index, &value)) = values.iter().enumerate().find(|(_, v)| refused(v))
    {
        return Err(QuantError::Value { dtype: B::DTYPE, index, value, limit: B::LIMIT });
    }
    let values: &[B::Values] = bytemuck::cast_slice(values);
    let blocks: &mut [B] = bytemuck::cast_slice_mut(out);
    for (block, values) in blocks.iter_mut().zip(values) {
        *block = B::encode(values);
    }
    Ok(())
}

#[cfg(not(target_arch = "x86_64"))]
fn pick<B: Block>() -> RowDecoder {
    decode_portable::<B>
}

#[cfg(not(target_arch = "x86_64"))]
fn encode<B: Encode>(values: &[f32], out: &mut [u8]) -> Result<(), QuantError> {
    encode_row::<B>(values, out)
}

#[cfg(target_arch = "x86_64")]
use x86::{encode, pick};

/// The same loops, compiled for AVX2.
#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::lanes::Avx2;
    use super::{Block, Encode, QuantError, RowDecoder, decode_portable, decode_row, encode_row};

    pub(super) fn pick<B: Block>() -> RowDecoder {
        match Avx2::detect() {
            // SAFETY: this pointer exists only where AVX2 and F16C were detected.
            Some(_) => |bytes, out| unsafe { decode_avx2::<B>(Avx2::detected_before(), bytes, out) },
            None => decode_portable::<B>,
        }
    }

    pub(super) fn encode<B: Encode>(values: &[f32], out: &mut [u8]) -> Result<(), QuantError> {
        match Avx2::detect() {
            // SAFETY: AVX2 and F16C were detected.
            Some(_) => unsafe { encode_avx2::<B>(values, out) },
            None => encode_row::<B>(values, out),
        }
    }

    #[target_feature(enable = "avx2,f16c")]
    fn decode_avx2<B: Block>(s: Avx2, bytes: &[u8], out: &mut [f32]) {
        decode_row::<B, Avx2>(s, bytes, out);
    }

    #[target_feature(enable = "avx2,f16c")]
    fn encode_avx2<B: Encode>(values: &[f32], out: &mut [u8]) -> Result<(), QuantError> {
        encode_row::<B>(values, out)
    }
}
