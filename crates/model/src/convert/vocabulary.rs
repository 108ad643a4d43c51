//! `tokenizer.json` in the words of GGUF.

use crate::config::{Vocabulary, token};
use crate::tokenizer::HfFiles;
use crate::{Config, Error};
use serde::Deserialize;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::HashMap;

/// The expression by which Qwen 2 and its successors cut a text.
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
/// The same for Llama 3.
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

#[derive(Deserialize)]
struct File<'a> {
    #[serde(borrow)]
    model: Model<'a>,
    #[serde(default)]
    added_tokens: Vec<Added>,
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    pre_tokenizer: Value,
    #[serde(default)]
    post_processor: Value,
}

#[derive(Deserialize)]
struct Model<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(borrow)]
    vocab: HashMap<Cow<'a, str>, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
    unk_token: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Line(String),
    Pair(String, String),
}

#[derive(Deserialize)]
struct Added {
    id: u32,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Default, Deserialize)]
struct TokenizerConfig {
    add_bos_token: Option<bool>,
    add_eos_token: Option<bool>,
    #[serde(default)]
    pad_token: Value,
}

/// The vocabulary of a `tokenizer.json`, as GGUF writes it.
///
/// # Errors
/// Anything but BPE, and ways to cut a text that GGUF has no name for.
pub(crate) fn vocabulary<'a>(files: &HfFiles<'a>, config: &Config) -> Result<Vocabulary<'a>, Error> {
    let json = |e: serde_json::Error| Error::malformed(0, "tokenizer.json", "a tokenizer", e);
    let file: File<'a> = serde_json::from_slice(files.tokenizer_json).map_err(json)?;
    let extra: TokenizerConfig = match files.tokenizer_config {
        Some(bytes) => serde_json::from_slice(bytes).map_err(json)?,
        None => TokenizerConfig::default(),
    };
    if let Some(kind) = file.model.kind.as_deref().filter(|k| *k != "BPE") {
        return Err(Error::key("tokenizer.json model.type", "BPE", kind));
    }
    let pieces = pre_name(&file.pre_tokenizer)?;
    let mut v = tokens(&file, config.vocab, pieces.is_none())?;
    match pieces {
        Some(pre) => {
            (v.model, v.pre) = ("gpt2", Some(pre));
            v.merges = file.model.merges.iter().map(|m| Cow::Owned(m.line().into_bytes())).collect();
        }
        None => {
            (v.model, v.pre) = ("llama", Some("default"));
            v.scores = Some(scores(&file, &v.tokens));
            v.add_space_prefix = Some(puts_space_first(&file));
        }
    }
    let find = |name: &str| id_of(&file, name).filter(|id| (*id as usize) < v.tokens.len());
    v.bos = config.bos;
    v.eos = config.eos.first().copied();
    v.ends = config.eos.iter().skip(1).copied().collect();
    v.unk = file.model.unk_token.as_deref().and_then(find);
    v.pad = text_of(&extra.pad_token).and_then(find);
    let template = file.post_processor.to_string();
    let starts = |id: Option<u32>| id.is_some_and(|id| template.contains(&format!("\"ids\":[{id}]")));
    v.add_bos = Some(extra.add_bos_token.unwrap_or_else(|| starts(v.bos)));
    v.add_eos = extra.add_eos_token;
    Ok(v)
}

fn id_of(file: &File, name: &str) -> Option<u32> {
    let added = file.added_tokens.iter().find(|t| t.content == name).map(|t| t.id);
    added.or_else(|| file.model.vocab.get(name).copied())
}

/// The text of a token that is written as a string or as an object.
fn text_of(v: &Value) -> Option<&str> {
    v.as_str().or_else(|| v.get("content")?.as_str())
}

