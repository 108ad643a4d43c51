//! Text to token ids and back.

mod source;

pub use source::{GgufVocab, HfFiles, TokenizerSource};
