//! What a model is: its family, sizes, rotary embedding and end tokens.
//!
//! This is the only module that knows the names of metadata keys, GGUF's and Hugging Face's alike.

mod check;
mod gguf;
mod hf;
mod rope;
mod tokenizer;
mod vocabulary;

use crate::Error;
pub use check::Need;
pub(crate) use gguf::{Keys, Split, is_type_key, write_type};
pub use rope::{Pairing, Rope, RopeScaling};
pub(crate) use tokenizer::{chat_template, vocabulary};
pub(crate) use vocabulary::{Vocabulary, token};

/// Model families. A file of another family is refused by [`Error::UnknownArch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum Arch {
    Llama,
    Qwen2,
    Qwen3,
}

impl Arch {
    /// Every known family.
    pub const ALL: [Arch; 3] = [Arch::Llama, Arch::Qwen2, Arch::Qwen3];

    /// Name in GGUF's `general.architecture`, which is also the prefix of the family's keys.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Llama => "llama",
            Arch::Qwen2 => "qwen2",
            Arch::Qwen3 => "qwen3",
        }
    }

    fn unknown(found: &str, known: &[&str]) -> Error {
        Error::UnknownArch { found: found.to_owned(), known: known.join(", ") }
    }
}

/// Everything about a model but its weights and its tokenizer. Sizes are in elements.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Family.
    pub arch: Arch,
    /// Name for people; may be empty.
    pub name: String,
    /// Number of transformer blocks.
    pub n_layers: usize,
    /// Width of the residual stream.
    pub d_model: usize,
    /// Width of the feed-forward layer.
    pub d_ff: usize,
    /// Query heads.
    pub n_heads: usize,
    /// Key and value heads; divides `n_heads`.
    pub n_kv_heads: usize,
    /// Width of one head; even.
    pub head_dim: usize,
    /// Rows of the embedding, which is at least the number of tokens.
    pub vocab: usize,
    /// Positions that the model was trained for.
    pub context_length: usize,
    /// Epsilon of every RMS norm.
    pub rms_eps: f32,
    /// Rotary position embedding.
    pub rope: Rope,
    /// Attention sees this many positions back, where the model limits it.
    pub sliding_window: Option<usize>,
    /// True where the embedding is also the output matrix (no `output.weight`).
    pub tied: bool,
    /// Token that starts a text.
    pub bos: Option<u32>,
    /// Every token that ends a generation, without repetition.
    pub eos: Vec<u32>,
    /// Whether the tokenizer puts `bos` before a text; `None` where the file does not say.
    pub add_bos: Option<bool>,
    /// Sampling settings that the file recommends.
    pub sampling: SamplingDefaults,
}

/// Sampling settings recommended by a model's author (`generation_config.json`); `None` where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SamplingDefaults {
    /// Divides the logits.
    pub temperature: Option<f32>,
    /// Candidates kept.
    pub top_k: Option<u32>,
    /// Probability mass kept.
    pub top_p: Option<f32>,
    /// Penalty of tokens already there; 1 is none.
    pub repetition_penalty: Option<f32>,
}

impl Config {
    /// Checks what must hold between the fields of any family. `key` maps a field to the name that the file uses for it.
    fn consistent(self, key: impl Fn(&str) -> String) -> Result<Config, Error> {
        // Limits far above any model keep products of two sizes, and what is allocated by a size alone, small.
        let sizes = [
            ("n_layers", self.n_layers, 1 << 13),
            ("d_model", self.d_model, 1 << 20),
            ("d_ff", self.d_ff, 1 << 24),
            ("n_heads", self.n_heads, 1 << 13),
            ("n_kv_heads", self.n_kv_heads, 1 << 13),
            ("head_dim", self.head_dim, 1 << 13),
            ("vocab", self.vocab, 1 << 26),
            ("context_length", self.context_length, 1 << 28),
        ];
        for (field, n, most) in sizes {
            if n == 0 || n > most {
                return Err(Error::key(&key(field), format_args!("1 to {most}"), n));
            }
        }
        if !self.n_heads.is_multiple_of(self.n_kv_heads) {
            let expected = format!("a divisor of the {} query heads", self.n_heads);
            return Err(Error::key(&key("n_kv_heads"), expected, self.n_kv_heads));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(Error::key(&key("head_dim"), "an even head width", self.head_dim));
        }
        if !(self.rms_eps >= 0.0 && self.rms_eps < 1.0) {
            return Err(Error::key(&key("rms_eps"), "a number from 0 to below 1", self.rms_eps));
        }
        if self.sliding_window == Some(0) {
            return Err(Error::key(&key("sliding_window"), "1 or more", 0));
        }
        self.rope.check(self.head_dim, &key)?;
        for id in self.bos.iter().chain(&self.eos) {
            if *id as usize >= self.vocab {
                return Err(Error::key(&key("eos"), format_args!("token ids below {}", self.vocab), id));
            }
        }
        Ok(self)
    }
}
