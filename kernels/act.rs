//! Activations of any float type, one element at a time: what the plain variants and the oracles use.

use half::{bf16, f16};

use crate::DType;
use crate::cases::Rng;
use crate::contract::{Operand, Role};

/// Bytes of an element.
pub fn bytes(dtype: DType) -> usize {
    dtype.block_bytes()
}

/// Element `i` of an array of `dtype`; NaN for a type that is no float.
///
/// # Safety
/// `from` points to more than `i` elements.
pub unsafe fn load(dtype: DType, from: *const u8, i: usize) -> f32 {
    // SAFETY: the caller's promise; loads are unaligned.
    unsafe {
        match dtype {
            DType::F32 => from.cast::<f32>().add(i).read_unaligned(),
            DType::F16 => f16::from_bits(from.cast::<u16>().add(i).read_unaligned()).to_f32(),
            DType::BF16 => bf16::from_bits(from.cast::<u16>().add(i).read_unaligned()).to_f32(),
            _ => f32::NAN,
        }
    }
}

/// Rounds `value` to `dtype` and writes it as element `i`; nothing for a type that is no float.
///
/// # Safety
/// `to` has room for more than `i` elements.
pub unsafe fn store(dtype: DType, to: *mut u8, i: usize, value: f32) {
    // SAFETY: the caller's promise; stores are unaligned.
    unsafe {
        match dtype {
            DType::F32 => to.cast::<f32>().add(i).write_unaligned(value),
            DType::F16 => to.cast::<u16>().add(i).write_unaligned(f16::from_f32(value).to_bits()),
            DType::BF16 => to.cast::<u16>().add(i).write_unaligned(bf16::from_f32(value).to_bits()),
            _ => {}
        }
    }
}

/// Rounds every value to `dtype`, in place, and gives the operand that holds them.
pub fn operand(role: Role, dtype: DType, values: &mut [f32]) -> Operand {
    let mut out = vec![0u8; values.len() * bytes(dtype)];
    for (i, v) in values.iter_mut().enumerate() {
        // SAFETY: `out` has an element for every value.
        unsafe {
            store(dtype, out.as_mut_ptr(), i, *v);
            *v = load(dtype, out.as_ptr(), i);
        }
    }
    Operand { role, bytes: out, dtype }
}

/// An output of `count` elements.
pub fn output(dtype: DType, count: usize) -> Operand {
    Operand { role: Role::Output, bytes: vec![0; count * bytes(dtype)], dtype }
}

/// Normal values that `dtype` holds exactly, with the operand.
pub fn normals(rng: &mut Rng, dtype: DType, count: usize, std: f32) -> (Vec<f32>, Operand) {
    let mut values = rng.normals(count, std);
    let operand = operand(Role::Input, dtype, &mut values);
    (values, operand)
}

/// Half a step of `dtype`, relative to the value: what storing a result costs.
pub fn rounding(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 4.9e-4,
        DType::BF16 => 3.91e-3,
        _ => 6e-8,
    }
}
