//! Casts to wider elements where the address cannot be a multiple of their alignment.

use std::ops::Range;

use crate::Unit;
use crate::lint::Findings;
use crate::lint::params::members;
use crate::parse::{Declarator, Item, ItemKind};
use crate::program::Bindings;
use crate::token::sym;

/// Where an expression points, as far as it can be seen.
struct Place {
    /// Bytes behind something that may be aligned as well as one likes.
    offset: i64,
    /// Bytes from one such thing to the next, where there may be several.
    step: Option<usize>,
    /// What it is counted from, in words.
    from: String,
}

pub(super) fn check(unit: &Unit, out: &mut Findings) {
    for item in &unit.program.items.items {
        if let ItemKind::Function(f) = &item.kind
            && let Some((open, close)) = f.body
        {
            for i in open..close {
                cast(unit, item, (open, close), i, out);
            }
        }
    }
}

/// `(device const uint4 *)from` and `reinterpret_cast<device const uint4 *>(from)`.
fn cast(unit: &Unit, item: &Item, body: (usize, usize), i: usize, out: &mut Findings) {
    let program = &unit.program;
    let s = &program.source;
    let (inner, operand) = if s.is(i, sym::LPAREN) {
        let Some(close) = s.mate(i) else { return };
        (i + 1..close, close + 1)
    } else if s.text(i) == "reinterpret_cast" && s.is(i + 1, sym::LESS) {
        let Some(close) = s.mate(i + 1) else { return };
        (i + 2..close, close + 1)
    } else {
        return;
    };
    let (ty, name) = s.type_end(inner.start, inner.end);
    let d = s.declarator(ty, inner.end);
    if name.is_empty() || d.stars != 1 || d.reference || d.name.is_some() || d.end != inner.end {
        return;
    }
    let Some((_, align)) = program.layout(program.tokens(name.clone()), &Bindings::default()) else { return };
    let Some(place) = place(unit, item, body, operand) else { return };
    let wide = program.spell(program.tokens(name), &Bindings::default());
    if place.offset.rem_euclid(align as i64) != 0 {
        let message =
            format!("{wide} needs multiples of {align} bytes; this is byte {} of {}", place.offset, place.from);
        out.error(unit, "alignment", i, message);
    } else if let Some(step) = place.step.filter(|step| step % align != 0) {
        let message = format!(
            "{wide} needs multiples of {align} bytes; {} has {step} bytes, so the next one is not aligned",
            place.from
        );
        out.error(unit, "alignment", i, message);
    }
}

/// `&`, then a name with members and indices, then `+ n`; or that in parentheses.
fn place(unit: &Unit, item: &Item, body: (usize, usize), at: usize) -> Option<Place> {
    let program = &unit.program;
    let s = &program.source;
    if s.is(at, sym::LPAREN) {
        let close = s.mate(at)?;
        let end = chain_end(unit, at + 1, close)?;
        let mut place = chain(unit, item, body, at + 1..end)?;
        if end == close {
            return Some(place.0);
        }
        let count =
            (s.text(end) == "+").then(|| program.evaluate(program.tokens(end + 1..close), &Bindings::default()))??;
        place.0.offset = place.0.offset.checked_add(count.checked_mul(i64::try_from(place.1).ok()?)?)?;
        return Some(place.0);
    }
    let end = chain_end(unit, at, body.1)?;
    chain(unit, item, body, at..end).map(|(place, _)| place)
}

fn chain_end(unit: &Unit, mut at: usize, end: usize) -> Option<usize> {
    let s = &unit.program.source;
    if s.is(at, sym::AMP) {
        at += 1;
    }
    if !s.ident(at) {
        return None;
    }
    at += 1;
    while at < end {
        if s.is(at, sym::LBRACKET) {
            at = s.after(at);
        } else if (s.is(at, sym::DOT) || s.is(at, sym::ARROW)) && s.ident(at + 1) {
            at += 2;
        } else {
            break;
        }
    }
    Some(at)
}

