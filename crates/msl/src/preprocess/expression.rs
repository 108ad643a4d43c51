//! Expressions of `#if`.

use super::{MAX_DEPTH, Preprocessor};
use crate::token::{Kind, Token, sym};

/// An integer of `#if`: 64 bits and whether they are unsigned.
#[derive(Clone, Copy)]
struct Number {
    bits: u64,
    unsigned: bool,
}

impl Number {
    fn signed(value: i64) -> Number {
        Number { bits: value as u64, unsigned: false }
    }

    fn truth(value: bool) -> Number {
        Number::signed(i64::from(value))
    }
}

/// What is wrong with an expression.
struct Wrong(&'static str);

/// A reader of one expression. Without `live`, operands are read and not judged.
struct Reader<'a> {
    tokens: &'a [Token],
    next: usize,
    spellings: &'a crate::token::Spellings,
    depth: usize,
}

impl Preprocessor<'_> {
    /// Whether the expression of the `#if` or `#elif` at `at` holds.
    pub(super) fn condition(&mut self, at: &Token, rest: &[Token]) -> bool {
        let replaced = self.without_defined(rest);
        let mut tokens = Vec::new();
        self.expand(&replaced, &mut tokens, 0);
        // A macro may have given further uses of `defined`.
        let tokens = self.without_defined(&tokens);
        let mut reader = Reader { tokens: &tokens, next: 0, spellings: &self.spellings, depth: 0 };
        let result = reader.comma(true).and_then(|n| match reader.tokens.get(reader.next) {
            Some(_) => Err(Wrong("something follows the expression")),
            None => Ok(n.bits != 0),
        });
        result.unwrap_or_else(|Wrong(message)| {
            self.error(at.from, format!("in this condition: {message}"));
            false
        })
    }

    /// The line with `defined(x)`, `__has_include(..)` and the like replaced by 0 or 1.
    fn without_defined(&mut self, line: &[Token]) -> Vec<Token> {
        let mut out = Vec::with_capacity(line.len());
        let mut i = 0;
        while i < line.len() {
            let t = line[i];
            if !t.ident() {
                out.push(t);
                i += 1;
                continue;
            }
            let open = line.get(i + 1).is_some_and(|n| n.is(sym::LPAREN));
            let known = self.text(&t) == "defined" || self.text(&t).starts_with("__has_");
            let close = known.then(|| line[i..].iter().position(|n| n.is(sym::RPAREN)).map(|n| i + n)).flatten();
            let value = match (self.text(&t), open, close) {
                ("defined", true, Some(close)) => Some((line.get(i + 2).is_some_and(|n| self.defined(n)), close + 1)),
                ("defined", false, _) => line.get(i + 1).map(|n| (self.defined(n), i + 2)),
                ("__has_include", true, Some(close)) => Some((self.has_include(&line[i + 2..close], &t), close + 1)),
                (
                    "__has_builtin" | "__has_feature" | "__has_extension" | "__has_attribute" | "__has_cpp_attribute",
                    true,
                    Some(close),
                ) => Some((false, close + 1)),
                _ => None,
            };
            match value {
                Some((yes, next)) => {
                    let sym = self.spellings.intern(if yes { "1" } else { "0" });
                    out.push(Token { kind: Kind::Number, sym, ..t });
                    i = next;
                }
                None => {
                    out.push(t);
                    i += 1;
                }
            }
        }
        out
    }
}

/// Binary operators by how tightly they bind.
fn binding(operator: &str) -> Option<u8> {
    Some(match operator {
        "||" => 1,
        "&&" => 2,
        "|" => 3,
        "^" => 4,
        "&" => 5,
        "==" | "!=" => 6,
        "<" | ">" | "<=" | ">=" => 7,
        "<<" | ">>" => 8,
        "+" | "-" => 9,
        "*" | "/" | "%" => 10,
        _ => return None,
    })
}

