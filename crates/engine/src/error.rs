//! What can go wrong in an engine.

use metallic_model::arch::LoadError;

use crate::SeqId;
use crate::sampler::SampleError;

/// Why an engine refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file, or the load was cancelled.
    #[error(transparent)]
    Model(#[from] metallic_model::Error),
    /// A kernel, a forced variant, shapes.
    #[error(transparent)]
    Ops(#[from] metallic_ops::Error),
    /// The device: no memory, no threads.
    #[error(transparent)]
    Device(#[from] metallic_device::Error),
    /// An option out of range.
    #[error("{name} is {got}, expected {expected}")]
    Option {
        /// Which.
        name: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        got: usize,
    },
    /// A KV type that does not exist.
    #[error("unknown KV cache type {got:?}; known: auto, f32, f16, q8_0")]
    KvName {
        /// As given.
        got: String,
    },
    /// The KV type cannot store heads of this size.
    #[error("a q8_0 KV cache needs heads of a multiple of 32 elements; this model's have {head_dim}")]
    KvHead {
        /// Elements of a head.
        head_dim: usize,
    },
    /// More context than the model was trained for.
    #[error("a context of {asked} positions is more than the {trained} that the model was trained for")]
    Context {
        /// Asked for.
        asked: usize,
        /// What the model says.
        trained: usize,
    },
    /// A request without tokens.
    #[error("the prompt is empty; at least one token is needed (the model's bos token, for example)")]
    EmptyPrompt,
    /// A prompt that does not fit.
    #[error("the prompt has {tokens} tokens, but the context holds {context}")]
    PromptTooLong {
        /// Tokens of the prompt.
        tokens: usize,
        /// Positions of the context.
        context: usize,
    },
    /// A token id outside of the vocabulary.
    #[error("{what} {id} is outside of the vocabulary of {vocab} tokens")]
    TokenId {
        /// Where it was given: `token`, `stop token`, `logit bias for token`.
        what: &'static str,
        /// The id.
        id: u32,
        /// Size of the vocabulary.
        vocab: usize,
    },
    /// A sampling setting out of range.
    #[error("{name} is {got}, expected {expected}")]
    Sampling {
        /// Which.
        name: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        got: f32,
    },
    /// A model that computed NaN or infinity; the sequence was ended.
    #[error("sequence {seq}: the model gave the logit {value} for token {token}; its weights or kernels are broken")]
    Logits {
        /// Sequence concerned.
        seq: SeqId,
        /// Token whose logit it is.
        token: u32,
        /// The logit.
        value: f32,
    },
    /// Logit biases that forbid every token.
    #[error("sequence {seq}: the logit biases forbid every token")]
    NothingLeft {
        /// Sequence concerned.
        seq: SeqId,
    },
    /// Every page of the cache is in use; more sequences or context than it was made for.
    #[error("all {pages} pages of the KV cache are in use")]
    CacheFull {
        /// Pages there are.
        pages: usize,
    },
    /// All sequences that can run at a time are running.
    #[error("all {0} sequences are in use")]
    Busy(usize),
}

impl From<LoadError> for Error {
    fn from(e: LoadError) -> Error {
        match e {
            LoadError::Model(e) => Error::Model(e),
            LoadError::Ops(e) => Error::Ops(e),
        }
    }
}

impl Error {
    pub(crate) fn sampling(e: SampleError, seq: SeqId) -> Error {
        match e {
            SampleError::NotFinite { token, value } => Error::Logits { seq, token, value },
            SampleError::NothingLeft => Error::NothingLeft { seq },
        }
    }

    /// True where somebody asked to stop, and nothing is wrong.
    pub fn is_cancelled(&self) -> bool {
        matches!(self, Error::Model(metallic_model::Error::Cancelled))
    }
}
