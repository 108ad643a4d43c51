//! Every kernel of Metallic and the contract it lives under.
//!
//! One folder per op: what is computed, its oracle in plain Rust with f64 sums, its cases, its tolerance, and the one
//! list of its variants (`variants.json`). This crate allocates nothing on a device and starts no thread.

pub mod dtype;
pub mod quant;

pub use dtype::DType;