/// The tokens in the order of their ids, with their types.
fn tokens<'a>(file: &File<'a>, most: usize, sentence_piece: bool) -> Result<Vocabulary<'a>, Error> {
    let top = file.model.vocab.values().copied().chain(file.added_tokens.iter().map(|t| t.id)).max();
    let n = top.map_or(0, |id| id as usize + 1);
    if n == 0 || n > most {
        return Err(Error::key("tokenizer.json vocab", format_args!("1 to {most} tokens"), n));
    }
    let mut texts: Vec<Cow<'a, [u8]>> = vec![Cow::Borrowed(b""); n];
    let mut types = vec![token::UNUSED; n];
    for (text, id) in &file.model.vocab {
        texts[*id as usize] = match text {
            Cow::Borrowed(s) => Cow::Borrowed(s.as_bytes()),
            Cow::Owned(s) => Cow::Owned(s.clone().into_bytes()),
        };
        types[*id as usize] = match () {
            () if file.model.unk_token.as_deref() == Some(text) => token::UNKNOWN,
            () if sentence_piece && file.model.byte_fallback && is_byte(text) => token::BYTE,
            () => token::NORMAL,
        };
    }
    for t in &file.added_tokens {
        texts[t.id as usize] = Cow::Owned(t.content.clone().into_bytes());
        if types[t.id as usize] != token::UNKNOWN {
            types[t.id as usize] = if t.special { token::CONTROL } else { token::USER_DEFINED };
        }
    }
    for (id, text) in texts.iter_mut().enumerate().filter(|(_, t)| t.is_empty()) {
        *text = Cow::Owned(format!("[PAD{id}]").into_bytes());
    }
    Ok(Vocabulary { tokens: texts, types: Some(types), ..Vocabulary::default() })
}

/// `<0x0A>` and the like.
fn is_byte(text: &str) -> bool {
    let hex = text.strip_prefix("<0x").and_then(|t| t.strip_suffix('>'));
    hex.is_some_and(|h| h.len() == 2 && u8::from_str_radix(h, 16).is_ok())
}

/// GGUF's name of the way in which a text is cut before merging; `None` for SentencePiece, which does not cut.
fn pre_name(pre: &Value) -> Result<Option<&'static str>, Error> {
    let unknown = || Error::key("tokenizer.json pre_tokenizer", "that of qwen2, llama3, gpt-2, smollm or llama", pre);
    let kind = |v: &Value| v["type"].as_str().map(str::to_owned).unwrap_or_default();
    let steps = match kind(pre).as_str() {
        "" | "Metaspace" => return Ok(None),
        "Sequence" => pre["pretokenizers"].as_array().cloned().unwrap_or_default(),
        _ => vec![pre.clone()],
    };
    match steps.as_slice() {
        [bytes] if kind(bytes) == "ByteLevel" && bytes["use_regex"].as_bool() != Some(false) => Ok(Some("gpt-2")),
        [digits, bytes] if kind(digits) == "Digits" && kind(bytes) == "ByteLevel" => Ok(Some("smollm")),
        [split, bytes] if kind(split) == "Split" && kind(bytes) == "ByteLevel" => {
            match split["pattern"]["Regex"].as_str() {
                Some(QWEN2) => Ok(Some("qwen2")),
                Some(LLAMA3) => Ok(Some("llama-bpe")),
                _ => Err(unknown()),
            }
        }
        _ => Err(unknown()),
    }
}

/// SentencePiece merges the pair whose result scores best, so the rank of the merge that makes a token is its score.
fn scores(file: &File, tokens: &[Cow<[u8]>]) -> Vec<f32> {
    let mut rank: HashMap<Vec<u8>, usize> = HashMap::with_capacity(file.model.merges.len());
    for (i, merge) in file.model.merges.iter().enumerate() {
        rank.entry(merge.result().into_bytes()).or_insert(i);
    }
    let unmerged = file.model.merges.len();
    tokens.iter().map(|t| -(*rank.get(&**t).unwrap_or(&unmerged) as f32)).collect()
}

fn puts_space_first(file: &File) -> bool {
    let metaspace = &file.pre_tokenizer["prepend_scheme"];
    let text = file.normalizer.to_string();
    text.contains("\"Prepend\"") || matches!(metaspace.as_str(), Some("first" | "always"))
}

impl Merge {
    /// The two tokens with a space between. A space inside one is written as byte-level vocabularies write it.
    fn line(&self) -> String {
        match self {
            Merge::Line(line) => line.clone(),
            Merge::Pair(a, b) => format!("{} {}", a.replace(' ', "\u{120}"), b.replace(' ', "\u{120}")),
        }
    }

    fn result(&self) -> String {
        match self {
            Merge::Line(line) => line.replacen(' ', "", 1),
            Merge::Pair(a, b) => format!("{a}{b}"),
        }
    }
}
