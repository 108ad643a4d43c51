//! A parsed unit with the indices that reflection and lowering share.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::Diagnostic;
use crate::parse::{self, Item, ItemKind, Items, Source};
use crate::token::{SPACE, Sym, Token, sym};

/// Tokens, items, and who declares what.
#[derive(Debug)]
pub(crate) struct Program {
    pub source: Source,
    pub items: Items,
    /// Items at namespace scope by each name that they declare.
    pub by_name: HashMap<Sym, Vec<usize>>,
    /// Constant expressions and types that may still be looked into. Ends what hostile nesting would make endless.
    fuel: AtomicU32,
}

/// Tokens that a type or expression may grow to when names are replaced.
const MAX_REPLACED: usize = 4096;
/// Types and constant expressions looked into for one unit at most.
const FUEL: u32 = 4_000_000;

/// What names stand for inside a template's instantiation or a body.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings(pub HashMap<Sym, Vec<Token>>);

impl Program {
    pub fn new(source: Source) -> Result<Program, Diagnostic> {
        let items = parse::parse(&source)?;
        let mut by_name: HashMap<Sym, Vec<usize>> = HashMap::new();
        for (i, item) in items.items.iter().enumerate() {
            if !items.scopes[item.scope].class {
                for name in &item.names {
                    let list = by_name.entry(*name).or_default();
                    if list.last() != Some(&i) {
                        list.push(i);
                    }
                }
            }
        }
        Ok(Program { source, items, by_name, fuel: AtomicU32::new(FUEL) })
    }

    /// Takes one look into a type or expression from the budget; false where none is left.
    pub fn spend(&self) -> bool {
        self.fuel.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok()
    }

    pub fn tokens(&self, range: Range<usize>) -> &[Token] {
        &self.source.tokens[range]
    }

    pub fn item(&self, i: usize) -> &Item {
        &self.items.items[i]
    }

    /// Items at namespace scope that declare `name`.
    pub fn named(&self, name: Sym) -> impl Iterator<Item = &Item> {
        self.by_name.get(&name).into_iter().flatten().map(|i| self.item(*i))
    }

    /// The names of the scopes around an item's scope: `a::b::`, or nothing at file scope.
    pub fn scope_prefix(&self, mut scope: usize) -> String {
        let mut prefix = String::new();
        while scope != 0 {
            let s = &self.items.scopes[scope];
            if !s.name.is_empty() {
                prefix.insert_str(0, &format!("{}::", s.name));
            }
            scope = s.parent;
        }
        prefix
    }

    /// Tokens as text, names replaced as `bindings` has them.
    pub fn spell(&self, tokens: &[Token], bindings: &Bindings) -> String {
        let mut text = String::new();
        self.spell_into(&mut text, tokens, Some(bindings));
        text
    }

    fn spell_into(&self, text: &mut String, tokens: &[Token], bindings: Option<&Bindings>) {
        for (i, t) in tokens.iter().enumerate() {
            let spelling = self.source.spellings.text(t.sym);
            let spaced = i > 0 && t.has(SPACE) || glues(text, spelling);
            if spaced && !text.is_empty() && !text.ends_with(' ') {
                text.push(' ');
            }
            match bindings.and_then(|b| b.0.get(&t.sym)) {
                Some(replaced) if t.ident() && !(i > 0 && tokens[i - 1].is(sym::SCOPE)) => {
                    self.spell_into(text, replaced, None);
                }
                _ => text.push_str(spelling),
            }
        }
    }

    /// What the parameters of a template stand for, given its arguments.
    pub fn bind(&self, list: Option<(usize, usize)>, args: &[Range<usize>]) -> Bindings {
        let mut bindings = Bindings::default();
        let Some(list) = list else { return bindings };
        for (i, param) in self.source.template_params(list).into_iter().enumerate() {
            let Some(name) = param.name else { continue };
            let range = args.get(i).cloned().unwrap_or(param.default);
            if !range.is_empty() {
                let own = self.tokens(range);
                let tokens = if i < args.len() { own.to_vec() } else { self.replaced(own, &bindings) };
                bindings.0.insert(name, tokens);
            }
        }
        bindings
    }

    /// Tokens with bound names replaced, once; as they are where that would give very many.
    pub fn replaced(&self, tokens: &[Token], bindings: &Bindings) -> Vec<Token> {
        let mut out = Vec::with_capacity(tokens.len());
        for t in tokens {
            if out.len() > MAX_REPLACED {
                return tokens.to_vec();
            }
            match bindings.0.get(&t.sym) {
                Some(r) if t.ident() => out.extend_from_slice(r),
                _ => out.push(*t),
            }
        }
        out
    }

    /// The tokens that an alias stands for.
    pub fn alias(&self, name: Sym) -> Option<&[Token]> {
        let s = &self.source;
        self.named(name).find_map(|item| {
            if !matches!(item.kind, ItemKind::Alias) || item.template.is_some() {
                return None;
            }
            let Range { start, end } = item.range;
            if s.is(start, sym::USING) && s.is(start + 2, sym::ASSIGN) {
                return Some(self.tokens(start + 3..end - 1));
            }
            let (ty, _) = s.type_end(start + 1, end - 1);
            let d = s.declarator(ty, end - 1);
            (s.is(start, sym::TYPEDEF) && !d.indirect() && d.dims.is_empty() && d.end == end - 1)
                .then(|| self.tokens(start + 1..ty))
        })
    }
}

/// Whether `text` and `next` would become one token without a space between them.
pub(crate) fn glues(text: &str, next: &str) -> bool {
    let (Some(&a), Some(&b)) = (text.as_bytes().last(), next.as_bytes().first()) else { return false };
    let word = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'$' || c >= 0x80;
    word(a) && (word(b) || b == b'"' || b == b'\'')
        || a == b'.' && b.is_ascii_digit()
        || b == b'.' && a.is_ascii_digit()
        || b"+-*/%&|^<>=!:.#".contains(&a)
            && b"=+-*/&|<>:.#".contains(&b)
            && !matches!((a, b), (b'>', b'>' | b'*' | b'&' | b':'))
}
