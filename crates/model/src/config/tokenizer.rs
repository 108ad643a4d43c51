//! Where a model's tokenizer comes from.

use super::gguf::Keys;
use crate::Error;
use crate::gguf::{Array, Kind};

pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const BOS: &str = "tokenizer.ggml.bos_token_id";
pub(super) const EOS: &str = "tokenizer.ggml.eos_token_id";
pub(super) const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
const EOT: &str = "tokenizer.ggml.eot_token_id";
const EOM: &str = "tokenizer.ggml.eom_token_id";
const UNK: &str = "tokenizer.ggml.unknown_token_id";
const PAD: &str = "tokenizer.ggml.padding_token_id";
const MODEL: &str = "tokenizer.ggml.model";
const PRE: &str = "tokenizer.ggml.pre";
const SCORES: &str = "tokenizer.ggml.scores";
const TYPES: &str = "tokenizer.ggml.token_type";
const MERGES: &str = "tokenizer.ggml.merges";
const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";
const ADD_SPACE_PREFIX: &str = "tokenizer.ggml.add_space_prefix";
const CHAT_TEMPLATE: &str = "tokenizer.chat_template";

/// The data a tokenizer is built from.
#[derive(Clone, Copy, Debug)]
pub enum TokenizerSource<'a> {
    /// Arrays of a GGUF file.
    Gguf(GgufTokenizer<'a>),
    /// Files of a Hugging Face model.
    HfJson(HfTokenizer<'a>),
    /// The model has none.
    None,
}

/// A GGUF file's tokenizer. Array lengths and token ids are checked against each other; token texts are not.
#[derive(Clone, Copy, Debug)]
pub struct GgufTokenizer<'a> {
    /// Kind: `gpt2` is byte-level BPE, `llama` is SentencePiece.
    pub model: &'a str,
    /// Pre-tokenizer, e.g. `qwen2`, `llama-bpe`.
    pub pre: Option<&'a str>,
    /// Text of every token, in the order of ids. Iterate with [`Array::strings`].
    pub tokens: Array<'a>,
    /// f32 per token, where there.
    pub scores: Option<Array<'a>>,
    /// i32 per token, where there: 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte.
    pub types: Option<Array<'a>>,
    /// Merges in the order of rank, each two tokens with a space between.
    pub merges: Option<Array<'a>>,
    /// Start of text.
    pub bos: Option<u32>,
    /// End of text.
    pub eos: Option<u32>,
    /// End of turn.
    pub eot: Option<u32>,
    /// Unknown token.
    pub unk: Option<u32>,
    /// Padding.
    pub pad: Option<u32>,
    /// Whether to put `bos` first.
    pub add_bos: Option<bool>,
    /// Whether to put `eos` last.
    pub add_eos: Option<bool>,
    /// Whether SentencePiece puts a space before a text.
    pub add_space_prefix: Option<bool>,
}

/// A Hugging Face model's tokenizer, as the bytes of its files.
#[derive(Clone, Copy, Debug)]
pub struct HfTokenizer<'a> {
    /// `tokenizer.json`.
    pub tokenizer: &'a [u8],
    /// `tokenizer_config.json`, where there.
    pub config: Option<&'a [u8]>,
}

pub(super) fn token_count(keys: Keys) -> Result<Option<usize>, Error> {
    Ok(array(keys, TOKENS, Kind::Str, None)?.map(|a| a.len()))
}

/// Texts of control tokens that end a turn. Files often name only one end token by key.
const END_TEXTS: [&[u8]; 5] = [b"<|im_end|>", b"<|eot_id|>", b"<|eom_id|>", b"<|end_of_text|>", b"<|endoftext|>"];
const CONTROL: i32 = 3;

pub(super) fn end_tokens(keys: Keys) -> Result<Vec<u32>, Error> {
    let mut all = Vec::new();
    for key in [EOS, EOT, EOM] {
        all.extend(token_id(keys, key)?.filter(|id| !all.contains(id)));
    }
    let (tokens, types) = (array(keys, TOKENS, Kind::Str, None)?, array(keys, TYPES, Kind::I32, None)?);
    let (Some(tokens), Some(types)) = (tokens, types) else { return Ok(all) };
    for (id, (text, kind)) in (0u32..).zip(tokens.strings().zip(types.i32s())) {
        if kind == CONTROL && END_TEXTS.contains(&text) && !all.contains(&id) {
            all.push(id);
        }
    }
    Ok(all)
}

/// The token id under `key`. Converters write 2^32 - 1 (that is -1) for "none".
pub(super) fn token_id(keys: Keys, key: &str) -> Result<Option<u32>, Error> {
    Ok(keys.u32(key)?.filter(|id| *id != u32::MAX))
}

pub(crate) fn chat_template(keys: Keys<'_>) -> Result<Option<&str>, Error> {
    keys.str(CHAT_TEMPLATE)
}

/// Reads the tokenizer of a GGUF file.
pub(crate) fn source(keys: Keys<'_>) -> Result<TokenizerSource<'_>, Error> {
    let Some(tokens) = array(keys, TOKENS, Kind::Str, None)? else { return Ok(TokenizerSource::None) };
    let n = tokens.len();
    let id = |key: &str| match token_id(keys, key)? {
        Some(id) if (id as usize) >= n => Err(Error::key(key, format_args!("a token id below {n}"), id)),
        id => Ok(id),
    };
    let model = keys.str(MODEL)?;
    Ok(TokenizerSource::Gguf(GgufTokenizer {
        model: model.ok_or_else(|| Error::key(MODEL, "the kind of the tokenizer", "nothing: the key is missing"))?,
        pre: keys.str(PRE)?,
        tokens,
        scores: array(keys, SCORES, Kind::F32, Some(n))?,
        types: array(keys, TYPES, Kind::I32, Some(n))?,
        merges: array(keys, MERGES, Kind::Str, None)?,
        bos: id(BOS)?,
        eos: id(EOS)?,
        eot: id(EOT)?,
        unk: id(UNK)?,
        pad: id(PAD)?,
        add_bos: keys.bool(ADD_BOS)?,
        add_eos: keys.bool(ADD_EOS)?,
        add_space_prefix: keys.bool(ADD_SPACE_PREFIX)?,
    }))
}

fn array<'a>(keys: Keys<'a>, key: &str, kind: Kind, len: Option<usize>) -> Result<Option<Array<'a>>, Error> {
    let Some(v) = keys.get(key) else { return Ok(None) };
    let Some(a) = v.as_array().filter(|a| a.kind() == kind || (kind == Kind::I32 && a.kind() == Kind::U32)) else {
        return Err(Error::key(key, format_args!("an array of {kind}"), format_args!("{} {v}", v.kind())));
    };
    match len {
        Some(n) if n != a.len() => Err(Error::key(key, format_args!("{n} items, one per token"), a.len())),
        _ => Ok(Some(a)),
    }
}
