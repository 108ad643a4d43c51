//! Sizes and alignments of types, as the Metal specification gives them.

use std::ops::Range;

use crate::eval::MAX_DEPTH;
use crate::parse::{Item, ItemKind};
use crate::program::{Bindings, Program};
use crate::token::{Sym, Token, sym};

/// Size and alignment.
type Layout = (usize, usize);

/// Types that the language names.
fn scalar(name: &str) -> Option<usize> {
    Some(match name {
        "bool" | "char" | "uchar" | "int8_t" | "uint8_t" => 1,
        "short" | "ushort" | "half" | "bfloat" | "int16_t" | "uint16_t" => 2,
        "int" | "uint" | "float" | "int32_t" | "uint32_t" | "unsigned" | "signed" => 4,
        "atomic_int" | "atomic_uint" | "atomic_bool" | "atomic_float" => 4,
        "long" | "ulong" | "size_t" | "ptrdiff_t" | "int64_t" | "uint64_t" | "uintptr_t" | "intptr_t" => 8,
        "atomic_ulong" => 8,
        _ => return None,
    })
}

/// `float4`, `packed_half3`, `float4x4` and the scalars.
fn builtin(name: &str) -> Option<Layout> {
    if let Some(size) = scalar(name) {
        return Some((size, size));
    }
    if let Some(rest) = name.strip_prefix("packed_") {
        let (element, n) = rest.split_at_checked(rest.len().checked_sub(1)?)?;
        let size = scalar(element)?;
        return Some((size * lanes(n)?, size));
    }
    let (element, n) = name.split_at_checked(name.len().checked_sub(1)?)?;
    let rows = lanes(n)?;
    if let Some((element, columns)) =
        element.strip_suffix('x').and_then(|e| e.split_at_checked(e.len().checked_sub(1)?))
    {
        let (size, align) = vector(scalar(element)?, rows);
        return Some((size * lanes(columns)?, align));
    }
    Some(vector(scalar(element)?, rows))
}

fn lanes(n: &str) -> Option<usize> {
    matches!(n, "2" | "3" | "4").then(|| n.parse().ok())?
}

/// A vector of three takes as much as one of four.
fn vector(element: usize, n: usize) -> Layout {
    let size = element * if n == 3 { 4 } else { n };
    (size, size)
}

impl Program {
    /// Size and alignment of the type that `tokens` spell; `None` where it cannot be known here.
    pub fn layout(&self, tokens: &[Token], bindings: &Bindings) -> Option<Layout> {
        self.layout_at(tokens, bindings, 0)
    }

    pub(crate) fn layout_at(&self, tokens: &[Token], bindings: &Bindings, depth: usize) -> Option<Layout> {
        if depth > MAX_DEPTH || !self.spend() {
            return None;
        }
        let mut words: Vec<&Token> = tokens
            .iter()
            .filter(|t| {
                !(t.ident()
                    && (crate::parse::qualifier(t.sym) || matches!(t.sym, sym::STRUCT | sym::UNION | sym::ENUM)))
            })
            .collect();
        if words.iter().any(|t| t.is(sym::STAR)) {
            return Some((8, 8));
        }
        // Leading scope names do not matter: `metal::float4`.
        while words.len() > 2 && words[0].ident() && words[1].is(sym::SCOPE) {
            words.drain(..2);
        }
        let (first, rest) = words.split_first()?;
        if !first.ident() {
            return None;
        }
        let text = self.source.spellings.text(first.sym);
        if rest.is_empty() {
            if let Some(bound) = bindings.0.get(&first.sym) {
                let same = matches!(&bound[..], [t] if t.sym == first.sym);
                let outer = Bindings::default();
                return self.layout_at(bound, if same { &outer } else { bindings }, depth + 1);
            }
            return builtin(text).or_else(|| self.user_layout(first.sym, &[], bindings, depth));
        }
        if matches!(first.sym, sym::UNSIGNED | sym::SIGNED | sym::LONG | sym::SHORT | sym::INT | sym::CHAR) {
            let has = |s: Sym| words.iter().any(|t| t.sym == s);
            let size = if has(sym::LONG) {
                8
            } else if has(sym::SHORT) {
                2
            } else if has(sym::CHAR) {
                1
            } else {
                4
            };
            return Some((size, size));
        }
        let args = template_arguments(rest)?;
        let of = |i: usize| self.layout_at(args.get(i)?, bindings, depth + 1);
        let number = |i: usize| usize::try_from(self.evaluate_at(args.get(i)?, bindings, depth + 1)?).ok();
        match text {
            "vec" => Some(vector(of(0)?.0, number(1)?)),
            "packed_vec" => of(0).and_then(|(size, _)| Some((size * number(1)?, size))),
            "array" => of(0).and_then(|(size, align)| Some((size.checked_mul(number(1)?)?, align))),
            "atomic" | "_atomic" => of(0),
            "matrix" => {
                let (size, align) = vector(of(0)?.0, number(2)?);
                Some((size * number(1)?, align))
            }
            _ => self.user_layout(first.sym, &args, bindings, depth),
        }
    }

