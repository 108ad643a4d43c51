//! Pre-tokenizers: how text is cut into words, inside which alone bytes are merged.
//!
//! Each is published as a regular expression (or several, one applied to the pieces of the other). The scanners
//! below give the same pieces in one pass and linear time; the tests hold them against the expressions.

use super::error::TokenizerError;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// A pre-tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// The whole text is one word.
    Whole,
    Gpt2,
    Smollm,
    Llama3,
    Qwen2,
    Default,
}

/// Every scheme a GGUF file can name.
const NAMES: &[(&str, Scheme)] = &[
    ("default", Scheme::Default),
    ("gpt-2", Scheme::Gpt2),
    ("smollm", Scheme::Smollm),
    ("llama-bpe", Scheme::Llama3),
    ("llama3", Scheme::Llama3),
    ("llama-v3", Scheme::Llama3),
    ("qwen2", Scheme::Qwen2),
    ("deepseek-r1-qwen", Scheme::Qwen2),
];

/// The expressions that a `tokenizer.json` can hold.
const PATTERNS: &[(&str, Scheme)] = &[(GPT2, Scheme::Gpt2), (LLAMA3, Scheme::Llama3), (QWEN2, Scheme::Qwen2)];

const GPT2: &str = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+";
const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str =
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";

impl Scheme {
    pub(super) fn by_name(name: &str) -> Result<Scheme, TokenizerError> {
        find(NAMES, name)
    }

    pub(super) fn by_pattern(pattern: &str) -> Result<Scheme, TokenizerError> {
        find(PATTERNS, pattern)
    }

    /// Calls `word` with each piece of `text` in order; together they are the text.
    pub(super) fn split<'t>(self, text: &'t str, word: &mut impl FnMut(&'t str)) {
        match self {
            Scheme::Whole => {
                if !text.is_empty() {
                    word(text);
                }
            }
            Scheme::Gpt2 => cut(text, gpt2, word),
            Scheme::Llama3 => cut(text, |rest| tiktoken(rest, 3), word),
            Scheme::Qwen2 => cut(text, |rest| tiktoken(rest, 1), word),
            Scheme::Smollm => cut(text, digit_apart, &mut |piece| cut(piece, gpt2, word)),
            Scheme::Default => cut(text, punctuation_apart, &mut |piece| {
                cut(piece, gpt2, &mut |piece| {
                    cut(piece, numbers_apart, &mut |piece| cut(piece, digits_in_threes, word));
                });
            }),
        }
    }
}

fn find(list: &[(&str, Scheme)], name: &str) -> Result<Scheme, TokenizerError> {
    list.iter().find(|(known, _)| *known == name).map(|&(_, scheme)| scheme).ok_or_else(|| {
        let known: Vec<&str> = list.iter().map(|&(known, _)| known).collect();
        TokenizerError::UnknownPre { found: super::error::shorten(name), known: known.join(", ") }
    })
}

/// Cuts `text` into the pieces whose byte lengths `next` gives for what remains.
fn cut<'t>(text: &'t str, next: impl Fn(&str) -> usize, word: &mut impl FnMut(&'t str)) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(next(rest));
        word(piece);
        rest = tail;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Letter,
    Number,
    Space,
    Other,
}

fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' => Class::Letter,
        '0'..='9' => Class::Number,
        '\t'..='\r' | ' ' => Class::Space,
        '\0'..='\x7f' => Class::Other,
        _ if c.is_whitespace() => Class::Space,
        _ => match c.general_category_group() {
            GeneralCategoryGroup::Letter => Class::Letter,
            GeneralCategoryGroup::Number => Class::Number,
            _ => Class::Other,
        },
    }
}

/// The byte length of the run at the start of `text` whose characters pass `test`.
fn run(text: &str, test: impl Fn(char) -> bool) -> usize {
    text.find(|c| !test(c)).unwrap_or(text.len())
}

/// `\s+(?!\S)|\s+`: a run of white space leaves its last character to the word that follows.
fn white(text: &str) -> usize {
    let all = run(text, |c| class(c) == Class::Space);
    if all == text.len() {
        return all;
    }
    match text[..all].char_indices().next_back() {
        Some((last, _)) if last > 0 => last,
        _ => all,
    }
}

