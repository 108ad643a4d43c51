//! A tokenizer from the `tokenizer.ggml.*` keys of a GGUF file.

use super::bpe::{ByteLevel, Form, Model, Order, Pieces, Prefix, SPACE, Words};
use super::error::{TokenizerError, shorten};
use super::merge::{Join, MergeTable};
use super::source::GgufVocab;
use super::special::{Edges, Specials};
use super::split::Scheme;
use super::vocab::{Kind, Vocab, byte_of_name};
use super::{END_NAMES, Roles, Tokenizer, alphabet};

const MODELS: &str = "gpt2 (byte-level BPE), llama (SentencePiece BPE)";

/// What a file without the key `tokenizer.ggml.pre` gets.
const DEFAULT_PRE: &str = "default";

/// How a file writes the text of its ordinary tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    /// In the byte alphabet.
    Bytes,
    /// As text, with `▁` for a space.
    Spaces,
}

impl Spelling {
    pub(super) fn decode(self, name: &str, out: &mut Vec<u8>) {
        match self {
            Spelling::Bytes => alphabet::decode_name(name, out),
            Spelling::Spaces => {
                for (at, part) in name.split(SPACE).enumerate() {
                    if at > 0 {
                        out.push(b' ');
                    }
                    out.extend_from_slice(part.as_bytes());
                }
            }
        }
    }
}

pub(super) fn build(source: &GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    match source.model {
        "gpt2" => byte_level(source),
        "llama" => pieces(source),
        other => Err(TokenizerError::UnknownModel { found: shorten(other), known: MODELS }),
    }
}

fn byte_level(source: &GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    let pre = source.pre.filter(|pre| !pre.is_empty()).unwrap_or(DEFAULT_PRE);
    let scheme = Scheme::by_name(pre)?;
    let vocab = read_vocab(source, Spelling::Bytes)?;
    let mut merges = Merges::new(&vocab, Spelling::Bytes, source.merges.len());
    for (index, merge) in source.merges.iter().enumerate() {
        merges.add_line(index, std::str::from_utf8(merge).map_err(|_| Merges::wrong(index, merge, "not UTF-8"))?)?;
    }
    let llama3 = scheme == Scheme::Llama3;
    let model = Model::Bytes(ByteLevel {
        scheme,
        // Qwen2's own tokenizer normalizes, which the name implies; its distillations under other names do not.
        form: if pre == "qwen2" { Form::Nfc } else { Form::AsIs },
        merges: merges.table,
        byte_ids: vocab.byte_ids(Kind::Normal),
        unknown: None,
        whole_words: llama3,
    });
    finish(source, vocab, model, llama3)
}

fn pieces(source: &GgufVocab<'_>) -> Result<Tokenizer, TokenizerError> {
    let vocab = read_vocab(source, Spelling::Spaces)?;
    let scores = source.scores.as_deref().unwrap_or_default();
    check_count("scores", source.tokens.len(), scores.len())?;
    let unknown = source.unk.or_else(|| vocab.ids_of(&[Kind::Unknown]).next());
    if let Some(id) = unknown.filter(|&id| id as usize >= vocab.len()) {
        return Err(TokenizerError::Id { what: "the unknown token", id: id.into(), size: vocab.len() });
    }
    let model = Model::Pieces(Pieces {
        order: Order::Tokens { ranks: ranks(scores), longest: vocab.longest() },
        prefix: if source.add_space_prefix.unwrap_or(true) { Prefix::Stretch } else { Prefix::Never },
        words: Words::Joined,
        byte_ids: vocab.byte_ids(Kind::Byte),
        unknown,
    });
    finish(source, vocab, model, true)
}

fn read_vocab(source: &GgufVocab<'_>, spelling: Spelling) -> Result<Vocab, TokenizerError> {
    let count = source.tokens.len();
    if count == 0 || count >= u32::MAX as usize {
        return Err(TokenizerError::Count { what: "tokens", expected: "1 to 2^32 - 2".into(), got: count });
    }
    if let Some(types) = &source.types {
        check_count("token types", count, types.len())?;
    }
    let mut vocab = Vocab::with_capacity(count);
    for (id, name) in (0..).zip(&source.tokens) {
        let wrong = |reason| TokenizerError::Token { id, token: shorten(name), reason };
        let name = std::str::from_utf8(name).map_err(|_| wrong("not UTF-8"))?;
        let kind = match source.types.as_ref().and_then(|types| types.get(id as usize)) {
            None | Some(0 | 1) if END_NAMES.contains(&name) => Kind::Control,
            None | Some(0 | 1) => Kind::Normal,
            Some(2) => Kind::Unknown,
            Some(3) => Kind::Control,
            Some(4) => Kind::User,
            Some(5) => Kind::Unused,
            Some(6) => Kind::Byte,
            Some(_) => return Err(wrong("its type is none of 0 to 6")),
        };
        match kind {
            Kind::Byte => {
                let byte =
                    byte_of_name(name).ok_or_else(|| wrong("typed as a byte, but not one of <0x00> to <0xFF>"))?;
                vocab.push(kind, |out| out.push(byte))?;
            }
            Kind::Normal => vocab.push(kind, |out| spelling.decode(name, out))?,
            _ => vocab.push(kind, |out| out.extend_from_slice(name.as_bytes()))?,
        }
    }
    vocab.shrink();
    vocab.index();
    Ok(vocab)
}

