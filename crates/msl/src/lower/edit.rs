//! What changes from Metal's tokens to C++'s, whatever the entry and the target.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use crate::literal;
use crate::parse::{Function, Item, ItemKind, qualifier};
use crate::program::{Program, glues};
use crate::token::{Kind, SPACE, Sym, sym};
use crate::{Diagnostic, Place};

/// What becomes of one token.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) enum Edit {
    /// Stays.
    #[default]
    Keep,
    /// Goes.
    Drop,
    /// Becomes this text.
    Text(Box<str>),
}

/// The edits of a unit, and what is wrong with parts of it that nobody may need.
#[derive(Debug)]
pub(crate) struct Edits {
    pub edits: Vec<Edit>,
    /// Errors by the token they are about: raised when that token is lowered.
    pub problems: Vec<(usize, Diagnostic)>,
}

impl Edits {
    pub fn new(p: &Program) -> Edits {
        let mut e = Edits { edits: vec![Edit::Keep; p.source.tokens.len()], problems: Vec::new() };
        let members = e.members(p);
        for i in 0..p.source.tokens.len() {
            e.token(p, i, &members);
        }
        e.conditionals(p);
        for i in 0..p.source.tokens.len() {
            e.filled_array(p, i);
        }
        for (i, item) in p.items.items.iter().enumerate() {
            if let ItemKind::Variable { .. } = item.kind {
                e.variable(p, i);
            }
        }
        for item in &p.items.items {
            // Clang takes a specialization by a name that a using directive made visible, other compilers do not.
            if item.scope == 0
                && let Some(name) = p.library_specialization(item)
                && !p.source.is(name - 1, sym::SCOPE)
            {
                let text = format!("metal::{}", p.source.text(name));
                e.text(name, text);
            }
            if let ItemKind::Function(f) = &item.kind
                && let Some(body) = f.body
            {
                e.threadgroup_variables(p, body);
            }
        }
        for i in 0..p.items.items.len() {
            e.constructor(p, i);
        }
        e.merge_overloads(p);
        e
    }

    /// Names of members that the source itself declares.
    fn members(&self, p: &Program) -> HashSet<Sym> {
        let class = |scope: usize| p.items.scopes[scope].class;
        p.items.items.iter().filter(|i| class(i.scope)).flat_map(|i| i.names.iter().copied()).collect()
    }

    fn drop(&mut self, i: usize) {
        self.edits[i] = Edit::Drop;
    }

    fn text(&mut self, i: usize, text: impl Into<Box<str>>) {
        self.edits[i] = Edit::Text(text.into());
    }

    fn token(&mut self, p: &Program, i: usize, members: &HashSet<Sym>) {
        let s = &p.source;
        let t = s.tokens[i];
        match t.kind {
            Kind::Number => {
                if let Some(text) = literal::lowered(s.text(i)) {
                    self.text(i, text);
                }
            }
            Kind::Punct if t.sym == sym::SCOPE => {
                // A name of file scope: the whole source stands in namespace msl.
                let leading = i.checked_sub(1).is_none_or(|k| {
                    let b = s.tokens[k];
                    let decltype = || s.mate(k).is_some_and(|open| open > 0 && s.is(open - 1, sym::DECLTYPE));
                    let name = b.ident() && !qualifier(b.sym) && b.sym != sym::RETURN;
                    !(name || b.is(sym::GREATER) || b.is(sym::RPAREN) && decltype())
                });
                if leading && s.ident(i + 1) {
                    self.text(i, "::msl::");
                }
            }
            Kind::Punct if t.sym == sym::DOT || t.sym == sym::ARROW => self.swizzle_assignment(p, i, members),
            Kind::Ident => match t.sym {
                sym::DEVICE | sym::THREAD | sym::THREADGROUP | sym::KERNEL | sym::VERTEX | sym::FRAGMENT => {
                    self.drop(i)
                }
                sym::COHERENT => {
                    self.drop(i);
                    if s.is(i + 1, sym::LPAREN) {
                        (i + 1..s.after(i + 1)).for_each(|k| self.drop(k));
                    }
                }
                sym::CONSTANT if has_const(p, i) => self.drop(i),
                sym::CONSTANT => self.text(i, "const"),
                sym::EXTENSION => self.drop(i),
                _ => {}
            },
            _ => {}
        }
    }