fn is_letter(c: char) -> bool {
    class(c) == Class::Letter
}

/// The length of the next piece of `GPT2`.
fn gpt2(text: &str) -> usize {
    if let Some(rest) = text.strip_prefix('\'')
        && let Some(length) = contraction(rest.as_bytes())
    {
        return 1 + length;
    }
    let space = usize::from(text.starts_with(' '));
    let Some(first) = text[space..].chars().next() else { return text.len() };
    match class(first) {
        Class::Space => white(text),
        wanted => space + run(&text[space..], |c| class(c) == wanted),
    }
}

/// The length of the next piece of `LLAMA3` and `QWEN2`, which differ in how many digits stay together.
fn tiktoken(text: &str, digits: usize) -> usize {
    if let Some(rest) = text.strip_prefix('\'')
        && let Some(length) = contraction_any_case(rest)
    {
        return 1 + length;
    }
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return 0 };
    let after = &text[first.len_utf8()..];
    let second = chars.next().map(class);
    let kind = class(first);
    match kind {
        Class::Letter => return run(text, is_letter),
        Class::Number => {
            let taken = text.char_indices().take(digits).take_while(|&(_, c)| class(c) == Class::Number);
            return taken.last().map_or(0, |(at, c)| at + c.len_utf8());
        }
        _ if second == Some(Class::Letter) && first != '\r' && first != '\n' => {
            return first.len_utf8() + run(after, is_letter);
        }
        _ => {}
    }
    if kind == Class::Other || (first == ' ' && second == Some(Class::Other)) {
        let space = usize::from(first == ' ');
        let word = space + run(&text[space..], |c| class(c) == Class::Other);
        return word + run(&text[word..], |c| c == '\r' || c == '\n');
    }
    let all = run(text, |c| class(c) == Class::Space);
    match text[..all].rfind(['\r', '\n']) {
        Some(newline) => newline + 1,
        None => white(text),
    }
}

fn contraction(rest: &[u8]) -> Option<usize> {
    match rest {
        [b's' | b't' | b'm' | b'd', ..] => Some(1),
        [b'r', b'e', ..] | [b'v', b'e', ..] | [b'l', b'l', ..] => Some(2),
        _ => None,
    }
}

/// Without regard to case, in which the long s is an s.
fn contraction_any_case(rest: &str) -> Option<usize> {
    match rest.as_bytes() {
        [a, b, ..] => contraction(&[a.to_ascii_lowercase(), b.to_ascii_lowercase()]),
        [a] => contraction(&[a.to_ascii_lowercase()]),
        [] => None,
    }
    .or_else(|| rest.starts_with('ſ').then_some('ſ'.len_utf8()))
}

/// `\p{N}`: every number character alone, what lies between together.
fn digit_apart(text: &str) -> usize {
    match text.find(|c| class(c) == Class::Number) {
        Some(0) => text.chars().next().map_or(0, char::len_utf8),
        Some(at) => at,
        None => text.len(),
    }
}

/// `[\p{P}\$\+<=>\^~\|]+`: runs of punctuation, and what lies between.
fn punctuation_apart(text: &str) -> usize {
    apart(text, |c| {
        matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '~' | '|')
            || c.general_category_group() == GeneralCategoryGroup::Punctuation
    })
}

/// `\p{N}+`: runs of numbers, and what lies between.
fn numbers_apart(text: &str) -> usize {
    apart(text, |c| class(c) == Class::Number)
}

fn apart(text: &str, test: impl Fn(char) -> bool) -> usize {
    match run(text, &test) {
        0 => run(text, |c| !test(c)),
        length => length,
    }
}

/// `[0-9][0-9][0-9]`: triples of digits, and what lies between.
fn digits_in_threes(text: &str) -> usize {
    let triple = |window: &[u8]| window.iter().all(u8::is_ascii_digit);
    match text.as_bytes().windows(3).position(triple) {
        Some(0) => 3,
        Some(at) => at,
        None => text.len(),
    }
}

#[cfg(test)]
#[path = "split_tests.rs"]
mod tests;
