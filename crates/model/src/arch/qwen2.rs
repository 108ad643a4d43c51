//! Qwen2 and Qwen2.5: Llama's blocks, with biases on queries, keys and values (Yang et al. 2024). A file that has biases gets
//! them added ([`super::Weights::linear`]), so that nothing else differs.

pub use super::llama::Llama as Qwen2;
