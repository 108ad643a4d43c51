//! The tokens of a unit without attributes and pragmas, with their brackets matched.

use std::sync::Arc;

use crate::preprocess::Preprocessed;
use crate::token::{Kind, Pos, Spellings, Sym, Token, sym};
use crate::{Diagnostic, Place};

/// An attribute, and where it stood.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    /// The token that it stood in front of.
    pub before: usize,
    /// Its name; `packed` for `__attribute__((packed))`.
    pub name: Sym,
    /// The tokens between its parentheses.
    pub args: Vec<Token>,
    /// Written as `__attribute__`.
    pub gnu: bool,
}

/// Tokens ready to be parsed.
#[derive(Debug)]
pub(crate) struct Source {
    pub tokens: Vec<Token>,
    /// The partner of each bracket, angle brackets included where they pair; itself for every other token.
    pub mates: Vec<u32>,
    /// Ordered by place.
    pub attributes: Vec<Attribute>,
    /// Pragmas by the token that they stood in front of.
    pub pragmas: Vec<(usize, Token)>,
    pub files: Vec<Arc<str>>,
    pub spellings: Spellings,
}

impl Source {
    /// Takes attributes and pragmas out and matches brackets.
    pub fn new(p: Preprocessed) -> Result<Source, Diagnostic> {
        let Preprocessed { tokens, files, spellings, .. } = p;
        let mates = match_brackets(&tokens, &files, &spellings)?;
        let mut s = Source {
            tokens: Vec::with_capacity(tokens.len()),
            mates: Vec::new(),
            attributes: Vec::new(),
            pragmas: Vec::new(),
            files,
            spellings,
        };
        let mut i = 0;
        while i < tokens.len() {
            let t = tokens[i];
            let before = s.tokens.len();
            let double = t.is(sym::LBRACKET)
                && tokens.get(i + 1).is_some_and(|n| n.is(sym::LBRACKET))
                && mates[i] == mates[i + 1] + 1;
            let gnu = matches!(t.sym, sym::GNU_ATTRIBUTE | sym::DECLSPEC)
                && t.ident()
                && tokens.get(i + 1).is_some_and(|n| n.is(sym::LPAREN));
            if double {
                let end = mates[i + 1] as usize;
                s.attribute_list(&tokens[i + 2..end], before, false);
                i = end + 2;
            } else if gnu {
                let end = mates[i + 1] as usize;
                let inner = if tokens[i + 2].is(sym::LPAREN) { i + 3..mates[i + 2] as usize } else { i + 2..end };
                s.attribute_list(&tokens[inner], before, true);
                i = end + 1;
            } else if t.kind == Kind::Pragma {
                s.pragmas.push((before, t));
                i += 1;
            } else {
                s.tokens.push(t);
                i += 1;
            }
        }
        s.mates = match_brackets(&s.tokens, &s.files, &s.spellings)?;
        Ok(s)
    }

    fn attribute_list(&mut self, tokens: &[Token], before: usize, gnu: bool) {
        let mut i = 0;
        while i < tokens.len() {
            // The name is the last of `a::b`.
            while tokens.get(i + 1).is_some_and(|t| t.is(sym::SCOPE)) {
                i += 2;
            }
            let Some(name) = tokens.get(i) else { break };
            let mut nesting = 0usize;
            let end = tokens[i..]
                .iter()
                .position(|t| {
                    match t.sym {
                        sym::LPAREN => nesting += 1,
                        sym::RPAREN => nesting = nesting.saturating_sub(1),
                        _ => {}
                    }
                    nesting == 0 && t.is(sym::COMMA)
                })
                .map_or(tokens.len(), |n| i + n);
            if name.ident() {
                let has_args = end > i + 2 && tokens[i + 1].is(sym::LPAREN) && tokens[end - 1].is(sym::RPAREN);
                let args = if has_args { tokens[i + 2..end - 1].to_vec() } else { Vec::new() };
                self.attributes.push(Attribute { before, name: name.sym, args, gnu });
            }
            i = end + 1;
        }
    }

    pub fn is(&self, i: usize, sym: Sym) -> bool {
        self.tokens.get(i).is_some_and(|t| t.is(sym))
    }

    pub fn ident(&self, i: usize) -> bool {
        self.tokens.get(i).is_some_and(Token::ident)
    }

