//! The C preprocessor: a file and all it includes become one list of tokens without directives and macros.
//!
//! Tokens keep two places. One that stands in a macro's body is reported where the user wrote the macro's use; one
//! that was an argument of that use is reported where it stands itself.

mod directive;
mod expand;
mod expression;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;

use crate::options::ParseOptions;
use crate::token::{FIRST, GLUED, Kind, Pos, SPACE, Spellings, Sym, Token, sym};
use crate::{Diagnostic, Severity, lexer};

/// Includes inside includes at most.
const MAX_INCLUDE_DEPTH: usize = 100;
/// Files read at most, repetitions counted.
const MAX_FILES: usize = 4000;
/// Tokens that macros and includes may give together.
const MAX_TOKENS: usize = 4_000_000;
/// Uses of macros inside arguments of uses of macros, and operators inside operators of `#if`, at most.
const MAX_DEPTH: usize = 100;
/// Errors after which reading stops.
const MAX_ERRORS: usize = 40;

/// What a source becomes.
pub(crate) struct Preprocessed {
    pub tokens: Vec<Token>,
    pub files: Vec<Arc<str>>,
    pub spellings: Spellings,
    pub diagnostics: Vec<Diagnostic>,
}

/// A macro's definition.
#[derive(Clone)]
struct Macro {
    /// Names of the parameters; `None` for a macro without parentheses.
    params: Option<Vec<Sym>>,
    /// The last parameter takes all further arguments.
    variadic: bool,
    body: Rc<[Token]>,
    /// Expansions of it that are being read.
    active: u32,
}

/// One `#if` that is open.
struct Condition {
    at: Pos,
    /// A group of it was taken.
    taken: bool,
    /// The present group is read.
    live: bool,
    /// The group outside is read.
    outer: bool,
    else_seen: bool,
}

struct Preprocessor<'a> {
    options: &'a ParseOptions<'a>,
    spellings: Spellings,
    files: Vec<Arc<str>>,
    macros: HashMap<Sym, Macro>,
    once: HashSet<Arc<str>>,
    out: Vec<Token>,
    diagnostics: Vec<Diagnostic>,
    /// Tokens and expansions that are still allowed.
    budget: usize,
    counter: u32,
    includes: usize,
    /// Reading stopped: a limit was passed.
    stopped: bool,
}

/// Reads `text` and what it includes.
pub(crate) fn preprocess(name: &str, text: &str, options: &ParseOptions<'_>) -> Preprocessed {
    let mut p = Preprocessor {
        options,
        spellings: Spellings::new(),
        files: Vec::new(),
        macros: HashMap::new(),
        once: HashSet::new(),
        out: Vec::new(),
        diagnostics: Vec::new(),
        budget: MAX_TOKENS,
        counter: 0,
        includes: 0,
        stopped: false,
    };
    let predefined = p.predefined();
    p.source("<command line>", &predefined, 0);
    p.out.clear();
    p.source(name, text, 0);
    let tokens = split_shifts(std::mem::take(&mut p.out));
    for t in &tokens {
        if t.kind == Kind::Other {
            p.diagnostics.push(lexer::stray(t, p.spellings.text(t.sym), &p.files));
            break;
        }
    }
    Preprocessed { tokens, files: p.files, spellings: p.spellings, diagnostics: p.diagnostics }
}

/// `>>` as two tokens, so that template arguments close with one each.
fn split_shifts(tokens: Vec<Token>) -> Vec<Token> {
    let mut out = Vec::with_capacity(tokens.len() + tokens.len() / 64);
    for mut t in tokens {
        if t.is(sym::SHIFT_RIGHT) {
            t.sym = sym::GREATER;
            out.push(t);
            t.flags = t.flags & !(FIRST | SPACE) | GLUED;
            t.at.column += 1;
            t.from.column += 1;
        }
        out.push(t);
    }
    out
}

impl Preprocessor<'_> {
    /// What Metal's compiler and its standard library define, then the caller's macros.
    fn predefined(&self) -> String {
        let mut text = format!(
            "#define __METAL_VERSION__ {}\n\
             #define __METAL__ 1\n\
             #define __METAL_MACOS__ 1\n\
             #define __HAVE_BFLOAT__ 1\n\
             #define __HAVE_SIMDGROUP_MATRIX__ 1\n\
             #define __clang__ 1\n\
             #define __cplusplus 201703L\n\
             #define __APPLE__ 1\n\
             #define TARGET_OS_OSX 1\n\
             #define METAL_FUNC inline\n\
             #define METAL_CONST_FUNC inline\n\
             #define METAL_ALIGN(x) alignas(x)\n",
            self.options.metal_version
        );
        for (name, value) in self.options.defines {
            text.push_str(&format!("#define {} {}\n", name.replace('\n', " "), value.replace('\n', " ")));
        }
        text
    }

    fn error(&mut self, at: Pos, message: impl Into<String>) {
        self.report(Diagnostic::error(at.place(&self.files), message));
    }

    fn report(&mut self, d: Diagnostic) {
        let errors = self.diagnostics.iter().filter(|d| d.severity == Severity::Error).count();
        if errors >= MAX_ERRORS {
            self.stopped = true;
        } else {
            self.diagnostics.push(d);
        }
    }

    fn text(&self, t: &Token) -> &str {
        self.spellings.text(t.sym)
    }

    /// Takes `n` from what macros and includes may still give.
    fn spend(&mut self, at: Pos, n: usize) {
        if self.stopped {
            return;
        }
        match self.budget.checked_sub(n) {
            Some(rest) => self.budget = rest,
            None => {
                self.stopped = true;
                self.error(at, format!("macros and includes give more than {MAX_TOKENS} tokens"));
            }
        }
    }

    /// Reads one file.
    fn source(&mut self, name: &str, text: &str, depth: usize) {
        let file = self.files.len() as u32;
        self.files.push(name.into());
        let mut complaints = Vec::new();
        let tokens =
            lexer::lex(text, file, &mut self.spellings, |at, message| complaints.push((at, message.to_owned())));
        for (at, message) in complaints {
            self.error(at, message);
        }
        let start = Pos { file, line: 1, column: 1 };
        self.spend(start, tokens.len());
        let mut conditions: Vec<Condition> = Vec::new();
        let mut i = 0;
        while i < tokens.len() && !self.stopped {
            let live = conditions.last().is_none_or(|c| c.live);
            if tokens[i].is(sym::HASH) && tokens[i].has(FIRST) {
                let end = line_end(&tokens, i + 1);
                self.directive(&tokens[i..end], &mut conditions, depth);
                i = end;
                continue;
            }
            let end = tokens[i + 1..]
                .iter()
                .position(|t| t.is(sym::HASH) && t.has(FIRST))
                .map_or(tokens.len(), |n| i + 1 + n);
            if live {
                let mut out = std::mem::take(&mut self.out);
                self.expand(&tokens[i..end], &mut out, 0);
                self.out = out;
            }
            i = end;
        }
        if let Some(c) = conditions.last()
            && !self.stopped
        {
            self.error(c.at, "this conditional has no #endif");
        }
    }
}

/// Index of the first token of the next line.
fn line_end(tokens: &[Token], from: usize) -> usize {
    tokens[from..].iter().position(|t| t.has(FIRST)).map_or(tokens.len(), |n| from + n)
}

impl Macro {
    /// Which parameter `t` names.
    fn param(&self, t: &Token) -> Option<usize> {
        let params = self.params.as_ref()?;
        if t.ident() { params.iter().position(|p| *p == t.sym) } else { None }
    }
}
