//! The parts of `tokenizer.json` and `tokenizer_config.json` that are read, borrowing their text.

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;

use crate::tokenizer::special::Edges;

#[derive(Deserialize)]
pub(super) struct File<'a> {
    #[serde(default)]
    pub(super) normalizer: Value,
    #[serde(default)]
    pub(super) pre_tokenizer: Value,
    #[serde(default)]
    pub(super) post_processor: Value,
    #[serde(default)]
    pub(super) added_tokens: Vec<Added>,
    #[serde(borrow)]
    pub(super) model: Bpe<'a>,
}

#[derive(Deserialize)]
pub(super) struct Bpe<'a> {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) dropout: Option<f64>,
    pub(super) unk_token: Option<String>,
    pub(super) continuing_subword_prefix: Option<String>,
    pub(super) end_of_word_suffix: Option<String>,
    #[serde(default)]
    pub(super) byte_fallback: bool,
    #[serde(default)]
    pub(super) ignore_merges: bool,
    #[serde(borrow)]
    pub(super) vocab: Names<'a>,
    #[serde(borrow, default)]
    pub(super) merges: Vec<Pair<'a>>,
}

#[derive(Deserialize)]
pub(super) struct Added {
    pub(super) id: u32,
    pub(super) content: String,
    #[serde(default)]
    single_word: bool,
    #[serde(default)]
    lstrip: bool,
    #[serde(default)]
    rstrip: bool,
    #[serde(default)]
    pub(super) special: bool,
}

impl Added {
    pub(super) fn edges(&self) -> Edges {
        Edges { strip_left: self.lstrip, strip_right: self.rstrip, whole_word: self.single_word }
    }
}

#[derive(Deserialize, Default)]
pub(super) struct Config {
    pub(super) bos_token: Option<NamedToken>,
    pub(super) eos_token: Option<NamedToken>,
    pub(super) add_bos_token: Option<bool>,
    pub(super) add_eos_token: Option<bool>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub(super) enum NamedToken {
    Name(String),
    Whole { content: String },
}

impl NamedToken {
    pub(super) fn text(&self) -> &str {
        match self {
            NamedToken::Name(text) | NamedToken::Whole { content: text } => text,
        }
    }
}

/// A string that borrows from the file unless it holds escapes.
pub(super) struct Text<'a>(Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;
        impl<'de> Visitor<'de> for TextVisitor {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(TextVisitor)
    }
}

/// Tokens and their ids. Other models than BPE hold a list here, which reads as nothing.
pub(super) struct Names<'a>(pub(super) Vec<(Text<'a>, u32)>);

impl<'de: 'a, 'a> Deserialize<'de> for Names<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NamesVisitor;
        impl<'de> Visitor<'de> for NamesVisitor {
            type Value = Names<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of tokens to ids")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names<'de>, A::Error> {
                let mut names = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    names.push(entry);
                }
                Ok(Names(names))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Names<'de>, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Names(Vec::new()))
            }
        }
        deserializer.deserialize_any(NamesVisitor)
    }
}

/// A merge: older files write one string with a space between, newer ones a list of two.
pub(super) struct Pair<'a> {
    pub(super) left: Text<'a>,
    /// Absent if `left` is the whole merge.
    pub(super) right: Option<Text<'a>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Pair<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PairVisitor;
        impl<'de> Visitor<'de> for PairVisitor {
            type Value = Pair<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a merge: a string, or a list of two")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Pair<'de>, E> {
                Ok(Pair { left: Text(Cow::Borrowed(text)), right: None })
            }
            fn visit_str<E>(self, text: &str) -> Result<Pair<'de>, E> {
                Ok(Pair { left: Text(Cow::Owned(text.to_owned())), right: None })
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Pair<'de>, A::Error> {
                let short = |got| serde::de::Error::invalid_length(got, &"two tokens");
                let left = seq.next_element()?.ok_or_else(|| short(0))?;
                let right = seq.next_element()?.ok_or_else(|| short(1))?;
                if seq.next_element::<IgnoredAny>()?.is_some() {
                    return Err(short(3));
                }
                Ok(Pair { left, right: Some(right) })
            }
        }
        deserializer.deserialize_any(PairVisitor)
    }
}
