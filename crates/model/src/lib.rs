//! Model files: reading, checking, writing and converting them; tokenizers, chat templates and model families.

pub mod config;
mod error;
mod file;
pub mod gguf;
mod map;
mod safetensors;
pub mod tokenizer;

pub use config::{Arch, Config};
pub use error::Error;
pub use file::{Format, ModelFile, Tensor, TensorInfo};
pub use tokenizer::TokenizerSource;