    /// Spelling of token `i`; empty past the end.
    pub fn text(&self, i: usize) -> &str {
        self.tokens.get(i).map_or("", |t| self.spellings.text(t.sym))
    }

    /// The partner of the bracket at `i`; `None` for an angle bracket that is an operator.
    pub fn mate(&self, i: usize) -> Option<usize> {
        let m = *self.mates.get(i)? as usize;
        (m != i).then_some(m)
    }

    /// Index after the bracketed group at `i`, or after the token.
    pub fn after(&self, i: usize) -> usize {
        self.mate(i).filter(|m| *m > i).unwrap_or(i) + 1
    }

    pub fn place(&self, i: usize) -> Place {
        let at = self.tokens.get(i).or(self.tokens.last()).map_or(Pos { line: 1, ..Pos::default() }, |t| t.from);
        at.place(&self.files)
    }

    pub fn error(&self, i: usize, message: impl Into<String>) -> Diagnostic {
        let d = Diagnostic::error(self.place(i), message);
        match self.tokens.get(i) {
            Some(t) if t.at != t.from => d.with_note(format!("the macro's text is at {}", t.at.place(&self.files))),
            _ => d,
        }
    }

    /// Attributes that stand from token `start` up to before token `end`, that one included.
    pub fn attributes_in(&self, start: usize, end: usize) -> &[Attribute] {
        let lo = self.attributes.partition_point(|a| a.before < start);
        let hi = self.attributes.partition_point(|a| a.before <= end);
        &self.attributes[lo..hi.max(lo)]
    }

    /// The first such attribute called `name`.
    pub fn attribute(&self, start: usize, end: usize, name: &str) -> Option<&Attribute> {
        self.attributes_in(start, end).iter().find(|a| self.spellings.text(a.name) == name)
    }
}

/// Partners of brackets. Angle brackets pair where one can between the other kinds and semicolons.
fn match_brackets(tokens: &[Token], files: &[Arc<str>], spellings: &Spellings) -> Result<Vec<u32>, Diagnostic> {
    let mut mates: Vec<u32> = (0..tokens.len() as u32).collect();
    let mut open: Vec<usize> = Vec::new();
    for (i, t) in tokens.iter().enumerate() {
        if t.kind != Kind::Punct {
            continue;
        }
        let opener = match t.sym {
            sym::LPAREN | sym::LBRACKET | sym::LBRACE => {
                open.push(i);
                continue;
            }
            sym::LESS => {
                if i > 0 && tokens[i - 1].ident() && tokens[i - 1].sym != sym::OPERATOR {
                    open.push(i);
                }
                continue;
            }
            sym::GREATER => {
                if let Some(&o) = open.last()
                    && tokens[o].sym == sym::LESS
                    && tokens[i - 1].sym != sym::OPERATOR
                {
                    open.pop();
                    (mates[o], mates[i]) = (i as u32, o as u32);
                }
                continue;
            }
            sym::SEMI => {
                while open.last().is_some_and(|o| tokens[*o].sym == sym::LESS) {
                    open.pop();
                }
                continue;
            }
            sym::RPAREN => sym::LPAREN,
            sym::RBRACKET => sym::LBRACKET,
            sym::RBRACE => sym::LBRACE,
            _ => continue,
        };
        while open.last().is_some_and(|o| tokens[*o].sym == sym::LESS) {
            open.pop();
        }
        match open.pop() {
            Some(o) if tokens[o].sym == opener => (mates[o], mates[i]) = (i as u32, o as u32),
            Some(o) => {
                let message = format!("this {} does not close the last open bracket", spellings.text(t.sym));
                let note = format!("{} is open since {}", spellings.text(tokens[o].sym), tokens[o].from.place(files));
                return Err(Diagnostic::error(t.from.place(files), message).with_note(note));
            }
            None => {
                let message = format!("this {} closes nothing", spellings.text(t.sym));
                return Err(Diagnostic::error(t.from.place(files), message));
            }
        }
    }
    match open.iter().find(|o| tokens[**o].sym != sym::LESS) {
        Some(&o) => {
            let message = format!("this {} is never closed", spellings.text(tokens[o].sym));
            Err(Diagnostic::error(tokens[o].from.place(files), message))
        }
        None => Ok(mates),
    }
}
