//! Argument structs against what the host writes into them, and the places of members.

use crate::Unit;
use crate::lint::Findings;
use crate::parse::{Item, ItemKind};
use crate::program::Bindings;
use crate::token::{Sym, sym};

/// A struct as the host lays it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StructLayout {
    /// Its name in the source.
    pub name: String,
    /// Its size.
    pub bytes: usize,
    /// Its fields in order.
    pub fields: Vec<FieldLayout>,
}

/// A field of a [`StructLayout`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldLayout {
    /// Its name in the source.
    pub name: String,
    /// Its type in the source, e.g. `uint`.
    pub msl: String,
    /// First byte.
    pub offset: usize,
}

/// A member of a record.
pub(super) struct Member {
    /// The token of its name.
    pub token: usize,
    pub offset: usize,
    /// Size and alignment of an element: the member itself, where it is no array.
    pub element: (usize, usize),
    /// Its type as written.
    pub ty: String,
}

/// A record's members and its size; `None` where a type cannot be known.
pub(super) fn members(unit: &Unit, record: &Item) -> Option<(Vec<Member>, usize)> {
    let program = &unit.program;
    let s = &program.source;
    let ItemKind::Record { body: Some(body) } = record.kind else { return None };
    let plain = !(record.range.start..body.0).any(|k| s.is(k, sym::COLON) || s.is(k, sym::UNION) || s.is(k, sym::ENUM));
    if !plain || record.template.is_some() {
        return None;
    }
    let packed = s.attribute(record.range.start, record.range.end, "packed").is_some();
    let none = Bindings::default();
    let (mut members, mut at, mut most) = (Vec::new(), 0usize, 1usize);
    for child in record.children.iter().map(|c| program.item(*c)) {
        let ItemKind::Variable { ty, .. } = &child.kind else {
            if matches!(child.kind, ItemKind::Record { .. }) {
                return None;
            }
            continue;
        };
        if ty.clone().any(|k| s.is(k, sym::STATIC)) {
            continue;
        }
        let (_, name) = s.type_end(ty.start, ty.end);
        for piece in s.split(ty.end, child.range.end - 1) {
            let d = s.declarator(piece.start, piece.end);
            let own = program.layout(program.tokens(ty.clone()), &none);
            let element = if d.indirect() { (8, 8) } else { own? };
            let align = if packed { 1 } else { element.1 };
            at = at.checked_next_multiple_of(align)?;
            most = most.max(align);
            let ty = program.spell(program.tokens(name.clone()), &none);
            members.push(Member { token: d.name?, offset: at, element: (element.0, align), ty });
            at = at.checked_add(element.0.checked_mul(program.dimensions(d.dims, &none, 0)?)?)?;
        }
    }
    Some((members, at.max(1).checked_next_multiple_of(most)?))
}

pub(super) fn check(unit: &Unit, structs: &[StructLayout], out: &mut Findings) {
    let program = &unit.program;
    let s = &program.source;
    for item in &program.items.items {
        let name = |sym: &Sym| s.spellings.text(*sym);
        let Some(want) = structs.iter().find(|w| item.names.iter().any(|n| name(n) == w.name)) else { continue };
        let ItemKind::Record { body: Some(_) } = item.kind else { continue };
        let at = item.range.start;
        let Some((members, bytes)) = members(unit, item) else {
            out.error(unit, "params", at, format!("{}: its layout cannot be known", want.name));
            continue;
        };
        if bytes != want.bytes {
            out.error(
                unit,
                "params",
                at,
                format!("{} has {bytes} bytes here and {} on the host", want.name, want.bytes),
            );
        }
        for i in 0..members.len().max(want.fields.len()) {
            match (members.get(i), want.fields.get(i)) {
                (Some(m), Some(f)) => {
                    let (name, place) = (s.text(m.token), (m.offset, m.ty.as_str()));
                    if (name, place) != (f.name.as_str(), (f.offset, f.msl.as_str())) {
                        let here = format!("{} {name} at byte {}", m.ty, m.offset);
                        let host = format!("{} {} at byte {}", f.msl, f.name, f.offset);
                        out.error(unit, "params", m.token, format!("{}: here {here}, on the host {host}", want.name));
                        break;
                    }
                }
                (Some(m), None) => {
                    let message = format!("{}: the host has no field {}", want.name, s.text(m.token));
                    out.error(unit, "params", m.token, message);
                }
                (None, Some(f)) => {
                    let message = format!("{}: the host's field {} is missing here", want.name, f.name);
                    out.error(unit, "params", at, message);
                }
                (None, None) => {}
            }
        }
    }
}