fn finish(
    source: &GgufVocab<'_>,
    vocab: Vocab,
    model: Model,
    bos_by_default: bool,
) -> Result<Tokenizer, TokenizerError> {
    let specials = Specials::new(&vocab, |_| Edges::default())?;
    let spm = source.model == "llama";
    let bos = source.bos.or_else(|| specials.find("<s>").filter(|_| spm));
    let eos = source.eos.or_else(|| specials.find("</s>").filter(|_| spm));
    let roles = Roles {
        bos,
        eos,
        ends: source.ends.clone(),
        before: bos.filter(|_| source.add_bos.unwrap_or(bos_by_default)).into_iter().collect(),
        after: eos.filter(|_| source.add_eos.unwrap_or(false)).into_iter().collect(),
    };
    Tokenizer::assemble(vocab, specials, model, roles)
}

fn check_count(what: &'static str, expected: usize, got: usize) -> Result<(), TokenizerError> {
    if got == expected {
        return Ok(());
    }
    Err(TokenizerError::Count { what, expected: format!("{expected}, one for each token"), got })
}

/// Equal scores get equal ranks, so that the leftmost joins first.
fn ranks(scores: &[f32]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..scores.len() as u32).collect();
    order.sort_unstable_by(|&a, &b| scores[b as usize].total_cmp(&scores[a as usize]));
    let mut ranks = vec![0; scores.len()];
    let (mut rank, mut before) = (0, f32::INFINITY);
    for id in order {
        let score = scores[id as usize];
        if score != before {
            rank += 1;
            before = score;
        }
        ranks[id as usize] = rank;
    }
    ranks
}

/// Turns merges that name tokens into merges of ids.
pub(super) struct Merges<'v> {
    pub(super) table: MergeTable,
    vocab: &'v Vocab,
    spelling: Spelling,
    joined: Vec<u8>,
}

impl<'v> Merges<'v> {
    pub(super) fn new(vocab: &'v Vocab, spelling: Spelling, count: usize) -> Self {
        Merges { table: MergeTable::with_capacity(count), vocab, spelling, joined: Vec::new() }
    }

    /// Adds "left right"; the right part may hold spaces.
    pub(super) fn add_line(&mut self, index: usize, line: &str) -> Result<(), TokenizerError> {
        let first = line.chars().next().map_or(0, char::len_utf8);
        let Some(space) = line[first..].find(' ') else {
            return Err(Self::wrong(index, line, "not two tokens with a space between"));
        };
        let (left, right) = (&line[..first + space], &line[first + space + 1..]);
        self.add(index, left, right)
    }

    pub(super) fn add(&mut self, index: usize, left: &str, right: &str) -> Result<(), TokenizerError> {
        let wrong = |reason| Self::wrong(index, format!("{left} {right}"), reason);
        let rank = u32::try_from(index).map_err(|_| wrong("more than 2^32 merges"))?;
        self.joined.clear();
        self.spelling.decode(left, &mut self.joined);
        let middle = self.joined.len();
        self.spelling.decode(right, &mut self.joined);
        let find = |bytes: &[u8]| self.vocab.find(bytes);
        let left_id = find(&self.joined[..middle]).ok_or_else(|| wrong("the left part is no token"))?;
        let right_id = find(&self.joined[middle..]).ok_or_else(|| wrong("the right part is no token"))?;
        let id = find(&self.joined).ok_or_else(|| wrong("the two joined are no token"))?;
        self.table.insert(left_id, right_id, Join { rank, id });
        Ok(())
    }

    fn wrong(index: usize, merge: impl AsRef<[u8]>, reason: &'static str) -> TokenizerError {
        TokenizerError::Merge { index, merge: shorten(merge), reason }
    }
}
