//! Model files: reading, checking, writing and converting them; tokenizers, chat templates and model families.

pub mod arch;
pub mod chat;
pub mod config;
mod convert;
mod encode;
mod error;
mod file;
pub mod gguf;
pub mod gguf_write;
mod map;
mod progress;
mod safetensors;
mod synth;
pub mod tokenizer;

pub use config::{Arch, Config};
pub use convert::{Summary, convert, convert_bytes, quantize};
pub use error::Error;
pub use file::{Format, ModelFile, Tensor, TensorInfo};
pub use progress::Progress;
pub use synth::{Synth, shape_names, synth, synth_bytes};
pub use tokenizer::TokenizerSource;