    /// `a.xz = b.xz`: with a gap in its letters, a swizzle on the right has to be made a vector first.
    fn swizzle_assignment(&mut self, p: &Program, i: usize, members: &HashSet<Sym>) {
        let s = &p.source;
        let name = s.tokens.get(i + 1).map(|t| t.sym);
        let Some(name) = name.filter(|n| s.ident(i + 1) && s.is(i + 2, sym::ASSIGN) && !members.contains(n)) else {
            return;
        };
        let mut letters: Vec<u8> = s.text(i + 1).bytes().collect();
        letters.sort_unstable();
        let gapped: [&[u8]; 10] = [b"xz", b"wy", b"wx", b"wxy", b"wxz", b"br", b"ag", b"ar", b"agr", b"abr"];
        if !gapped.contains(&&letters[..]) {
            return;
        }
        let mut k = i + 3;
        while k + 1 < s.tokens.len() && k - i < MAX_ASSIGNMENT && !s.is(k, sym::SEMI) && !s.is(k, sym::RBRACE) {
            if s.is(k, sym::DOT) && s.tokens[k + 1].sym == name {
                let text = format!("{}.get()", s.text(k + 1));
                self.text(k + 1, text);
            }
            k += 1;
        }
    }

    /// `T a[n] = { [0 ... n - 1] = v };`, which clang takes from C and NVRTC does not: the same by a loop.
    fn filled_array(&mut self, p: &Program, i: usize) {
        let s = &p.source;
        let start = s.is(i, sym::ASSIGN) && s.is(i + 1, sym::LBRACE) && s.is(i + 2, sym::LBRACKET);
        let close = s.after(i + 2);
        if !start || s.text(i + 3) != "0" || !s.is(i + 4, sym::ELLIPSIS) || !s.is(close, sym::ASSIGN) {
            return;
        }
        let end = s.after(i + 1) - 1;
        let dims = i.checked_sub(1).and_then(|k| s.mate(k));
        let Some(name) = dims.and_then(|d| d.checked_sub(1)).filter(|n| s.ident(*n) && s.is(end + 1, sym::SEMI)) else {
            return;
        };
        let text = format!("; for (auto &msl_element : {}) msl_element =", s.text(name));
        (i..=close).for_each(|k| self.drop(k));
        self.text(i, text);
        self.drop(end);
        if s.is(end - 1, sym::COMMA) {
            self.drop(end - 1);
        }
    }

    /// Program-scope and static member constants.
    fn variable(&mut self, p: &Program, index: usize) {
        let s = &p.source;
        let item = p.item(index);
        let ItemKind::Variable { ty, init } = &item.kind else { return };
        let class = p.items.scopes[item.scope].class;
        let has = |w: Sym| ty.clone().any(|k| s.is(k, w) && s.ident(k));
        let d = s.declarator(ty.end, item.range.end);
        let outside = d.name.is_some_and(|n| s.is(n + 1, sym::SCOPE) || s.is(n + 1, sym::LESS));
        if has(sym::THREADGROUP) && !class && !d.indirect() {
            let message = "a threadgroup variable cannot stand outside of a kernel";
            self.problems.push((ty.start, s.error(ty.start, message)));
        }
        let fixed = has(sym::CONSTANT) || has(sym::CONSTEXPR) || has(sym::CONST);
        if !fixed || outside || d.indirect() || class && !has(sym::STATIC) {
            return;
        }
        let array = !d.dims.is_empty();
        let prefix = if class {
            if init.is_some() { "static constexpr" } else { "static const" }
        } else if array && has(sym::CONSTEXPR) {
            "static MSL_CONSTANT constexpr"
        } else if has(sym::CONSTEXPR)
            || !array && init.as_ref().is_some_and(|r| p.scalar_constant(ty.clone(), r.clone()))
        {
            "static constexpr"
        } else {
            "static MSL_CONSTANT"
        };
        let (_, name) = s.type_end(ty.start, ty.end);
        for k in ty.clone().filter(|k| !name.contains(k) && s.ident(*k) && qualifier(s.tokens[*k].sym)) {
            self.drop(k);
        }
        let first = ty.start;
        let text = match &self.edits[first] {
            Edit::Drop => prefix.to_owned(),
            Edit::Text(t) => format!("{prefix} {t}"),
            Edit::Keep => format!("{prefix} {}", s.text(first)),
        };
        self.text(first, text);
    }

    /// A constructor cannot be `const`: one for constant memory is like any other.
    fn constructor(&mut self, p: &Program, index: usize) {
        let s = &p.source;
        let item = p.item(index);
        let scope = &p.items.scopes[item.scope];
        let ItemKind::Function(f) = &item.kind else { return };
        if scope.class && scope.name == s.text(f.name) {
            for k in s.after(f.open)..function_end(item, f) {
                if s.is(k, sym::CONSTANT) {
                    self.drop(k);
                }
            }
        }
    }

