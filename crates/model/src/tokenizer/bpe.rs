use std::borrow::Cow;
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::merge::{Join, MAX_RUN, MergeTable, Run, Symbol};
use super::split::Scheme;
use super::vocab::Vocab;

/// How ordinary text becomes ids.
pub(super) enum Model {
    Bytes(ByteLevel),
    Pieces(Pieces),
}

/// Where a stretch of text between special tokens stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Start,
    AfterToken,
}

impl Model {
    pub(super) fn encode(&self, vocab: &Vocab, text: &str, place: Place, run: &mut Run, out: &mut Vec<u32>) {
        match self {
            Model::Bytes(model) => model.encode(vocab, text, run, out),
            Model::Pieces(model) => model.encode(vocab, text, place, run, out),
        }
    }
}

/// Byte-level BPE as GPT-2 introduced it: words start as bytes.
pub(super) struct ByteLevel {
    pub(super) scheme: Scheme,
    pub(super) form: Form,
    pub(super) merges: MergeTable,
    pub(super) byte_ids: [Option<u32>; 256],
    /// Stands for a byte that the vocabulary lacks; without it such a byte vanishes, as in the reference.
    pub(super) unknown: Option<u32>,
    /// A word that is a token is that token, whatever its merges say.
    pub(super) whole_words: bool,
}

/// The Unicode normal form that text is brought to first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    AsIs,
    Nfc,
}

impl Form {
    fn apply(self, text: &str) -> Cow<'_, str> {
        match self {
            Form::Nfc if is_nfc_quick(text.chars()) != IsNormalized::Yes => Cow::Owned(text.nfc().collect()),
            _ => Cow::Borrowed(text),
        }
    }
}

impl ByteLevel {
    fn encode(&self, vocab: &Vocab, text: &str, run: &mut Run, out: &mut Vec<u32>) {
        let text = self.form.apply(text);
        self.scheme.split(&text, &mut |word| {
            if let &[byte] = word.as_bytes() {
                out.extend(self.byte_ids[byte as usize].or(self.unknown));
                return;
            }
            if self.whole_words
                && let Some(id) = vocab.find(word.as_bytes())
            {
                out.push(id);
                return;
            }
            for part in word.as_bytes().chunks(MAX_RUN) {
                run.clear();
                for (at, &byte) in (0..).zip(part) {
                    if let id @ Some(_) = self.byte_ids[byte as usize].or(self.unknown) {
                        run.push(Symbol { id, start: at, end: at + 1 });
                    }
                }
                run.merge(|left, right| self.merges.get(left.id?, right.id?));
                out.extend(run.symbols().filter_map(|symbol| symbol.id));
            }
        });
    }
}

/// SentencePiece BPE: text starts as characters, a space belongs to the word after it, and a character without a
/// token is spelled in bytes. Pieces hold plain spaces where the files write `▁`.
pub(super) struct Pieces {
    pub(super) order: Order,
    pub(super) prefix: Prefix,
    pub(super) words: Words,
    pub(super) byte_ids: [Option<u32>; 256],
    pub(super) unknown: Option<u32>,
}

/// What decides which neighbours join first.
pub(super) enum Order {
    /// A list of merges.
    Merges(MergeTable),
    /// Any two neighbours whose text is a token join, the token of the lowest rank first.
    Tokens {
        /// One for each id.
        ranks: Vec<u32>,
        /// No longer text needs looking up.
        longest: usize,
    },
}

/// Where a space is put before text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Never,
    /// At the start of the text, unless there is one.
    Start,
    /// Before every stretch between special tokens.
    Stretch,
}

/// Whether merges may cross spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Words {
    Joined,
    /// Every space starts a word of its own.
    Apart,
}

/// How SentencePiece files write a space.
pub(super) const SPACE: char = '▁';

impl Pieces {
    fn encode(&self, vocab: &Vocab, text: &str, place: Place, run: &mut Run, out: &mut Vec<u32>) {
        let mut text = Cow::Borrowed(text);
        if text.contains(SPACE) {
            text = Cow::Owned(text.replace(SPACE, " "));
        }
        let prefixed = match self.prefix {
            Prefix::Never => false,
            Prefix::Start => place == Place::Start && !text.starts_with(' '),
            Prefix::Stretch => true,
        };
        if prefixed && !text.is_empty() {
            text.to_mut().insert(0, ' ');
        }
        let mut rest = &*text;
        while !rest.is_empty() {
            let mut end = match self.words {
                Words::Joined => rest.len(),
                Words::Apart => rest.bytes().skip(1).position(|b| b == b' ').map_or(rest.len(), |at| at + 1),
            };
            if end > MAX_RUN {
                end = rest.floor_char_boundary(MAX_RUN);
            }
            let (word, tail) = rest.split_at(end);
            self.encode_word(vocab, word, run, out);
            rest = tail;
        }
    }

    fn encode_word(&self, vocab: &Vocab, word: &str, run: &mut Run, out: &mut Vec<u32>) {
        run.clear();
        for (start, c) in word.char_indices() {
            let (start, end) = (start as u32, (start + c.len_utf8()) as u32);
            run.push(Symbol { id: vocab.find(&word.as_bytes()[start as usize..end as usize]), start, end });
        }
        match &self.order {
            Order::Merges(merges) => run.merge(|left, right| merges.get(left.id?, right.id?)),
            Order::Tokens { ranks, longest } => run.merge(|left, right| {
                let text = &word.as_bytes()[left.start as usize..right.end as usize];
                let id = if text.len() <= *longest { vocab.find(text) } else { None }?;
                Some(Join { rank: *ranks.get(id as usize)?, id })
            }),
        }
        let mut unknown_before = false;
        for symbol in run.symbols() {
            let mut unknown = false;
            let bytes = &word.as_bytes()[symbol.start as usize..symbol.end as usize];
            match symbol.id {
                Some(id) => out.push(id),
                None if bytes.iter().all(|&byte| self.byte_ids[byte as usize].is_some()) => {
                    out.extend(bytes.iter().filter_map(|&byte| self.byte_ids[byte as usize]));
                }
                None => {
                    // Neighbouring characters without a token share one unknown token.
                    unknown = true;
                    out.extend(self.unknown.filter(|_| !unknown_before));
                }
            }
            unknown_before = unknown;
        }
    }
}
