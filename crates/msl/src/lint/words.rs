//! Words of C++ that Metal leaves out, and static variables in functions.

use crate::Unit;
use crate::lint::Findings;
use crate::parse::ItemKind;
use crate::token::sym;

pub(super) fn check(unit: &Unit, out: &mut Findings) {
    let s = &unit.program.source;
    for i in (0..s.tokens.len()).filter(|i| s.ident(*i)) {
        let after = |w| i > 0 && s.is(i - 1, w);
        if after(sym::DOT) || after(sym::ARROW) || after(sym::OPERATOR) {
            continue;
        }
        let text = s.text(i);
        let user = || unit.program.by_name.contains_key(&s.tokens[i].sym);
        match text {
            "double" | "double2" | "double3" | "double4" if !user() => {
                out.error(unit, "double", i, format!("{text}: Metal has no double-precision type"));
            }
            "goto" | "virtual" | "dynamic_cast" | "typeid" | "throw" | "try" | "catch" | "thread_local"
            | "register" | "new" => out.error(unit, "cxx", i, format!("Metal has no {text}")),
            "delete" if !after(sym::ASSIGN) => out.error(unit, "cxx", i, "Metal has no delete"),
            _ => {}
        }
    }
    for item in &unit.program.items.items {
        if let ItemKind::Function(f) = &item.kind
            && let Some((open, close)) = f.body
        {
            statics(unit, open, close, out);
        }
    }
}

fn statics(unit: &Unit, open: usize, close: usize, out: &mut Findings) {
    let s = &unit.program.source;
    for i in (open..close).filter(|i| s.is(*i, sym::STATIC) && s.ident(*i)) {
        let end = (i..close).find(|k| s.is(*k, sym::SEMI) || s.is(*k, sym::ASSIGN)).unwrap_or(close);
        let constant = (open.max(i.saturating_sub(2))..end)
            .any(|k| s.ident(k) && matches!(s.tokens[k].sym, sym::CONST | sym::CONSTEXPR | sym::CONSTANT));
        if !constant {
            out.error(unit, "static-local", i, "a static variable in a function must be a constant");
        }
    }
}
