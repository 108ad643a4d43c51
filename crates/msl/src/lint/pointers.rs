//! Pointers and references that do not say where they point.

use std::ops::Range;

use crate::Unit;
use crate::lint::Findings;
use crate::parse::{Declarator, Function, Item, ItemKind, address_space};
use crate::program::Bindings;
use crate::token::{Sym, sym};

pub(super) fn check(unit: &Unit, out: &mut Findings) {
    let s = &unit.program.source;
    for item in &unit.program.items.items {
        let ItemKind::Function(f) = &item.kind else { continue };
        for p in s.parameters(f.open) {
            report(unit, item, p.range.clone(), p.ty.clone(), &p.declarator, out);
        }
        locals(unit, item, f, out);
    }
}

fn locals(unit: &Unit, item: &Item, f: &Function, out: &mut Findings) {
    let s = &unit.program.source;
    let Some((open, close)) = f.body else { return };
    for i in open + 1..close {
        let begins = [sym::SEMI, sym::LBRACE, sym::RBRACE].iter().any(|w| s.is(i - 1, *w));
        if !begins || !s.ident(i) {
            continue;
        }
        let (ty, name) = s.type_end(i, close);
        let d = s.declarator(ty, close);
        // `a * b = c` is no expression that means anything, so this declares.
        if !name.is_empty() && d.name.is_some() && s.is(d.end, sym::ASSIGN) {
            report(unit, item, i..d.end, i..ty, &d, out);
        }
    }
}

fn report(unit: &Unit, item: &Item, range: Range<usize>, ty: Range<usize>, d: &Declarator, out: &mut Findings) {
    let s = &unit.program.source;
    if !d.indirect() || range.clone().any(|k| s.ident(k) && address_space(s.tokens[k].sym)) {
        return;
    }
    // A pointer to a function is the concern of another rule.
    if s.is(ty.end, sym::LPAREN) && s.is(s.after(ty.end), sym::LPAREN) {
        return;
    }
    let (_, name) = s.type_end(ty.start, ty.end);
    if name.is_empty() || !names_a_place(unit, item, name.clone()) {
        return;
    }
    let what = if d.reference { "reference" } else { "pointer" };
    let message = format!("this {what} does not say its address space: device, constant, threadgroup or thread");
    out.error(unit, "pointer-space", d.name.unwrap_or(range.start), message);
}

/// Whether the type's own name leaves the address space open. What a template's parameter, `auto` or an alias stands for may
/// have one.
fn names_a_place(unit: &Unit, item: &Item, name: Range<usize>) -> bool {
    let program = &unit.program;
    let s = &program.source;
    let words: Vec<Sym> = name.clone().filter(|k| s.ident(*k)).map(|k| s.tokens[k].sym).collect();
    let open = |sym: &Sym| {
        let template = item.template.is_some_and(|l| s.template_params(l).iter().any(|p| p.name == Some(*sym)));
        let alias = program.named(*sym).any(|i| matches!(i.kind, ItemKind::Alias));
        template || alias || matches!(s.spellings.text(*sym), "auto" | "decltype")
    };
    if words.iter().any(open) {
        return false;
    }
    let record = |sym: &Sym| program.named(*sym).any(|i| matches!(i.kind, ItemKind::Record { .. }));
    words.iter().any(record) || program.layout(program.tokens(name), &Bindings::default()).is_some()
}