    fn user_layout(&self, name: Sym, args: &[Vec<Token>], bindings: &Bindings, depth: usize) -> Option<Layout> {
        if args.is_empty()
            && let Some(tokens) = self.alias(name)
        {
            return self.layout_at(tokens, &Bindings::default(), depth + 1);
        }
        let records: Vec<&Item> =
            self.named(name).filter(|i| matches!(i.kind, ItemKind::Record { body: Some(_) })).collect();
        // Specializations would need matching.
        let [record] = records[..] else { return None };
        let mut inner = Bindings::default();
        if let Some(list) = record.template {
            for (i, param) in self.source.template_params(list).into_iter().enumerate() {
                let tokens = match args.get(i) {
                    Some(arg) => self.replaced(arg, bindings),
                    None => self.tokens(param.default).to_vec(),
                };
                inner.0.insert(param.name?, tokens);
            }
        }
        self.record_layout(record, &inner, depth + 1)
    }

    fn record_layout(&self, record: &Item, bindings: &Bindings, depth: usize) -> Option<Layout> {
        let ItemKind::Record { body: Some(body) } = record.kind else { return None };
        if depth > MAX_DEPTH {
            return None;
        }
        let s = &self.source;
        let head = record.range.start..body.0;
        let word = |w: Sym| head.clone().any(|k| s.is(k, w));
        if word(sym::ENUM) {
            let colon = head.clone().find(|k| s.is(*k, sym::COLON));
            return colon.map_or(Some((4, 4)), |c| self.layout_at(self.tokens(c + 1..body.0), bindings, depth + 1));
        }
        if word(sym::COLON) {
            return None;
        }
        let packed = s.attribute(record.range.start, record.range.end, "packed").is_some();
        let mut total: Layout = (0, 1);
        for &child in &record.children {
            for (size, align) in self.member_layouts(self.item(child), bindings, depth)? {
                let align = if packed { 1 } else { align };
                if word(sym::UNION) {
                    total = (total.0.max(size), total.1.max(align));
                } else {
                    total = (total.0.checked_next_multiple_of(align)?.checked_add(size)?, total.1.max(align));
                }
            }
        }
        for k in head.filter(|k| s.is(*k, sym::ALIGNAS)) {
            let inner = self.tokens(k + 2..s.after(k + 1) - 1);
            let align = self
                .evaluate_at(inner, bindings, depth + 1)
                .map_or_else(|| Some(self.layout_at(inner, bindings, depth + 1)?.1), |v| usize::try_from(v).ok())?;
            total.1 = total.1.max(align);
        }
        Some((total.0.max(1).checked_next_multiple_of(total.1)?, total.1))
    }

    /// What a member declaration adds to its record.
    fn member_layouts(&self, member: &Item, bindings: &Bindings, depth: usize) -> Option<Vec<Layout>> {
        let s = &self.source;
        let start = member.range.start;
        match &member.kind {
            ItemKind::Variable { ty, .. } => {
                if ty.clone().any(|k| s.is(k, sym::STATIC)) {
                    return Some(Vec::new());
                }
                let element = self.layout_at(self.tokens(ty.clone()), bindings, depth + 1);
                self.declared(ty.end..member.range.end - 1, element, bindings, depth)
            }
            ItemKind::Record { body: Some(body) } => {
                let own = self.record_layout(member, bindings, depth + 1);
                let after = body.1 + 1;
                // A member without a name, or only a nested type.
                if s.is(after, sym::SEMI) {
                    let tagged = (start..body.0).next_back().is_some_and(|k| s.ident(k) && k > start);
                    return if tagged { Some(Vec::new()) } else { Some(vec![own?]) };
                }
                self.declared(after..member.range.end - 1, own, bindings, depth)
            }
            _ => Some(Vec::new()),
        }
    }

    fn declared(
        &self,
        range: Range<usize>,
        element: Option<Layout>,
        bindings: &Bindings,
        depth: usize,
    ) -> Option<Vec<Layout>> {
        let s = &self.source;
        let mut out = Vec::new();
        for piece in s.split(range.start, range.end) {
            if piece.clone().any(|k| s.is(k, sym::COLON)) {
                return None;
            }
            let d = s.declarator(piece.start, piece.end);
            let (size, align) = if d.indirect() { (8, 8) } else { element? };
            out.push((size.checked_mul(self.dimensions(d.dims, bindings, depth + 1)?)?, align));
        }
        Some(out)
    }

    /// The product of array sizes `[a][b]`.
    pub fn dimensions(&self, dims: Range<usize>, bindings: &Bindings, depth: usize) -> Option<usize> {
        let mut product = 1usize;
        let mut i = dims.start;
        while i < dims.end {
            let next = self.source.after(i);
            let n = usize::try_from(self.evaluate_at(self.tokens(i + 1..next - 1), bindings, depth + 1)?).ok()?;
            product = product.checked_mul(n)?;
            i = next;
        }
        Some(product)
    }
}

/// The arguments in `<a, b<c>>`.
fn template_arguments(words: &[&Token]) -> Option<Vec<Vec<Token>>> {
    let (first, rest) = words.split_first()?;
    let (last, inner) = rest.split_last()?;
    if !first.is(sym::LESS) || !last.is(sym::GREATER) {
        return None;
    }
    let mut args = vec![Vec::new()];
    let mut nesting = 0usize;
    for t in inner {
        match t.sym {
            sym::LESS | sym::LPAREN => nesting += 1,
            sym::GREATER | sym::RPAREN => nesting = nesting.checked_sub(1)?,
            sym::COMMA if nesting == 0 => {
                args.push(Vec::new());
                continue;
            }
            _ => {}
        }
        args.last_mut()?.push(**t);
    }
    Some(args)
}