    fn threadgroup_variables(&mut self, p: &Program, body: (usize, usize)) {
        let s = &p.source;
        let mut i = body.0 + 1;
        while i < body.1 {
            let Some(d) = p.threadgroup_declaration(i) else {
                i += 1;
                continue;
            };
            let mut words = Vec::new();
            for k in d.ty.clone() {
                let skip = s.ident(k) && matches!(s.tokens[k].sym, sym::STATIC | sym::VOLATILE);
                if !skip {
                    words.push(k);
                }
            }
            let ty = self.render(p, words.iter().copied());
            let mut text = String::new();
            for v in &d.variables {
                let Some(name) = v.name else { continue };
                let dims = self.render(p, v.dims.clone());
                text.push_str(&format!("MSL_THREADGROUP(({ty}), {}, ({dims})); ", s.text(name)));
            }
            for pointer in &d.pointers {
                text.push_str(&format!("{ty} {}; ", self.render(p, pointer.clone())));
            }
            for piece in &d.initialized {
                let d = s.error(piece.start, "a threadgroup variable cannot be initialized where it is declared");
                self.problems.push((piece.start, d));
            }
            d.range.clone().for_each(|k| self.drop(k));
            self.text(d.range.start, text.trim_end());
            i = d.range.end;
        }
    }

    /// Tokens as C++ text on one line.
    pub fn render(&self, p: &Program, tokens: impl Iterator<Item = usize>) -> String {
        let mut out = String::new();
        for k in tokens {
            let t = &p.source.tokens[k];
            let text = match &self.edits[k] {
                Edit::Keep => p.source.text(k),
                Edit::Drop => continue,
                Edit::Text(text) => text,
            };
            if !out.is_empty() && (t.has(SPACE) || t.has(crate::token::FIRST) || glues(&out, text)) {
                out.push(' ');
            }
            out.push_str(text);
        }
        out
    }

    /// The same as words between single spaces, to be compared.
    fn words(&self, p: &Program, tokens: impl Iterator<Item = usize>) -> String {
        let mut out = String::new();
        for k in tokens {
            let text = match &self.edits[k] {
                Edit::Keep => p.source.text(k),
                Edit::Drop => continue,
                Edit::Text(text) => text,
            };
            out.push_str(text);
            out.push(' ');
        }
        out
    }

    /// Functions and records that differ by address spaces alone: equal ones become one, others are a problem.
    fn merge_overloads(&mut self, p: &Program) {
        let mut seen: HashMap<String, usize> = HashMap::new();
        for (i, item) in p.items.items.iter().enumerate() {
            let (Some(key), Some(body)) = (self.overload_key(p, i), item_body(item)) else { continue };
            let Some(&first) = seen.get(&key) else {
                seen.insert(key, i);
                continue;
            };
            let other = p.item(first);
            let Some(other_body) = item_body(other) else { continue };
            let raw = |r: Range<usize>| r.map(|k| p.source.tokens[k].sym).collect::<Vec<_>>();
            let (mine, theirs) = (item.range.start..body.0, other.range.start..other_body.0);
            if raw(mine.clone()) == raw(theirs.clone()) {
                continue;
            }
            let same = match (&item.kind, &other.kind) {
                (ItemKind::Function(a), ItemKind::Function(b)) => {
                    self.words(p, a.open..item.range.end) == self.words(p, b.open..other.range.end)
                }
                _ => self.words(p, body.0..item.range.end) == self.words(p, other_body.0..other.range.end),
            };
            if same {
                item.range.clone().for_each(|k| self.drop(k));
            } else {
                let at: Place = p.source.place(other.range.start);
                let message =
                    "this differs only by address space from another of the same name, and does something else";
                let note = format!("the other is at {at}; C++ has no address spaces to tell them apart");
                self.problems.push((item.range.start, p.source.error(item.range.start, message).with_note(note)));
            }
        }
    }

