//! Expansion of macros.

use std::rc::Rc;

use super::{MAX_DEPTH, Macro, Preprocessor};
use crate::lexer;
use crate::token::{FIRST, Kind, PAINTED, Pos, SPACE, Sym, Token, sym};

/// Expansions that end in expansions at most.
const MAX_CONTEXTS: usize = 4000;

/// Tokens being read, and the macro whose expansion they are.
struct Context {
    tokens: Rc<[Token]>,
    next: usize,
    name: Option<Sym>,
}

/// The tokens still to be read: the innermost expansion on top.
struct Input {
    stack: Vec<Context>,
}

/// An argument of a macro's use, and its expansion once that is needed.
struct Argument {
    tokens: Vec<Token>,
    expanded: Option<Vec<Token>>,
}

/// One use of a macro.
struct Use<'a> {
    definition: &'a Macro,
    name: &'a Token,
    /// Arguments that this use is inside of.
    depth: usize,
}

impl Input {
    fn peek(&self) -> Option<&Token> {
        self.stack.iter().rev().find_map(|c| c.tokens.get(c.next))
    }
}

impl Preprocessor<'_> {
    /// Expands `tokens` to `out`.
    pub(super) fn expand(&mut self, tokens: &[Token], out: &mut Vec<Token>, depth: usize) {
        let mut input = Input { stack: vec![Context { tokens: tokens.into(), next: 0, name: None }] };
        while let Some(t) = self.next(&mut input) {
            if self.stopped {
                break;
            }
            if t.kind != Kind::Ident || t.has(PAINTED) || !self.expand_name(&t, &mut input, out, depth) {
                out.push(t);
            }
        }
        for c in &input.stack {
            self.leave(c);
        }
    }

    fn leave(&mut self, c: &Context) {
        if let Some(m) = c.name.and_then(|name| self.macros.get_mut(&name)) {
            m.active = m.active.saturating_sub(1);
        }
    }

    /// The next token. A macro's name inside its own expansion is painted.
    fn next(&mut self, input: &mut Input) -> Option<Token> {
        loop {
            let top = input.stack.last_mut()?;
            if let Some(&t) = top.tokens.get(top.next) {
                top.next += 1;
                let mut t = t;
                if t.kind == Kind::Ident && self.macros.get(&t.sym).is_some_and(|m| m.active > 0) {
                    t.flags |= PAINTED;
                }
                return Some(t);
            }
            if let Some(done) = input.stack.pop() {
                self.leave(&done);
            }
        }
    }

    /// Puts the expansion of the name `t` in front of the input. False where it is an ordinary name.
    fn expand_name(&mut self, t: &Token, input: &mut Input, out: &mut Vec<Token>, depth: usize) -> bool {
        match t.sym {
            sym::LINE | sym::COUNTER => {
                let value = if t.sym == sym::LINE { t.from.line } else { self.counter };
                self.counter += u32::from(t.sym == sym::COUNTER);
                let sym = self.spellings.intern(&value.to_string());
                out.push(Token { kind: Kind::Number, sym, ..*t });
                return true;
            }
            sym::FILE => {
                let text = quote(&self.files[t.from.file as usize]);
                out.push(Token { kind: Kind::Str, sym: self.spellings.intern(&text), ..*t });
                return true;
            }
            sym::PRAGMA_OPERATOR => return self.pragma_operator(t, input, out),
            _ => {}
        }
        let Some(m) = self.macros.get(&t.sym) else { return false };
        let expansion = if m.params.is_none() {
            let m = m.clone();
            self.substitute(&Use { definition: &m, name: t, depth }, &mut [])
        } else {
            if !input.peek().is_some_and(|p| p.is(sym::LPAREN)) {
                return false;
            }
            let m = m.clone();
            let Some(mut args) = self.arguments(t, &m, input) else { return true };
            self.substitute(&Use { definition: &m, name: t, depth }, &mut args)
        };
        self.spend(t.from, expansion.len() + 1);
        if input.stack.len() > MAX_CONTEXTS {
            self.stopped = true;
            self.error(t.from, format!("macros give macros more than {MAX_CONTEXTS} deep"));
        }
        if let Some(m) = self.macros.get_mut(&t.sym) {
            m.active += 1;
        }
        input.stack.push(Context { tokens: expansion.into(), next: 0, name: Some(t.sym) });
        true
    }

    /// `_Pragma("text")`.
    fn pragma_operator(&mut self, t: &Token, input: &mut Input, out: &mut Vec<Token>) -> bool {
        let parts: Vec<Token> = (0..3).map_while(|_| self.next(input)).collect();
        let [open, text, close] = parts[..] else {
            self.error(t.from, "_Pragma takes one string in parentheses");
            return true;
        };
        if !open.is(sym::LPAREN) || text.kind != Kind::Str || !close.is(sym::RPAREN) {
            self.error(t.from, "_Pragma takes one string in parentheses");
            return true;
        }
        let text = self.text(&text).trim_matches('"').replace("\\\"", "\"").replace("\\\\", "\\");
        self.pragma(&text, t.from, out);
        true
    }

    /// The arguments of the use `t` of a macro, from the open parenthesis on.
    fn arguments(&mut self, t: &Token, m: &Macro, input: &mut Input) -> Option<Vec<Argument>> {
        let count = m.params.as_ref().map_or(0, Vec::len);
        self.next(input);
        let mut args = vec![Vec::new()];
        let mut nesting = 0usize;
        loop {
            let Some(a) = self.next(input) else {
                self.error(t.from, format!("the arguments of macro {} have no closing )", self.text(t)));
                return None;
            };
            self.spend(t.from, 1);
            if self.stopped {
                return None;
            }
            match a.sym {
                _ if a.kind != Kind::Punct => {}
                sym::LPAREN => nesting += 1,
                sym::RPAREN if nesting == 0 => break,
                sym::RPAREN => nesting -= 1,
                sym::COMMA if nesting == 0 && !(m.variadic && args.len() >= count) => {
                    args.push(Vec::new());
                    continue;
                }
                _ => {}
            }
            if let Some(last) = args.last_mut() {
                last.push(a);
            }
        }
        let empty = args.len() == 1 && args[0].is_empty();
        if empty && count == 0 {
            args.clear();
        }
        if m.variadic && args.len() + 1 == count {
            args.push(Vec::new());
        }
        if args.len() != count {
            let name = self.text(t).to_owned();
            self.error(t.from, format!("macro {name} takes {count} arguments, {} are given", args.len()));
            return None;
        }
        Some(args.into_iter().map(|tokens| Argument { tokens, expanded: None }).collect())
    }

    /// The body of the macro with its arguments in place.
    fn substitute(&mut self, use_: &Use<'_>, args: &mut [Argument]) -> Vec<Token> {
        let mut out: Vec<Token> = Vec::with_capacity(use_.definition.body.len());
        self.substitute_into(&use_.definition.body, use_, args, &mut out);
        if let Some(first) = out.first_mut() {
            first.flags = first.flags & !(SPACE | FIRST) | use_.name.flags & (SPACE | FIRST);
        }
        out
    }

    fn substitute_into(&mut self, body: &[Token], use_: &Use<'_>, args: &mut [Argument], out: &mut Vec<Token>) {
        let Use { definition: m, name, depth } = *use_;
        let pasted_at = |i: usize| body.get(i).is_some_and(|n| n.is(sym::PASTE));
        let mut i = 0;
        // The next operand is pasted to the last token of `out`, unless it or all operands before it were empty.
        let mut paste = false;
        let mut left_empty = false;
        while i < body.len() && !self.stopped {
            let t = &body[i];
            if t.is(sym::PASTE) && i > 0 {
                paste = true;
                i += 1;
                continue;
            }
            let mut piece: Vec<Token> = Vec::new();
            let next_param = body.get(i + 1).and_then(|n| m.param(n));
            if t.is(sym::HASH)
                && m.params.is_some()
                && let Some(index) = next_param
            {
                let text = self.stringized(&args[index].tokens);
                let sym = self.spellings.intern(&text);
                piece.push(Token { kind: Kind::Str, sym, from: name.from, ..*t });
                i += 1;
            } else if t.is(sym::VA_OPT) && m.variadic && body.get(i + 1).is_some_and(|n| n.is(sym::LPAREN)) {
                let close = closing(body, i + 1);
                let last = args.len().saturating_sub(1);
                if !args.is_empty() && !self.argument(args, last, depth).is_empty() {
                    self.substitute_into(&body[i + 2..close], use_, args, &mut piece);
                }
                i = close;
            } else if let Some(index) = m.param(t) {
                // GNU: in `, ## __VA_ARGS__` the comma goes with an absent list, and nothing is pasted.
                let rest = m.variadic && index + 1 == args.len();
                let comma = paste && rest && out.last().is_some_and(|l| l.is(sym::COMMA));
                if comma && args[index].tokens.is_empty() {
                    out.pop();
                }
                let raw = (paste && !comma) || pasted_at(i + 1);
                paste &= !comma;
                piece = if raw { args[index].tokens.clone() } else { self.argument(args, index, depth).to_vec() };
                if let Some(first) = piece.first_mut() {
                    first.flags = first.flags & !(SPACE | FIRST) | t.flags & SPACE;
                }
            } else {
                piece.push(Token { from: name.from, flags: t.flags & !FIRST, ..*t });
            }
            self.spend(name.from, piece.len());
            let empty = piece.is_empty();
            if paste && !left_empty && !empty {
                self.paste(name.from, &piece[0], out);
                out.extend_from_slice(&piece[1..]);
            } else {
                out.extend(piece);
            }
            left_empty = empty && (!paste || left_empty) && pasted_at(i + 1);
            paste = false;
            i += 1;
        }
    }

    /// An argument, expanded.
    fn argument<'b>(&mut self, args: &'b mut [Argument], index: usize, depth: usize) -> &'b [Token] {
        let arg = &mut args[index];
        if arg.expanded.is_none() {
            let mut out = Vec::with_capacity(arg.tokens.len());
            if depth >= MAX_DEPTH {
                if let Some(t) = arg.tokens.first() {
                    let at = t.from;
                    self.stopped = true;
                    self.error(at, format!("macros are nested more than {MAX_DEPTH} deep"));
                }
            } else {
                self.expand(&arg.tokens, &mut out, depth + 1);
            }
            arg.expanded = Some(out);
        }
        arg.expanded.as_deref().unwrap_or(&[])
    }

    /// `##`: the last token of `out` and `right` become one.
    fn paste(&mut self, from: Pos, right: &Token, out: &mut Vec<Token>) {
        let Some(left) = out.pop() else {
            out.push(*right);
            return;
        };
        let text = format!("{}{}", self.text(&left), self.text(right));
        match lexer::single(&text) {
            Some(kind) => {
                let sym = self.spellings.intern(&text);
                out.push(Token { kind, sym, flags: left.flags & !PAINTED, ..left });
            }
            None => {
                self.error(from, format!("## makes {text:?}, which is not one token"));
                out.push(left);
                out.push(*right);
            }
        }
    }

    /// `#`: the spelling of an argument as a string.
    fn stringized(&self, tokens: &[Token]) -> String {
        let mut text = String::new();
        for (i, t) in tokens.iter().enumerate() {
            if i > 0 && t.flags & (SPACE | FIRST) != 0 {
                text.push(' ');
            }
            let spelling = self.text(t);
            match t.kind {
                Kind::Str | Kind::Char => text.push_str(&spelling.replace('\\', "\\\\").replace('"', "\\\"")),
                _ => text.push_str(spelling),
            }
        }
        format!("\"{text}\"")
    }

    /// A pragma that later stages see. `once` has been dealt with.
    pub(super) fn pragma(&mut self, text: &str, from: Pos, out: &mut Vec<Token>) {
        let sym = self.spellings.intern(text.trim());
        out.push(Token { kind: Kind::Pragma, flags: FIRST, sym, at: from, from });
    }
}

/// Text as a C string literal.
fn quote(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Index of the parenthesis that closes the one at `open`, or the end.
fn closing(body: &[Token], open: usize) -> usize {
    let mut nesting = 0usize;
    for (i, t) in body.iter().enumerate().skip(open) {
        if t.is(sym::LPAREN) {
            nesting += 1;
        } else if t.is(sym::RPAREN) {
            nesting -= 1;
            if nesting == 0 {
                return i;
            }
        }
    }
    body.len()
}
