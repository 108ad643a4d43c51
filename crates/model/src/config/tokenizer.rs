//! The keys of a GGUF file's tokenizer.

use super::gguf::Keys;
use crate::Error;
use crate::gguf::{Array, Kind};
use crate::tokenizer::GgufVocab;

pub(super) const TOKENS: &str = "tokenizer.ggml.tokens";
pub(super) const BOS: &str = "tokenizer.ggml.bos_token_id";
pub(super) const EOS: &str = "tokenizer.ggml.eos_token_id";
pub(super) const ADD_BOS: &str = "tokenizer.ggml.add_bos_token";
pub(super) const EOT: &str = "tokenizer.ggml.eot_token_id";
pub(super) const EOM: &str = "tokenizer.ggml.eom_token_id";
pub(super) const UNK: &str = "tokenizer.ggml.unknown_token_id";
pub(super) const PAD: &str = "tokenizer.ggml.padding_token_id";
pub(super) const MODEL: &str = "tokenizer.ggml.model";
pub(super) const PRE: &str = "tokenizer.ggml.pre";
pub(super) const SCORES: &str = "tokenizer.ggml.scores";
pub(super) const TYPES: &str = "tokenizer.ggml.token_type";
pub(super) const MERGES: &str = "tokenizer.ggml.merges";
pub(super) const ADD_EOS: &str = "tokenizer.ggml.add_eos_token";
pub(super) const ADD_SPACE_PREFIX: &str = "tokenizer.ggml.add_space_prefix";
pub(super) const CHAT_TEMPLATE: &str = "tokenizer.chat_template";

pub(super) fn token_count(keys: Keys) -> Result<Option<usize>, Error> {
    Ok(array(keys, TOKENS, Kind::Str, None)?.map(|a| a.len()))
}

/// Texts of control tokens that end a turn. Files often name only one end token by key.
const END_TEXTS: [&[u8]; 5] = [b"<|im_end|>", b"<|eot_id|>", b"<|eom_id|>", b"<|end_of_text|>", b"<|endoftext|>"];
const CONTROL: i32 = 3;
const MAX_ENDS: usize = 32;

pub(super) fn end_tokens(keys: Keys) -> Result<Vec<u32>, Error> {
    let mut all = Vec::new();
    for key in [EOS, EOT, EOM] {
        all.extend(token_id(keys, key)?.filter(|id| !all.contains(id)));
    }
    let (tokens, types) = (array(keys, TOKENS, Kind::Str, None)?, array(keys, TYPES, Kind::I32, None)?);
    let (Some(tokens), Some(types)) = (tokens, types) else { return Ok(all) };
    for (id, (text, kind)) in (0u32..).zip(tokens.strings().zip(types.i32s())) {
        if all.len() == MAX_ENDS {
            break;
        }
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

/// Reads the tokenizer of a GGUF file. The lengths of the arrays and the token ids are checked, the texts are not.
pub(crate) fn vocabulary(keys: Keys<'_>) -> Result<Option<GgufVocab<'_>>, Error> {
    let model = keys.str(MODEL)?;
    let Some(tokens) = array(keys, TOKENS, Kind::Str, None)? else { return Ok(None) };
    let n = tokens.len();
    let id = |key: &str| match token_id(keys, key)? {
        Some(id) if (id as usize) >= n => Err(Error::key(key, format_args!("a token id below {n}"), id)),
        id => Ok(id),
    };
    let mut ends = Vec::new();
    for key in [EOT, EOM] {
        ends.extend(id(key)?);
    }
    Ok(Some(GgufVocab {
        model: model.ok_or_else(|| Error::key(MODEL, "the kind of the tokenizer", "nothing: the key is missing"))?,
        pre: keys.str(PRE)?,
        tokens: tokens.strings().collect(),
        scores: array(keys, SCORES, Kind::F32, Some(n))?.map(|a| a.f32s().collect()),
        types: array(keys, TYPES, Kind::I32, Some(n))?.map(|a| a.i32s().collect()),
        merges: array(keys, MERGES, Kind::Str, None)?.map(|a| a.strings().collect()).unwrap_or_default(),
        bos: id(BOS)?,
        eos: id(EOS)?,
        unk: id(UNK)?,
        ends,
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
