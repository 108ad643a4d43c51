//! Types and declarators: enough of them to know where a type ends and what is declared.

use std::ops::Range;

use super::Source;
use crate::token::{Sym, sym};

/// What follows the type in a declaration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Declarator {
    /// The declared name's token; unnamed parameters have none.
    pub name: Option<usize>,
    /// `*`s, those in parentheses included.
    pub stars: usize,
    /// `&` or `&&`.
    pub reference: bool,
    /// Tokens of `[..][..]`, the brackets included.
    pub dims: Range<usize>,
    /// Index after it.
    pub end: usize,
}

impl Declarator {
    /// Declares a pointer or a reference.
    pub fn indirect(&self) -> bool {
        self.stars > 0 || self.reference
    }
}

/// A function's parameter.
#[derive(Clone, Debug)]
pub(crate) struct Parameter {
    /// All of its tokens, without the comma.
    pub range: Range<usize>,
    /// The tokens of the type in front of the declarator.
    pub ty: Range<usize>,
    pub declarator: Declarator,
}

/// Words that say where or how an object lives and are no part of its type's name.
pub(crate) fn qualifier(s: Sym) -> bool {
    address_space(s)
        || matches!(
            s,
            sym::CONST
                | sym::VOLATILE
                | sym::STATIC
                | sym::INLINE
                | sym::CONSTEXPR
                | sym::EXTERN
                | sym::TYPENAME
                | sym::FRIEND
                | sym::KERNEL
                | sym::VERTEX
                | sym::FRAGMENT
                | sym::COHERENT
        )
}

/// The address spaces of the language.
pub(crate) fn address_space(s: Sym) -> bool {
    matches!(
        s,
        sym::DEVICE
            | sym::CONSTANT
            | sym::THREAD
            | sym::THREADGROUP
            | sym::RAY_DATA
            | sym::OBJECT_DATA
            | sym::THREADGROUP_IMAGEBLOCK
    )
}

fn builtin_word(s: Sym) -> bool {
    matches!(s, sym::UNSIGNED | sym::SIGNED | sym::LONG | sym::SHORT | sym::INT | sym::CHAR | sym::FLOAT | sym::BOOL)
}

impl Source {
    /// Index after the type that begins at `i`, and where its name stands (empty if there is none).
    pub fn type_end(&self, mut i: usize, end: usize) -> (usize, Range<usize>) {
        let mut name: Option<Range<usize>> = None;
        let mut builtin = false;
        while i < end {
            let t = &self.tokens[i];
            if !t.ident() && !t.is(sym::SCOPE) {
                break;
            }
            match t.sym {
                sym::COHERENT | sym::ALIGNAS if self.is(i + 1, sym::LPAREN) => i = self.after(i + 1),
                s if qualifier(s) => i += 1,
                s if builtin_word(s) => {
                    if name.is_some() && !builtin {
                        break;
                    }
                    builtin = true;
                    let start = name.map_or(i, |n| n.start);
                    i += 1;
                    name = Some(start..i);
                }
                sym::STRUCT | sym::CLASS | sym::UNION | sym::ENUM if name.is_none() => {
                    let start = i;
                    i += 1;
                    while i < end && self.is(i, sym::ALIGNAS) {
                        i = self.after(i + 1);
                    }
                    while i < end && !self.is(i, sym::LBRACE) && (self.ident(i) || self.is(i, sym::SCOPE)) {
                        i += 1;
                        if self.is(i - 1, sym::SCOPE) || self.is(i, sym::SCOPE) {
                            continue;
                        }
                        break;
                    }
                    if self.is(i, sym::LESS) {
                        i = self.after(i);
                    }
                    if self.is(i, sym::LBRACE) {
                        i = self.after(i);
                    }
                    name = Some(start..i);
                }
                sym::DECLTYPE if name.is_none() => {
                    let start = i;
                    i = self.after(i + 1);
                    name = Some(start..i);
                }
                _ if name.is_some() => break,
                _ => {
                    let start = i;
                    i = self.qualified_end(i, end);
                    name = Some(start..i);
                }
            }
        }
        (i.min(end), name.unwrap_or(i..i))
    }

    /// Index after `a::b<c>::d` that begins at `i`.
    pub fn qualified_end(&self, mut i: usize, end: usize) -> usize {
        loop {
            if self.is(i, sym::SCOPE) {
                i += 1;
            }
            if self.is(i, sym::TEMPLATE) {
                i += 1;
            }
            if i >= end || !self.ident(i) {
                return i.min(end);
            }
            i += 1;
            if self.is(i, sym::LESS)
                && let Some(close) = self.mate(i)
            {
                i = close + 1;
            }
            if !self.is(i, sym::SCOPE) {
                return i.min(end);
            }
        }
    }

    /// The declarator that begins at `i`.
    pub fn declarator(&self, mut i: usize, end: usize) -> Declarator {
        let mut d = Declarator::default();
        loop {
            match self.tokens.get(i).map(|t| t.sym) {
                _ if i >= end => break,
                Some(sym::STAR) => d.stars += 1,
                Some(sym::AMP | sym::AND) => d.reference = true,
                Some(sym::COHERENT) if self.is(i + 1, sym::LPAREN) => i = self.after(i + 1) - 1,
                Some(s) if self.ident(i) && qualifier(s) => {}
                Some(sym::ELLIPSIS) => {}
                _ => break,
            }
            i += 1;
        }
        let grouped = self.is(i, sym::LPAREN)
            && (self.is(i + 1, sym::STAR)
                || self.is(i + 1, sym::AMP)
                || self.is(i + 1, sym::AND)
                || self.tokens.get(i + 1).is_some_and(|t| t.ident() && address_space(t.sym)));
        if i < end && grouped {
            let close = self.mate(i).unwrap_or(i);
            for k in i + 1..close {
                match self.tokens[k].sym {
                    sym::STAR => d.stars += 1,
                    sym::AMP | sym::AND => d.reference = true,
                    s if self.ident(k) && !qualifier(s) => {
                        d.name = Some(k);
                        break;
                    }
                    _ => {}
                }
            }
            i = close + 1;
            if self.is(i, sym::LPAREN) {
                i = self.after(i);
            }
        } else if i < end && self.ident(i) {
            d.name = Some(i);
            i += 1;
        }
        let dims = i;
        while i < end && self.is(i, sym::LBRACKET) {
            i = self.after(i);
        }
        d.dims = dims..i;
        d.end = i.min(end);
        d
    }

    /// The parameters between the parentheses at `open`.
    pub fn parameters(&self, open: usize) -> Vec<Parameter> {
        let close = self.mate(open).unwrap_or(open);
        self.split(open + 1, close)
            .into_iter()
            .filter(|r| !(r.is_empty() || r.len() == 1 && self.is(r.start, sym::VOID)))
            .map(|range| {
                let (ty, _) = self.type_end(range.start, range.end);
                let declarator = self.declarator(ty, range.end);
                Parameter { ty: range.start..ty, declarator, range }
            })
            .collect()
    }

    /// The pieces between commas outside of brackets.
    pub fn split(&self, start: usize, end: usize) -> Vec<Range<usize>> {
        let mut pieces = Vec::new();
        let (mut from, mut i) = (start, start);
        while i < end {
            if self.is(i, sym::COMMA) {
                pieces.push(from..i);
                from = i + 1;
            }
            i = self.after(i);
        }
        if from < end || !pieces.is_empty() {
            pieces.push(from..end);
        }
        pieces
    }
}
