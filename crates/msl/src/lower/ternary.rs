//! `c ? x : y` where one of the two may be a half.
//!
//! `half` and `bfloat` are classes in C++, convertible from and to numbers, so that a conditional between one of them and
//! another number is ambiguous. Each arm is cast to what Metal's conversions make of it, which is its own type wherever
//! they have nothing to do: `msl_arm` in `glue.h`.

use std::ops::Range;

use super::edit::{Edit, Edits};
use crate::parse::Source;
use crate::program::Program;
use crate::token::{Kind, sym};

/// Characters of two arms that are repeated at most: conditionals inside conditionals grow threefold.
const MAX_REPEATED: usize = 2000;
/// Tokens of a conditional at most.
const MAX_TOKENS: usize = 1000;

impl Edits {
    /// Casts the arms of all conditionals of a source that has halfs.
    pub(super) fn conditionals(&mut self, p: &Program) {
        let s = &p.source;
        let halfs = s.tokens.iter().any(|t| {
            let text = s.spellings.text(t.sym);
            t.ident() && (text.contains("half") || text.contains("bfloat"))
                || t.kind == Kind::Number && text.ends_with('h')
        });
        if !halfs {
            return;
        }
        for i in (0..s.tokens.len()).rev() {
            if s.text(i) == "?"
                && let Some((yes, no)) = arms(s, i)
                && castable(s, &yes)
                && castable(s, &no)
                && !(literal(s, &yes) && literal(s, &no))
            {
                let (a, b) = (self.render(p, yes.clone()), self.render(p, no.clone()));
                if a.len() + b.len() <= MAX_REPEATED {
                    self.cast(p, yes, format!("static_cast<msl_arm<decltype(({a})), decltype(({b}))>>("));
                    self.cast(p, no, format!("static_cast<msl_arm<decltype(({b})), decltype(({a}))>>("));
                }
            }
        }
    }

    /// Puts `open` in front of an arm and closes the parenthesis after it.
    fn cast(&mut self, p: &Program, arm: Range<usize>, open: String) {
        let text = |e: &Edits, k: usize| match &e.edits[k] {
            Edit::Keep => p.source.text(k).to_owned(),
            Edit::Text(t) => t.to_string(),
            Edit::Drop => String::new(),
        };
        let first = format!("{open}{}", text(self, arm.start));
        self.edits[arm.start] = Edit::Text(first.into());
        let last = format!("{})", text(self, arm.end - 1));
        self.edits[arm.end - 1] = Edit::Text(last.into());
    }
}

/// Whether an arm has a type that can be asked for.
fn castable(s: &Source, arm: &Range<usize>) -> bool {
    let first = s.text(arm.start);
    let one = arm.len() == 1;
    !(one && matches!(first, "NULL" | "nullptr")
        || s.tokens[arm.start].kind == Kind::Str
        || matches!(first, "throw" | "{"))
}

fn literal(s: &Source, arm: &Range<usize>) -> bool {
    arm.len() == 1 && s.tokens[arm.start].kind == Kind::Number
}

/// The two arms of the conditional whose `?` stands at `i`.
fn arms(s: &Source, i: usize) -> Option<(Range<usize>, Range<usize>)> {
    let after = |k: usize| if s.is(k, sym::LESS) { k + 1 } else { s.after(k) };
    let mut nesting = 0usize;
    let mut k = i + 1;
    let colon = loop {
        match s.text(k) {
            _ if k - i > MAX_TOKENS => return None,
            "" | ";" | ")" | "]" | "}" => return None,
            "?" => nesting += 1,
            ":" if nesting == 0 => break k,
            ":" => nesting -= 1,
            _ => {}
        }
        k = after(k);
    };
    k = colon + 1;
    loop {
        match s.text(k) {
            _ if k > i + 2 * MAX_TOKENS => return None,
            "" => return None,
            ";" | ")" | "]" | "}" | "," => break,
            "?" => nesting += 1,
            ":" if nesting == 0 => break,
            ":" => nesting -= 1,
            _ => {}
        }
        k = after(k);
    }
    (colon > i + 1 && k > colon + 1).then_some((i + 1..colon, colon + 1..k))
}
