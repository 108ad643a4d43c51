//! Text to token ids and back.
//!
//! Byte-level BPE (GPT-2, Qwen2, Llama 3, SmolLM) and SentencePiece BPE (Llama 2, Mistral), from a GGUF file or a
//! `tokenizer.json`. Token texts lie in one arena and merges in one table of id pairs, so that a vocabulary of
//! 150,000 tokens is ready in a tenth of a second and takes about 10 MB.

mod alphabet;
mod bpe;
mod decode;
mod error;
mod gguf;
mod hf;
mod merge;
mod open;
mod source;
mod special;
mod split;
mod vocab;

pub use decode::StreamDecoder;
pub use error::TokenizerError;
pub use source::{GgufVocab, HfFiles, TokenizerSource};
pub use special::Special;

use bpe::{Model, Place, Prefix};
use merge::Run;
use special::{Part, Specials};
use vocab::{Kind, Vocab};

/// A model's tokenizer.
pub struct Tokenizer {
    vocab: Vocab,
    specials: Specials,
    model: Model,
    roles: Roles,
}

/// The ids that have a meaning of their own.
#[derive(Debug, Clone, Default)]
struct Roles {
    bos: Option<u32>,
    eos: Option<u32>,
    /// Sorted; `eos` is one of them.
    ends: Vec<u32>,
    /// What [`Tokenizer::encode_prompt`] puts around a text.
    before: Vec<u32>,
    after: Vec<u32>,
}

/// Names of tokens that end a turn or a text in published vocabularies, whether or not the file says so.
const END_NAMES: &[&str] =
    &["<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>"];

impl Tokenizer {
    /// Builds a tokenizer from a model's files.
    ///
    /// # Errors
    /// If the vocabulary is malformed, or of a kind that is not supported; the error names which and what is known.
    pub fn new(source: &TokenizerSource<'_>) -> Result<Tokenizer, TokenizerError> {
        match source {
            TokenizerSource::Gguf(vocab) => gguf::build(vocab),
            TokenizerSource::HfJson(files) => hf::build(files),
        }
    }

    fn assemble(vocab: Vocab, specials: Specials, model: Model, mut roles: Roles) -> Result<Tokenizer, TokenizerError> {
        let size = vocab.len();
        for (what, id) in [("the bos token", roles.bos), ("the eos token", roles.eos)] {
            if let Some(id) = id.filter(|&id| id as usize >= size) {
                return Err(TokenizerError::Id { what, id: id.into(), size });
            }
        }
        roles.ends.extend(roles.eos);
        roles.ends.extend(END_NAMES.iter().filter_map(|name| specials.find(name)));
        roles.ends.sort_unstable();
        roles.ends.dedup();
        Ok(Tokenizer { vocab, specials, model, roles })
    }

    /// The ids of `text`, nothing added.
    pub fn encode(&self, text: &str, special: Special) -> Vec<u32> {
        let mut out = Vec::with_capacity(text.len() / 3);
        self.encode_into(text, special, &mut out);
        out
    }

    /// The ids of `text` as the model wants a prompt to be: with the bos token before it, unless it starts with one,
    /// and the eos token after it, each if the model's files ask for it.
    pub fn encode_prompt(&self, text: &str, special: Special) -> Vec<u32> {
        let before = &self.roles.before;
        let mut out = before.clone();
        self.encode_into(text, special, &mut out);
        if !before.is_empty() && out[before.len()..].starts_with(before) {
            out.drain(..before.len());
        }
        out.extend_from_slice(&self.roles.after);
        out
    }

    /// Appends the ids of `text` to `out`.
    pub fn encode_into(&self, text: &str, special: Special, out: &mut Vec<u32>) {
        let mut run = Run::default();
        let mut place = Place::Start;
        self.specials.split(text, special, |part| {
            match part {
                Part::Token(id) => out.push(id),
                Part::Text(text) => self.model.encode(&self.vocab, text, place, &mut run, out),
            }
            place = Place::AfterToken;
        });
    }

    /// The text of `ids`. Bytes that are not UTF-8 become U+FFFD; control tokens and ids outside the vocabulary give
    /// nothing; a SentencePiece model's leading space is dropped.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut bytes: Vec<u8> = ids.iter().flat_map(|&id| self.shown_bytes(id)).copied().collect();
        if self.leads_with_space() && bytes.first() == Some(&b' ') {
            bytes.remove(0);
        }
        String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
    }

    /// A decoder for ids that arrive one by one.
    pub fn decoder(&self) -> StreamDecoder<&Tokenizer> {
        StreamDecoder::new(self)
    }

    /// The bytes of a token, control tokens by their name; `None` outside the vocabulary. They need not be UTF-8.
    pub fn token_bytes(&self, id: u32) -> Option<&[u8]> {
        self.vocab.bytes(id)
    }

    /// The id of the token with this text: a special token's name (`<|im_end|>`), or plain text (` the`, with the
    /// space as a space).
    pub fn id(&self, token: &str) -> Option<u32> {
        self.specials.find(token).or_else(|| self.vocab.find(token.as_bytes()))
    }

    /// One more than the largest id. The model's output may be wider, by padding.
    pub fn vocab_size(&self) -> usize {
        self.vocab.len()
    }

    /// The token that starts a text.
    pub fn bos(&self) -> Option<u32> {
        self.roles.bos
    }

    /// The token that ends a text.
    pub fn eos(&self) -> Option<u32> {
        self.roles.eos
    }

    /// Whether a generation ends at `id`: the eos token, the end of a turn, and what else the files name.
    pub fn is_end(&self, id: u32) -> bool {
        self.roles.ends.binary_search(&id).is_ok()
    }

    /// Every id at which a generation ends, in rising order.
    pub fn ends(&self) -> &[u32] {
        &self.roles.ends
    }

    /// Whether `id` steers the model and is no text.
    pub fn is_special(&self, id: u32) -> bool {
        matches!(self.vocab.kind(id), Some(Kind::Control | Kind::Unknown))
    }

    /// Whether this is SentencePiece BPE, as Llama 2 has it.
    pub fn is_sentencepiece(&self) -> bool {
        matches!(self.model, Model::Pieces(_))
    }

    fn shown_bytes(&self, id: u32) -> &[u8] {
        match self.vocab.kind(id) {
            Some(Kind::Normal | Kind::User | Kind::Byte) => self.vocab.bytes(id).unwrap_or_default(),
            _ => &[],
        }
    }

    fn leads_with_space(&self) -> bool {
        matches!(&self.model, Model::Pieces(pieces) if pieces.prefix != Prefix::Never)
    }
}

impl std::fmt::Debug for Tokenizer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokenizer").field("vocab_size", &self.vocab_size()).field("roles", &self.roles).finish()
    }
}