    /// What two definitions have in common that C++ cannot tell apart.
    fn overload_key(&self, p: &Program, index: usize) -> Option<String> {
        let s = &p.source;
        let item = p.item(index);
        let scope =
            if p.items.scopes[item.scope].class { format!("#{}", item.scope) } else { p.scope_prefix(item.scope) };
        let has_space = |r: Range<usize>| r.clone().any(|k| s.ident(k) && crate::parse::address_space(s.tokens[k].sym));
        match &item.kind {
            ItemKind::Function(f) => {
                // A declaration ahead does no harm where it is repeated, but a member must not be.
                if f.body.is_none() && !p.items.scopes[item.scope].class {
                    return None;
                }
                let skip =
                    |k: &usize| s.ident(*k) && matches!(s.tokens[*k].sym, sym::INLINE | sym::STATIC | sym::CONSTEXPR);
                let head = self.words(p, (item.range.start..f.open).filter(|k| !skip(k)));
                let mut params = String::new();
                for param in s.parameters(f.open) {
                    let end = param.range.clone().find(|k| s.is(*k, sym::ASSIGN)).unwrap_or(param.range.end);
                    let words = (param.range.start..end).filter(|k| Some(*k) != param.declarator.name);
                    params.push_str(&canonical(&self.words(p, words)));
                    params.push(',');
                }
                let after = s.after(f.open);
                let tail =
                    (after..function_end(item, f)).take_while(|k| !s.is(*k, sym::COLON) && !s.is(*k, sym::ASSIGN));
                Some(format!("{scope} {}({params}){}", head.trim(), self.words(p, tail)))
            }
            ItemKind::Record { body: Some(body) } if has_space(item.range.start..body.0) => {
                Some(format!("{scope} {}", self.words(p, item.range.start..body.0)))
            }
            _ => None,
        }
    }
}

/// `const T` and `T const` alike.
fn canonical(param: &str) -> String {
    let mut words: Vec<&str> = param.split_whitespace().collect();
    if let [first, "const", ..] = words[..]
        && first != "const"
    {
        words.swap(0, 1);
    }
    words.join(" ")
}

/// Where what an item is about begins: its body, or its end.
fn item_body(item: &Item) -> Option<(usize, usize)> {
    match &item.kind {
        ItemKind::Function(f) => Some(f.body.unwrap_or((item.range.end - 1, item.range.end - 1))),
        ItemKind::Record { body } => *body,
        _ => None,
    }
}

/// Index of a function's `{`, or of the `;` that ends its declaration.
fn function_end(item: &Item, f: &Function) -> usize {
    f.body.map_or(item.range.end - 1, |b| b.0)
}

/// Qualifiers of one type that are looked at.
const MAX_QUALIFIERS: usize = 16;
/// Tokens of one assignment that are looked at.
const MAX_ASSIGNMENT: usize = 500;

/// Whether the `constant` at `i` qualifies something that is `const` already.
fn has_const(p: &Program, i: usize) -> bool {
    let s = &p.source;
    let word = |k: usize| s.ident(k) && qualifier(s.tokens[k].sym);
    let is_const = |k: usize| s.ident(k) && s.is(k, sym::CONST);
    let mut k = i;
    while k > 0 && i - k < MAX_QUALIFIERS && word(k - 1) {
        k -= 1;
        if is_const(k) {
            return true;
        }
    }
    // `float const constant`, `const float constant`.
    if k > 0 && s.ident(k - 1) && (is_const(k - 1) || k > 1 && is_const(k - 2)) {
        return true;
    }
    k = i + 1;
    while word(k) {
        if is_const(k) || s.is(k, sym::CONSTANT) {
            return true;
        }
        k += 1;
    }
    let (end, name) = s.type_end(k, s.tokens.len());
    (name.end..end).any(is_const)
}

impl Program {
    /// Whether a constant is a number that C++ can compute: a scalar type, and no calls in its initializer.
    fn scalar_constant(&self, ty: Range<usize>, init: Range<usize>) -> bool {
        let s = &self.source;
        let (_, name) = s.type_end(ty.start, ty.end);
        let words = self.tokens(name);
        let scalar = |text: &str| {
            matches!(
                text,
                "bool"
                    | "char"
                    | "uchar"
                    | "short"
                    | "ushort"
                    | "int"
                    | "uint"
                    | "long"
                    | "ulong"
                    | "size_t"
                    | "float"
                    | "half"
                    | "bfloat"
                    | "unsigned"
                    | "signed"
                    | "int8_t"
                    | "uint8_t"
                    | "int16_t"
                    | "uint16_t"
                    | "int32_t"
                    | "uint32_t"
                    | "int64_t"
                    | "uint64_t"
                    | "ptrdiff_t"
            )
        };
        let calls = init.clone().any(|k| {
            s.is(k + 1, sym::LPAREN)
                && s.ident(k)
                && !scalar(s.text(k))
                && s.tokens[k].sym != sym::SIZEOF
                && s.tokens[k].sym != sym::IS_CONSTANT_DEFINED
        });
        !words.is_empty() && words.iter().all(|t| scalar(s.spellings.text(t.sym))) && !calls && !init.is_empty()
    }
}
