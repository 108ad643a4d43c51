//! `c ? x : 0` where `x` may be a half.
//!
//! `half` and `bfloat` are classes in C++, convertible from and to numbers, so that a conditional between one of them and a
//! number is ambiguous. A literal arm is made to fit: an integer takes the other arm's type, and beside a floating
//! literal the other arm becomes a float, as Metal's conversions have it. The functions are in `glue.h`.

use std::ops::Range;

use super::edit::{Edit, Edits};
use crate::parse::Source;
use crate::program::Program;
use crate::token::{Kind, sym};

/// Tokens of an arm that is repeated at most.
const MAX_REPEATED: usize = 400;

/// What an arm is.
#[derive(PartialEq)]
enum Arm {
    Integer,
    Floating,
    Other,
}

impl Edits {
    /// Makes literal arms of all conditionals fit.
    pub(super) fn conditionals(&mut self, p: &Program) {
        let s = &p.source;
        for i in (0..s.tokens.len()).rev() {
            if s.text(i) != "?" || s.ident(i) {
                continue;
            }
            let Some((yes, no)) = arms(s, i) else { continue };
            match (arm(s, &yes), arm(s, &no)) {
                (Arm::Other, Arm::Integer) => self.integer_arm(p, no, yes),
                (Arm::Integer, Arm::Other) => self.integer_arm(p, yes, no),
                (Arm::Other, Arm::Floating) => self.widened(p, yes),
                (Arm::Floating, Arm::Other) => self.widened(p, no),
                _ => {}
            }
        }
    }

    fn integer_arm(&mut self, p: &Program, literal: Range<usize>, other: Range<usize>) {
        if other.len() > MAX_REPEATED {
            return;
        }
        let text = format!("msl_like<decltype({})>({})", self.render(p, other), self.render(p, literal.clone()));
        literal.clone().for_each(|k| self.edits[k] = Edit::Drop);
        self.edits[literal.start] = Edit::Text(text.into());
    }

    fn widened(&mut self, p: &Program, arm: Range<usize>) {
        let (first, last) = (arm.start, arm.end - 1);
        let text = |e: &Edits, k: usize| match &e.edits[k] {
            Edit::Keep => p.source.text(k).to_owned(),
            Edit::Text(t) => t.to_string(),
            Edit::Drop => String::new(),
        };
        self.edits[first] = Edit::Text(format!("msl_wide({}", text(self, first)).into());
        self.edits[last] = Edit::Text(format!("{})", text(self, last)).into());
    }
}

/// The two arms of the conditional whose `?` stands at `i`.
fn arms(s: &Source, i: usize) -> Option<(Range<usize>, Range<usize>)> {
    let after = |k: usize| if s.is(k, sym::LESS) { k + 1 } else { s.after(k) };
    let mut nesting = 0usize;
    let mut k = i + 1;
    let colon = loop {
        match s.text(k) {
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

/// What stands in an arm.
fn arm(s: &Source, range: &Range<usize>) -> Arm {
    let mut at = range.start;
    if s.text(at) == "-" || s.text(at) == "+" {
        at += 1;
    }
    if at + 1 != range.end {
        return Arm::Other;
    }
    let text = s.text(at);
    match s.tokens[at].kind {
        Kind::Number if text.ends_with(['h', 'H']) || text.ends_with("bf") || text.ends_with("BF") => Arm::Other,
        Kind::Number if crate::literal::integer(text).is_some() => Arm::Integer,
        Kind::Number => Arm::Floating,
        Kind::Ident if matches!(text, "INFINITY" | "HUGE_VALF" | "NAN" | "MAXFLOAT" | "FLT_MAX" | "FLT_MIN") => {
            Arm::Floating
        }
        _ => Arm::Other,
    }
}
