//! A vocabulary on its way into a GGUF file.

use super::tokenizer as keys;
use crate::gguf::Value;
use crate::gguf_write::GgufWriter;
use crate::tokenizer::{GgufVocab, TokenizerSource};
use crate::{Error, ModelFile};
use std::borrow::Cow;

/// Types of tokens as GGUF numbers them.
pub(crate) mod token {
    pub const NORMAL: i32 = 1;
    pub const UNKNOWN: i32 = 2;
    pub const CONTROL: i32 = 3;
    pub const USER_DEFINED: i32 = 4;
    pub const UNUSED: i32 = 5;
    pub const BYTE: i32 = 6;
}

/// Everything that GGUF stores of a tokenizer and of the chat format.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary<'a> {
    pub model: &'a str,
    pub pre: Option<&'a str>,
    pub tokens: Vec<Cow<'a, [u8]>>,
    pub scores: Option<Vec<f32>>,
    pub types: Option<Vec<i32>>,
    pub merges: Vec<Cow<'a, [u8]>>,
    pub bos: Option<u32>,
    pub eos: Option<u32>,
    pub ends: Vec<u32>,
    pub unk: Option<u32>,
    pub pad: Option<u32>,
    pub add_bos: Option<bool>,
    pub add_eos: Option<bool>,
    pub add_space_prefix: Option<bool>,
    pub template: Option<&'a str>,
}

impl<'a> Vocabulary<'a> {
    /// The vocabulary of an opened model.
    pub fn of(model: &'a ModelFile) -> Result<Vocabulary<'a>, Error> {
        let mut vocabulary = match model.tokenizer_source() {
            Some(TokenizerSource::Gguf(v)) => Vocabulary::from_gguf(v),
            Some(TokenizerSource::HfJson(files)) => crate::convert::vocabulary(&files, model.config())?,
            None => return Err(Error::key(keys::TOKENS, "a vocabulary", "none")),
        };
        if let Some(keys) = model.keys() {
            vocabulary.pad = keys::token_id(keys, keys::PAD)?;
        }
        vocabulary.template = model.chat_template();
        Ok(vocabulary)
    }

    fn from_gguf(v: GgufVocab<'a>) -> Vocabulary<'a> {
        Vocabulary {
            model: v.model,
            pre: v.pre,
            tokens: v.tokens.into_iter().map(Cow::Borrowed).collect(),
            scores: v.scores,
            types: v.types,
            merges: v.merges.into_iter().map(Cow::Borrowed).collect(),
            bos: v.bos,
            eos: v.eos,
            ends: v.ends,
            unk: v.unk,
            add_bos: v.add_bos,
            add_eos: v.add_eos,
            add_space_prefix: v.add_space_prefix,
            ..Vocabulary::default()
        }
    }

    /// A byte-level vocabulary of `n` tokens: every byte, one merge, the tokens of a chat, and unused ones.
    pub fn bytes(n: usize) -> Vocabulary<'static> {
        let mut v = Vocabulary { model: "gpt2", pre: Some("gpt-2"), ..Vocabulary::default() };
        v.tokens = (0..=u8::MAX).map(|b| Cow::Owned(byte_char(b).to_string().into_bytes())).collect();
        v.tokens.push(Cow::Borrowed(b"he"));
        v.merges = vec![Cow::Borrowed(b"h e")];
        v.types = Some(vec![token::NORMAL; v.tokens.len()]);
        for text in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] {
            v.tokens.push(Cow::Borrowed(text.as_bytes()));
            v.types.iter_mut().for_each(|t| t.push(token::CONTROL));
        }
        v.bos = Some(257);
        v.eos = Some(257);
        v.ends = vec![259];
        v.add_bos = Some(false);
        v.template = Some(CHATML);
        v.pad_to(n);
        v
    }

    /// Fills up to `n` tokens, one per row of the embedding, which is what other programs ask for.
    pub fn padded(mut self, n: usize) -> Result<Vocabulary<'a>, Error> {
        if self.tokens.len() > n {
            return Err(Error::key(keys::TOKENS, format_args!("at most {n} tokens"), self.tokens.len()));
        }
        self.pad_to(n);
        Ok(self)
    }

    fn pad_to(&mut self, n: usize) {
        let have = self.tokens.len();
        let types = self.types.get_or_insert_with(|| vec![token::NORMAL; have]);
        types.resize(n, token::UNUSED);
        if let Some(scores) = &mut self.scores {
            scores.resize(n, 0.0);
        }
        self.tokens.extend((have..n).map(|i| Cow::Owned(format!("[PAD{i}]").into_bytes())));
    }

    /// Writes the keys of the vocabulary.
    pub fn write(&self, w: &mut GgufWriter) -> Result<(), Error> {
        w.put(keys::MODEL, Value::Str(self.model))?;
        if let Some(pre) = self.pre {
            w.put(keys::PRE, Value::Str(pre))?;
        }
        w.put_strings(keys::TOKENS, &self.tokens)?;
        if let Some(scores) = &self.scores {
            w.put_f32s(keys::SCORES, scores)?;
        }
        if let Some(types) = &self.types {
            w.put_i32s(keys::TYPES, types)?;
        }
        if !self.merges.is_empty() {
            w.put_strings(keys::MERGES, &self.merges)?;
        }
        let further = [keys::EOT, keys::EOM].into_iter().zip(self.ends.iter().map(|id| Some(*id)));
        let named = [(keys::BOS, self.bos), (keys::EOS, self.eos), (keys::UNK, self.unk), (keys::PAD, self.pad)];
        for (key, id) in named.into_iter().chain(further) {
            if let Some(id) = id {
                w.put(key, Value::U32(id))?;
            }
        }
        let flags = [
            (keys::ADD_BOS, self.add_bos),
            (keys::ADD_EOS, self.add_eos),
            (keys::ADD_SPACE_PREFIX, self.add_space_prefix),
        ];
        for (key, flag) in flags {
            if let Some(flag) = flag {
                w.put(key, Value::Bool(flag))?;
            }
        }
        match self.template {
            Some(t) => w.put(keys::CHAT_TEMPLATE, Value::Str(t)),
            None => Ok(()),
        }
    }
}

const CHATML: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + \
    '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// The character by which byte-level vocabularies (GPT-2) write a byte.
fn byte_char(byte: u8) -> char {
    let printable = |b: u8| matches!(b, 33..=126 | 161..=172 | 174..=255);
    match printable(byte) {
        true => char::from(byte),
        false => {
            let before = (0..byte).filter(|b| !printable(*b)).count() as u32;
            char::from_u32(256 + before).unwrap_or(char::REPLACEMENT_CHARACTER)
        }
    }
}
