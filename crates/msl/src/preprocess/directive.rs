//! Directives: `#define`, `#include`, conditionals, pragmas.

use super::{Condition, MAX_FILES, MAX_INCLUDE_DEPTH, Macro, Preprocessor};
use crate::Diagnostic;
use crate::options::IncludeForm;
use crate::token::{Kind, SPACE, Token, sym};

impl Preprocessor<'_> {
    /// Obeys one line; `line[0]` is the `#`.
    pub(super) fn directive(&mut self, line: &[Token], conditions: &mut Vec<Condition>, depth: usize) {
        let Some(name) = line.get(1) else { return };
        let live = conditions.last().is_none_or(|c| c.live);
        let rest = &line[2..];
        match self.text(name) {
            "if" => self.open(name, conditions, |p| p.condition(name, rest)),
            "ifdef" => self.open(name, conditions, |p| p.is_defined(name, rest)),
            "ifndef" => self.open(name, conditions, |p| !p.is_defined(name, rest)),
            "elif" => self.turn(name, conditions, |p| p.condition(name, rest)),
            "elifdef" => self.turn(name, conditions, |p| p.is_defined(name, rest)),
            "elifndef" => self.turn(name, conditions, |p| !p.is_defined(name, rest)),
            "else" => {
                self.turn(name, conditions, |_| true);
                if let Some(c) = conditions.last_mut() {
                    c.else_seen = true;
                }
            }
            "endif" => {
                if conditions.pop().is_none() {
                    self.error(name.from, "#endif without #if");
                }
            }
            _ if !live => {}
            "define" => self.define(name, rest),
            "undef" => match rest.first() {
                Some(t) if t.ident() => {
                    self.macros.remove(&t.sym);
                }
                _ => self.error(name.from, "#undef takes a name"),
            },
            "include" | "import" => self.include(name, rest, depth),
            "error" => {
                let text = self.spelled(rest);
                self.error(name.from, format!("#error {text}"));
            }
            "warning" => {
                let text = self.spelled(rest);
                self.report(Diagnostic::warning(name.from.place(&self.files), text));
            }
            "pragma" => self.pragma_directive(rest, name),
            "line" | "ident" => {}
            // `# 12 "file"`, as preprocessors write it.
            _ if name.kind == Kind::Number => {}
            other => {
                let message = format!("#{other} is not a directive");
                self.error(name.from, message);
            }
        }
    }

    fn open(&mut self, at: &Token, conditions: &mut Vec<Condition>, test: impl FnOnce(&mut Self) -> bool) {
        let outer = conditions.last().is_none_or(|c| c.live);
        let live = outer && test(self);
        conditions.push(Condition { at: at.from, taken: live, live, outer, else_seen: false });
    }

    fn turn(&mut self, at: &Token, conditions: &mut [Condition], test: impl FnOnce(&mut Self) -> bool) {
        let Some(c) = conditions.last_mut() else {
            let name = self.text(at).to_owned();
            return self.error(at.from, format!("#{name} without #if"));
        };
        if c.else_seen {
            self.error(at.from, "this comes after #else");
        }
        c.live = c.outer && !c.taken && test(self);
        c.taken |= c.live;
    }

    fn is_defined(&mut self, at: &Token, rest: &[Token]) -> bool {
        match rest.first() {
            Some(t) if t.ident() => self.defined(t),
            _ => {
                self.error(at.from, "a macro's name is missing");
                false
            }
        }
    }

    pub(super) fn defined(&self, t: &Token) -> bool {
        self.macros.contains_key(&t.sym)
            || matches!(self.text(t), "__LINE__" | "__FILE__" | "__COUNTER__" | "__has_include" | "__has_builtin")
    }

    fn define(&mut self, at: &Token, rest: &[Token]) {
        let Some((name, mut body)) = rest.split_first().filter(|(t, _)| t.ident()) else {
            return self.error(at.from, "#define takes a name");
        };
        if name.sym == sym::DEFINED {
            return self.error(name.from, "\"defined\" cannot be a macro");
        }
        let mut params = None;
        let mut variadic = false;
        if body.first().is_some_and(|t| t.is(sym::LPAREN) && !t.has(SPACE)) {
            let Some((list, dots, used)) = parameters(body) else {
                return self.error(name.from, "the macro's parameters are not a list of names");
            };
            params = Some(list);
            variadic = dots;
            body = &body[used..];
        }
        let paste = |t: Option<&Token>| t.is_some_and(|t| t.is(sym::PASTE));
        if paste(body.first()) || paste(body.last()) {
            return self.error(name.from, "## stands at an end of the macro");
        }
        self.macros.insert(name.sym, Macro { params, variadic, body: body.into(), active: 0 });
    }

    fn include(&mut self, at: &Token, rest: &[Token], depth: usize) {
        let expanded;
        let operand = match rest.first() {
            Some(t) if t.ident() => {
                let mut out = Vec::new();
                self.expand(rest, &mut out, 0);
                expanded = out;
                &expanded[..]
            }
            _ => rest,
        };
        let Some((form, name)) = self.header(operand) else {
            return self.error(at.from, "#include takes \"file\" or <file>");
        };
        if system_header(&name) {
            return;
        }
        if depth + 1 >= MAX_INCLUDE_DEPTH {
            self.stopped = true;
            let message = format!("includes are nested more than {MAX_INCLUDE_DEPTH} deep, here by {name:?}");
            return self.error(at.from, message);
        }
        self.includes += 1;
        if self.includes > MAX_FILES {
            self.stopped = true;
            return self.error(at.from, format!("more than {MAX_FILES} files are included"));
        }
        let from = self.files[at.from.file as usize].clone();
        match self.options.loader.load(&name, form, &from) {
            Some(file) if self.once.contains(file.name.as_str()) => {}
            Some(file) => self.source(&file.name, &file.text, depth + 1),
            None => self.error(at.from, format!("include file {name:?} is not found")),
        }
    }

    /// The file that an `#include` or a `__has_include` names.
    fn header(&self, operand: &[Token]) -> Option<(IncludeForm, String)> {
        let first = operand.first()?;
        if first.kind == Kind::Str {
            return Some((IncludeForm::Quoted, self.text(first).trim_matches('"').to_owned()));
        }
        let end = operand.iter().position(|t| t.is(sym::GREATER))?;
        first.is(sym::LESS).then(|| (IncludeForm::Angled, self.spelled(&operand[1..end])))
    }

    /// `__has_include(..)`, with the operand in its parentheses.
    pub(super) fn has_include(&self, operand: &[Token], at: &Token) -> bool {
        let from = &self.files[at.from.file as usize];
        self.header(operand)
            .is_some_and(|(form, name)| system_header(&name) || self.options.loader.load(&name, form, from).is_some())
    }

    fn pragma_directive(&mut self, rest: &[Token], at: &Token) {
        if rest.first().is_some_and(|t| t.sym == sym::ONCE) {
            let file = self.files[at.from.file as usize].clone();
            self.once.insert(file);
            return;
        }
        let first = rest.first().map_or("", |t| self.text(t));
        let mut out = Vec::new();
        let tokens = if matches!(first, "unroll" | "nounroll" | "clang") {
            self.expand(rest, &mut out, 0);
            &out[..]
        } else {
            rest
        };
        let text = self.spelled(tokens);
        let mut out = std::mem::take(&mut self.out);
        self.pragma(&text, at.from, &mut out);
        self.out = out;
    }

    /// Tokens as text, with a space wherever there was one.
    fn spelled(&self, tokens: &[Token]) -> String {
        let mut text = String::new();
        for (i, t) in tokens.iter().enumerate() {
            if i > 0 && t.has(SPACE) {
                text.push(' ');
            }
            text.push_str(self.text(t));
        }
        text
    }
}

/// Headers of Metal's own library, which the support library stands for.
fn system_header(name: &str) -> bool {
    name.starts_with("metal_")
        || name.starts_with("metal/")
        || name.starts_with("simd/")
        || name == "TargetConditionals.h"
}

/// The parameters of `#define name(..)`: their names, whether the last takes all further arguments, tokens read.
fn parameters(body: &[Token]) -> Option<(Vec<crate::token::Sym>, bool, usize)> {
    let mut params = Vec::new();
    let mut i = 1;
    if body.get(1)?.is(sym::RPAREN) {
        return Some((params, false, 2));
    }
    loop {
        let t = body.get(i)?;
        let mut next = body.get(i + 1)?;
        let mut dots = false;
        if t.is(sym::ELLIPSIS) {
            params.push(sym::VA_ARGS);
            dots = true;
        } else if t.ident() && !params.contains(&t.sym) {
            params.push(t.sym);
            if next.is(sym::ELLIPSIS) {
                dots = true;
                i += 1;
                next = body.get(i + 1)?;
            }
        } else {
            return None;
        }
        if next.is(sym::RPAREN) {
            return Some((params, dots, i + 2));
        }
        if dots || !next.is(sym::COMMA) {
            return None;
        }
        i += 2;
    }
}
