use aho_corasick::{AhoCorasick, Input, MatchKind, StartKind};

use super::error::TokenizerError;
use super::vocab::{Kind, Vocab};

/// Real vocabularies have a few kilobytes of such names; the automaton takes many times their size.
const MAX_NAMES_BYTES: usize = 1 << 20;

/// Which special tokens are recognised in text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// Control tokens too: for text that a chat template has written.
    Parse,
    /// Control tokens are spelled out as text, so that a user's text cannot steer the model.
    AsText,
}

/// What an added token of `tokenizer.json` does to the text around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Edges {
    /// White space before it belongs to it.
    pub(super) strip_left: bool,
    /// White space after it belongs to it.
    pub(super) strip_right: bool,
    /// It counts only where no word character touches it.
    pub(super) whole_word: bool,
}

/// A part of a text: a special token, or text between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part<'t> {
    Token(u32),
    Text(&'t str),
}

/// Finds special tokens in text, the leftmost and then the longest first.
pub(super) struct Specials {
    all: Matcher,
    text_only: Matcher,
}

struct Matcher {
    automaton: Option<AhoCorasick>,
    tokens: Vec<(u32, Edges)>,
}

impl Specials {
    pub(super) fn new(vocab: &Vocab, edges: impl Fn(u32) -> Edges) -> Result<Specials, TokenizerError> {
        Ok(Specials {
            all: Matcher::new(vocab, &[Kind::User, Kind::Control, Kind::Unknown], &edges)?,
            text_only: Matcher::new(vocab, &[Kind::User], &edges)?,
        })
    }

    /// The control or user-defined token of this name.
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        let automaton = self.all.automaton.as_ref()?;
        let found = automaton.find(Input::new(name))?;
        (found.range() == (0..name.len())).then(|| self.all.tokens[found.pattern().as_usize()].0)
    }

    /// Calls `part` with each part of `text` in order.
    pub(super) fn split<'t>(&self, text: &'t str, special: Special, mut part: impl FnMut(Part<'t>)) {
        let matcher = match special {
            Special::Parse => &self.all,
            Special::AsText => &self.text_only,
        };
        let mut done = 0;
        if let Some(automaton) = &matcher.automaton {
            for found in automaton.find_iter(text) {
                let (id, edges) = matcher.tokens[found.pattern().as_usize()];
                // A strip to the right may have eaten into what looks like the next token.
                if found.start() < done || (edges.whole_word && touches_word(text, found.range())) {
                    continue;
                }
                let mut before = &text[done..found.start()];
                if edges.strip_left {
                    before = before.trim_end();
                }
                if !before.is_empty() {
                    part(Part::Text(before));
                }
                part(Part::Token(id));
                done = found.end();
                if edges.strip_right {
                    done = text.len() - text[done..].trim_start().len();
                }
            }
        }
        if done < text.len() {
            part(Part::Text(&text[done..]));
        }
    }
}

impl Matcher {
    fn new(vocab: &Vocab, kinds: &[Kind], edges: &impl Fn(u32) -> Edges) -> Result<Matcher, TokenizerError> {
        let named = |&id: &u32| vocab.bytes(id).is_some_and(|name| !name.is_empty());
        let ids: Vec<u32> = vocab.ids_of(kinds).filter(named).collect();
        let names: Vec<&[u8]> = ids.iter().filter_map(|&id| vocab.bytes(id)).collect();
        let total: usize = names.iter().map(|name| name.len()).sum();
        if total > MAX_NAMES_BYTES {
            return Err(TokenizerError::Count {
                what: "bytes of special tokens",
                expected: format!("at most {MAX_NAMES_BYTES}"),
                got: total,
            });
        }
        if names.is_empty() {
            return Ok(Matcher { automaton: None, tokens: Vec::new() });
        }
        let automaton = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .start_kind(StartKind::Unanchored)
            .kind(Some(aho_corasick::AhoCorasickKind::ContiguousNFA))
            // Dense states take a kilobyte each, and hostile names make many.
            .dense_depth(1)
            .build(&names)
            .map_err(|error| TokenizerError::Unsupported { what: "set of special tokens", found: error.to_string() })?;
        Ok(Matcher { automaton: Some(automaton), tokens: ids.into_iter().map(|id| (id, edges(id))).collect() })
    }
}

fn touches_word(text: &str, range: std::ops::Range<usize>) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    text[..range.start].chars().next_back().is_some_and(word) || text[range.end..].chars().next().is_some_and(word)
}
