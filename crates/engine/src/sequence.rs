//! A sequence: what was asked for, and how far it is.

use std::collections::HashSet;
use std::fmt;
use std::time::{Duration, Instant};

use crate::sampler::{SampleError, Sampler, Sampling, Scratch};

/// Names a sequence of an engine; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeqId(pub(crate) u64);

impl fmt::Display for SeqId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One text to continue.
#[derive(Clone, Debug)]
pub struct Request {
    /// Token ids; at least one, at most the context.
    pub prompt: Vec<u32>,
    /// How tokens are chosen.
    pub sampling: Sampling,
    /// Tokens to generate at most. With 0 the prompt is computed and nothing generated.
    pub max_tokens: usize,
    /// Tokens that end the text; they are not among its [`Event::Token`]s.
    pub stop_tokens: Vec<u32>,
    /// Whether events carry the logarithm of each token's probability, which costs a pass over the vocabulary.
    pub logprobs: bool,
    /// Whether the cache of an earlier sequence that starts the same may be taken over, and this one's kept for later.
    pub reuse: bool,
}

impl Request {
    /// Greedy, without an end but the context's.
    pub fn new(prompt: Vec<u32>) -> Request {
        Request {
            prompt,
            sampling: Sampling::greedy(),
            max_tokens: usize::MAX,
            stop_tokens: Vec::new(),
            logprobs: false,
            reuse: false,
        }
    }
}

/// Why a sequence ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishReason {
    /// It came to one of its stop tokens.
    Stop,
    /// It has as many tokens as were asked for.
    Length,
    /// The context is full.
    Context,
    /// [`crate::Engine::cancel`], or an error of this sequence.
    Cancelled,
}

/// What a sequence took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Of these, how many were found in the cache.
    pub cached: usize,
    /// Tokens generated, a stop token included.
    pub generated: usize,
    /// From the request to the first token (or to the end of the prompt, where none was wanted).
    pub first_token: Duration,
    /// From the first token to the last.
    pub decode: Duration,
}

/// What happened in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event {
    /// A part of a prompt was computed.
    Prefill {
        /// Sequence.
        seq: SeqId,
        /// Tokens of the prompt computed so far.
        done: usize,
        /// Tokens of the prompt.
        total: usize,
    },
    /// A token was generated.
    Token {
        /// Sequence.
        seq: SeqId,
        /// The token.
        id: u32,
        /// Natural logarithm of the probability that the model gave it, before any sampler; where asked for.
        logprob: Option<f32>,
    },
    /// The sequence ended; its id means nothing from here on.
    Finished {
        /// Sequence.
        seq: SeqId,
        /// Why.
        reason: FinishReason,
        /// What it took.
        usage: Usage,
    },
}

impl Event {
    /// The sequence that it is about.
    pub fn seq(&self) -> SeqId {
        match *self {
            Event::Prefill { seq, .. } | Event::Token { seq, .. } | Event::Finished { seq, .. } => seq,
        }
    }
}

/// A sequence inside of the engine.
pub(crate) struct Sequence {
    pub id: SeqId,
    /// Prompt and generated tokens.
    pub tokens: Vec<u32>,
    pub prompt: usize,
    /// Tokens whose keys and values are in the cache.
    pub computed: usize,
    pub cached: usize,
    pub max_tokens: usize,
    pub stop_tokens: HashSet<u32>,
    pub logprobs: bool,
    pub reuse: bool,
    pub sampler: Sampler,
    /// Pages of the cache, in the order of positions.
    pub pages: Vec<u32>,
    /// Row of the page table, once it runs.
    pub row: usize,
    /// True once an error ended it.
    pub failed: bool,
    pub added: Instant,
    pub first_token: Option<Instant>,
    pub last_token: Instant,
}

impl Sequence {
    pub fn generated(&self) -> usize {
        self.tokens.len() - self.prompt
    }

    /// True once the whole prompt is in the cache and a token was drawn that is not.
    pub fn decodes(&self) -> bool {
        self.computed >= self.prompt
    }

    /// Draws the next token from the logits of the last one.
    pub fn draw(&mut self, logits: &mut [f32], scratch: &mut Scratch) -> Result<(), SampleError> {
        let id = self.sampler.sample(logits, &self.tokens, self.generated() as u64, scratch)?;
        self.last_token = Instant::now();
        self.first_token.get_or_insert(self.last_token);
        self.tokens.push(id);
        Ok(())
    }

    pub fn usage(&self) -> Usage {
        let first = self.first_token.unwrap_or(self.last_token);
        Usage {
            prompt: self.prompt,
            cached: self.cached,
            generated: self.generated(),
            first_token: first - self.added,
            decode: self.last_token - first,
        }
    }
}
