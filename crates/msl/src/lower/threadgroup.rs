//! Declarations of threadgroup variables inside bodies.

use std::ops::Range;

use crate::parse::Declarator;
use crate::program::Program;
use crate::token::sym;

/// Words in front of `threadgroup` at most.
const MAX_QUALIFIERS: usize = 16;

/// `threadgroup T a[8], b;`
pub(crate) struct ThreadgroupDeclaration {
    /// The whole statement with its semicolon.
    pub range: Range<usize>,
    /// The type's tokens, address space included.
    pub ty: Range<usize>,
    /// What is declared in threadgroup memory.
    pub variables: Vec<Declarator>,
    /// Pointers and references to threadgroup memory, which live elsewhere.
    pub pointers: Vec<Range<usize>>,
    /// Variables with an initializer, which the specification does not allow.
    pub initialized: Vec<Range<usize>>,
}

impl Program {
    /// The declaration of threadgroup variables whose `threadgroup` stands at `i`; `None` where there is none, as in
    /// a cast or in the declaration of pointers alone.
    pub fn threadgroup_declaration(&self, i: usize) -> Option<ThreadgroupDeclaration> {
        let s = &self.source;
        if !(s.is(i, sym::THREADGROUP) && s.ident(i)) {
            return None;
        }
        let mut start = i;
        while i - start < MAX_QUALIFIERS {
            let before = *s.tokens.get(start.checked_sub(1)?)?;
            let stops = before.ident()
                && matches!(
                    before.sym,
                    sym::RETURN | sym::CASE | sym::ELSE | sym::DO | sym::GOTO | sym::TYPEDEF | sym::USING
                );
            match before.sym {
                sym::SEMI | sym::LBRACE | sym::RBRACE | sym::COLON => break,
                _ if before.ident() && !stops => start -= 1,
                sym::SCOPE => start -= 1,
                _ => return None,
            }
        }
        let mut end = i;
        while !s.is(end, sym::SEMI) {
            if end >= s.tokens.len() || s.is(end, sym::RBRACE) {
                return None;
            }
            end = s.after(end);
        }
        let (ty, _) = s.type_end(start, end);
        let (mut variables, mut pointers, mut initialized) = (Vec::new(), Vec::new(), Vec::new());
        for piece in s.split(ty, end) {
            let d = s.declarator(piece.start, piece.end);
            if d.indirect() {
                pointers.push(piece);
            } else if d.end != piece.end {
                initialized.push(piece);
            } else {
                variables.push(d);
            }
        }
        let found = variables.iter().any(|v| v.name.is_some()) || !initialized.is_empty();
        found.then_some(ThreadgroupDeclaration {
            range: start..end + 1,
            ty: start..ty,
            variables,
            pointers,
            initialized,
        })
    }
}
