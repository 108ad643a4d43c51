//! The KV cache as kernels see it: pages of positions, one head's positions contiguous.
//!
//! A pool holds pages; page p, head h, slot s, element d lies at element ((p * kv_heads + h) * page + s) * head_dim + d.
//! Keys and values have a pool each. A page table maps a sequence's position to its page.

use half::f16;

use crate::DType;

/// Positions in one page.
pub const PAGE: usize = 64;

/// Types a KV cache may have.
pub const DTYPES: [DType; 3] = [DType::F32, DType::F16, DType::Q8_0];

/// Bytes of one position of one head.
pub fn row_bytes(dtype: DType, head_dim: usize) -> Option<usize> {
    DTYPES.contains(&dtype).then(|| dtype.bytes(head_dim)).flatten()
}

/// Stores one head's vector at `to`.
///
/// # Safety
/// `to` has room for `row_bytes(dtype, from.len())` bytes.
#[inline(always)]
pub unsafe fn store(dtype: DType, from: &[f32], to: *mut u8) {
    // SAFETY: the caller's promise; stores are unaligned.
    unsafe {
        match dtype {
            DType::F32 => std::ptr::copy_nonoverlapping(from.as_ptr().cast::<u8>(), to, from.len() * 4),
            DType::F16 => {
                for (i, &v) in from.iter().enumerate() {
                    to.cast::<u16>().add(i).write_unaligned(f16::from_f32(v).to_bits());
                }
            }
            _ => {
                for (b, block) in from.chunks_exact(32).enumerate() {
                    let max = block.iter().fold(0.0f32, |m, v| m.max(v.abs()));
                    let scale = max / 127.0;
                    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
                    let at = to.add(b * 34);
                    at.cast::<u16>().write_unaligned(f16::from_f32(scale).to_bits());
                    for (i, v) in block.iter().enumerate() {
                        *at.add(2 + i) = (v * inverse).round() as i8 as u8;
                    }
                }
            }
        }
    }
}

/// Loads one head's vector.
///
/// # Safety
/// `from` points to `row_bytes(dtype, to.len())` bytes.
#[inline(always)]
pub unsafe fn load(dtype: DType, from: *const u8, to: &mut [f32]) {
    // SAFETY: the caller's promise; loads are unaligned.
    unsafe {
        match dtype {
            DType::F32 => std::ptr::copy_nonoverlapping(from, to.as_mut_ptr().cast::<u8>(), to.len() * 4),
            DType::F16 => {
                for (i, v) in to.iter_mut().enumerate() {
                    *v = f16::from_bits(from.cast::<u16>().add(i).read_unaligned()).to_f32();
                }
            }
            _ => {
                for (b, block) in to.chunks_exact_mut(32).enumerate() {
                    let at = from.add(b * 34);
                    let scale = f16::from_bits(at.cast::<u16>().read_unaligned()).to_f32();
                    for (i, v) in block.iter_mut().enumerate() {
                        *v = f32::from(*at.add(2 + i) as i8) * scale;
                    }
                }
            }
        }
    }
}