impl Reader<'_> {
    fn peek(&self) -> &str {
        match self.tokens.get(self.next) {
            Some(t) if t.kind == Kind::Punct => self.spellings.text(t.sym),
            _ => "",
        }
    }

    fn comma(&mut self, live: bool) -> Result<Number, Wrong> {
        let mut value = self.conditional(live)?;
        while self.peek() == "," {
            self.next += 1;
            value = self.conditional(live)?;
        }
        Ok(value)
    }

    fn conditional(&mut self, live: bool) -> Result<Number, Wrong> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(Wrong("it is nested too deep"));
        }
        let value = self.binary(1, live)?;
        let result = if self.peek() == "?" {
            self.next += 1;
            let yes = self.comma(live && value.bits != 0)?;
            if self.peek() != ":" {
                return Err(Wrong("? has no :"));
            }
            self.next += 1;
            let no = self.conditional(live && value.bits == 0)?;
            let chosen = if value.bits != 0 { yes } else { no };
            Number { unsigned: yes.unsigned || no.unsigned, ..chosen }
        } else {
            value
        };
        self.depth -= 1;
        Ok(result)
    }

    fn binary(&mut self, least: u8, live: bool) -> Result<Number, Wrong> {
        let mut left = self.unary(live)?;
        loop {
            let operator = self.peek().to_owned();
            let Some(level) = binding(&operator).filter(|l| *l >= least) else { return Ok(left) };
            self.next += 1;
            let needed = match operator.as_str() {
                "&&" => left.bits != 0,
                "||" => left.bits == 0,
                _ => true,
            };
            let right = self.binary(level + 1, live && needed)?;
            left = apply(&operator, left, right, live && needed)?;
        }
    }

    fn unary(&mut self, live: bool) -> Result<Number, Wrong> {
        let mut operators = Vec::new();
        while let "!" | "~" | "-" | "+" = self.peek() {
            operators.push(self.peek().to_owned());
            self.next += 1;
        }
        let mut value = self.primary(live)?;
        for operator in operators.iter().rev() {
            value = match operator.as_str() {
                "!" => Number::truth(value.bits == 0),
                "~" => Number { bits: !value.bits, ..value },
                "-" => Number { bits: value.bits.wrapping_neg(), ..value },
                _ => value,
            };
        }
        Ok(value)
    }

    fn primary(&mut self, live: bool) -> Result<Number, Wrong> {
        let Some(t) = self.tokens.get(self.next) else { return Err(Wrong("an operand is missing")) };
        self.next += 1;
        let text = self.spellings.text(t.sym);
        match t.kind {
            Kind::Number => number(text).ok_or(Wrong("this number is not an integer")),
            Kind::Char => Ok(Number::signed(character(text))),
            // Names that are no macros count as 0.
            Kind::Ident => Ok(Number::truth(t.sym == sym::TRUE)),
            Kind::Punct if t.sym == sym::LPAREN => {
                let value = self.comma(live)?;
                if self.peek() != ")" {
                    return Err(Wrong("( has no )"));
                }
                self.next += 1;
                Ok(value)
            }
            _ => Err(Wrong("an operand is missing")),
        }
    }
}

fn apply(operator: &str, a: Number, b: Number, live: bool) -> Result<Number, Wrong> {
    let unsigned = a.unsigned || b.unsigned;
    let (x, y) = (a.bits as i64, b.bits as i64);
    let arithmetic = |bits: u64| Number { bits, unsigned };
    let order = if unsigned { a.bits.cmp(&b.bits) } else { x.cmp(&y) };
    Ok(match operator {
        "||" => Number::truth(a.bits != 0 || b.bits != 0),
        "&&" => Number::truth(a.bits != 0 && b.bits != 0),
        "|" => arithmetic(a.bits | b.bits),
        "^" => arithmetic(a.bits ^ b.bits),
        "&" => arithmetic(a.bits & b.bits),
        "==" => Number::truth(order.is_eq()),
        "!=" => Number::truth(order.is_ne()),
        "<" => Number::truth(order.is_lt()),
        ">" => Number::truth(order.is_gt()),
        "<=" => Number::truth(order.is_le()),
        ">=" => Number::truth(order.is_ge()),
        "<<" => Number { bits: a.bits.checked_shl(b.bits as u32).unwrap_or(0), ..a },
        ">>" if a.unsigned => Number { bits: a.bits.checked_shr(b.bits as u32).unwrap_or(0), ..a },
        ">>" => Number { bits: (x >> b.bits.min(63)) as u64, ..a },
        "+" => arithmetic(a.bits.wrapping_add(b.bits)),
        "-" => arithmetic(a.bits.wrapping_sub(b.bits)),
        "*" => arithmetic(a.bits.wrapping_mul(b.bits)),
        _ if b.bits == 0 && live => return Err(Wrong("division by zero")),
        _ if b.bits == 0 => arithmetic(0),
        "/" if unsigned => arithmetic(a.bits / b.bits),
        "/" => arithmetic(x.wrapping_div(y) as u64),
        _ if unsigned => arithmetic(a.bits % b.bits),
        _ => arithmetic(x.wrapping_rem(y) as u64),
    })
}

/// An integer literal with its suffix.
fn number(text: &str) -> Option<Number> {
    let (bits, suffix) = crate::literal::integer(text)?;
    let unsigned = suffix.contains(['u', 'U']) || bits > i64::MAX as u64;
    Some(Number { bits, unsigned })
}

/// The value of a character literal.
fn character(text: &str) -> i64 {
    let inner = text.trim_matches('\'');
    match inner.as_bytes() {
        [b'\\', b'n'] => 10,
        [b'\\', b't'] => 9,
        [b'\\', b'r'] => 13,
        [b'\\', b'0'] => 0,
        [b'\\', c] => i64::from(*c),
        bytes => bytes.first().map_or(0, |b| i64::from(*b)),
    }
}
