//! Every kernel of Metallic and the contract it lives under.
//!
//! One folder per op: what is computed, its oracle in plain Rust with f64 sums, its cases, its tolerance, and the one
//! list of its variants (`variants.json`). This crate allocates nothing on a device and starts no thread.

pub mod act;
#[cfg(target_arch = "x86_64")]
mod amx;
pub mod attention;
pub mod cases;
pub mod contract;
pub mod dequantize;
pub mod dtype;
pub mod elementwise;
pub mod embed;
pub mod gather;
pub mod kv;
pub mod library;
pub mod limits;
pub mod math;
pub mod matmul;
pub mod norm;
pub mod quant;
pub mod rope;
pub mod scan;
pub mod softmax;
pub mod swiglu;
pub mod topk;
mod vector;
#[cfg(target_arch = "x86_64")]
mod x86;

pub use contract::Op;
pub use dtype::DType;

/// Every op: the one list. `limits::OP` is not among them, since no model runs it.
pub static OPS: &[&Op] = &[
    &embed::OP,
    &norm::OP,
    &matmul::OP,
    &rope::OP,
    &attention::OP,
    &swiglu::OP,
    &gather::OP,
    &softmax::OP,
    &elementwise::OP,
    &dequantize::OP,
    &topk::OP,
    &scan::OP,
];

/// The op named `name`.
pub fn op(name: &str) -> Option<&'static Op> {
    OPS.iter().copied().find(|o| o.name == name)
}