/// The place of `[&] name..`, and the size of the elements that pointer arithmetic on it counts.
fn chain(unit: &Unit, item: &Item, body: (usize, usize), range: Range<usize>) -> Option<(Place, usize)> {
    let program = &unit.program;
    let s = &program.source;
    let address = s.is(range.start, sym::AMP);
    let start = range.start + usize::from(address);
    let index = |open: usize, close: usize| program.evaluate(program.tokens(open + 1..close), &Bindings::default());
    let dot = (start..range.end).rfind(|k| s.is(*k, sym::DOT) || s.is(*k, sym::ARROW));
    let (mut place, element, after) = match dot {
        Some(dot) => {
            let (record, member) = only_member(unit, dot + 1)?;
            let element = member.2;
            let several = (start..dot).any(|k| s.is(k, sym::LBRACKET));
            let offset = i64::try_from(member.1).ok()?;
            (Place { offset, step: several.then_some(record), from: member.0 }, element, dot + 2)
        }
        None => {
            let (size, text) = element_of(unit, item, body, start)?;
            (Place { offset: 0, step: None, from: text }, size, start + 1)
        }
    };
    // A single index behind `&`; without it, `x[i]` is a value.
    if after < range.end {
        let close = s.mate(after).filter(|c| s.is(after, sym::LBRACKET) && c + 1 == range.end && address)?;
        let bytes = index(after, close)?.checked_mul(i64::try_from(element).ok()?)?;
        place.offset = place.offset.checked_add(bytes)?;
    }
    Some((place, element))
}

/// The member called as token `k` says, where only one record has one: the record's size, and of the member its name, byte and element.
fn only_member(unit: &Unit, k: usize) -> Option<(usize, (String, usize, usize))> {
    let program = &unit.program;
    let s = &program.source;
    let mut found = None;
    for record in program.items.items.iter().filter(|i| matches!(i.kind, ItemKind::Record { body: Some(_) })) {
        let named = |c: &usize| program.item(*c).names.contains(&s.tokens[k].sym);
        if !record.children.iter().any(named) {
            continue;
        }
        let (list, bytes) = members(unit, record)?;
        let member = list.iter().find(|m| s.tokens[m.token].sym == s.tokens[k].sym)?;
        if found.is_some() {
            return None;
        }
        let name = record.names.first().map_or("", |n| s.spellings.text(*n));
        found = Some((bytes, (name.to_owned(), member.offset, member.element.0)));
    }
    found
}

/// Element size of the pointer or array that token `k` names, if this function declares it once.
fn element_of(unit: &Unit, item: &Item, body: (usize, usize), k: usize) -> Option<(usize, String)> {
    let program = &unit.program;
    let s = &program.source;
    let ItemKind::Function(f) = &item.kind else { return None };
    let sym = s.tokens[k].sym;
    let fits = |d: &Declarator| d.name.is_some_and(|n| s.tokens[n].sym == sym);
    let pointer = |d: &Declarator| d.stars == 1 && d.dims.is_empty() || d.stars == 0 && !d.dims.is_empty();
    let mut types: Vec<Range<usize>> = Vec::new();
    for p in s.parameters(f.open).into_iter().filter(|p| fits(&p.declarator)) {
        types.push(if pointer(&p.declarator) { p.ty } else { 0..0 });
    }
    for i in body.0 + 1..body.1 {
        let begins = [sym::SEMI, sym::LBRACE, sym::RBRACE, sym::LPAREN].iter().any(|w| s.is(i - 1, *w));
        let (ty, name) = s.type_end(i, body.1);
        if !begins || name.is_empty() {
            continue;
        }
        let d = s.declarator(ty, body.1);
        if fits(&d) {
            types.push(if pointer(&d) { i..ty } else { 0..0 });
        }
    }
    let [ty] = &types[..] else { return None };
    let (_, name) = s.type_end(ty.start, ty.end);
    let (size, _) = program.layout(program.tokens(name), &Bindings::default())?;
    Some((size, s.text(k).to_owned()))
}
