//! Launch geometry: the manifest's `grid` and `threads` expressions, evaluated for a key.
//!
//! An expression is a number or a formula over `m n k batch` and the variant's knobs, with `+ - * / %`, parentheses,
//! `ceil(a/b)`, `min(a, b)` and `max(a, b)`. Division is whole and rounds down; inside `ceil` the outermost one rounds up.

use super::{Expr, Key, Variant};

/// Threads that a threadgroup may have on every device that runs MSL.
pub const MAX_THREADS: u32 = 1024;

/// How a GPU variant is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Geometry {
    /// Threadgroups along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a threadgroup along x, y and z.
    pub threads: [u32; 3],
}

/// Why a geometry cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// Native code, or an entry that forgot it.
    #[error("{variant} has no {field} in variants.json")]
    Absent {
        /// The variant.
        variant: String,
        /// `grid` or `threads`.
        field: &'static str,
    },
    /// An expression that cannot be evaluated.
    #[error("{variant}: {field} expression {expr:?}: {why}")]
    Expr {
        /// The variant.
        variant: String,
        /// `grid` or `threads`.
        field: &'static str,
        /// The expression as written.
        expr: String,
        /// What is wrong with it.
        why: ExprError,
    },
    /// More threads than a threadgroup may have.
    #[error("{variant}: {threads:?} threads a threadgroup are more than {MAX_THREADS}")]
    Threads {
        /// The variant.
        variant: String,
        /// Threads asked for.
        threads: [u32; 3],
    },
}

/// What is wrong with an expression.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExprError {
    /// Neither a dimension nor a knob.
    #[error("{0:?} is neither m, n, k or batch nor a knob of the variant")]
    Name(String),
    /// Something else was expected.
    #[error("{expected} expected at byte {at}")]
    Syntax {
        /// Byte of the expression.
        at: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// A value too large, or below zero.
    #[error("a value is below zero or too large")]
    Overflow,
    /// Division by zero.
    #[error("divides by zero")]
    Zero,
    /// The result counts threads or threadgroups.
    #[error("is {0}, not a count from 1 to 2^31 - 1")]
    Count(i64),
    /// Parentheses nested too deeply.
    #[error("is nested too deeply")]
    Depth,
}

impl Variant {
    /// The launch geometry for `key`.
    ///
    /// # Errors
    /// Native code has none; otherwise a mistake of the manifest, named with the expression.
    pub fn geometry(&self, key: &Key) -> Result<Geometry, GeometryError> {
        let grid = self.triple("grid", self.grid.as_ref(), key)?;
        let threads = self.triple("threads", self.threads.as_ref(), key)?;
        let product = threads.iter().try_fold(1u32, |p, &t| p.checked_mul(t));
        if product.is_none_or(|p| p > MAX_THREADS) {
            return Err(GeometryError::Threads { variant: self.id(), threads });
        }
        Ok(Geometry { grid, threads })
    }

    fn triple(&self, field: &'static str, exprs: Option<&[Expr; 3]>, key: &Key) -> Result<[u32; 3], GeometryError> {
        let exprs = exprs.ok_or_else(|| GeometryError::Absent { variant: self.id(), field })?;
        let mut out = [0; 3];
        for (to, expr) in out.iter_mut().zip(exprs) {
            *to = self.count(expr, key).map_err(|why| {
                let expr = match expr {
                    Expr::Number(n) => n.to_string(),
                    Expr::Formula(text) => text.clone(),
                };
                GeometryError::Expr { variant: self.id(), field, expr, why }
            })?;
        }
        Ok(out)
    }

    fn count(&self, expr: &Expr, key: &Key) -> Result<u32, ExprError> {
        let value = match expr {
            Expr::Number(n) => i64::try_from(*n).map_err(|_| ExprError::Overflow)?,
            Expr::Formula(text) => Parser { text, at: 0, depth: 0, variant: self, key }.whole()?,
        };
        if !(1..=i64::from(i32::MAX)).contains(&value) {
            return Err(ExprError::Count(value));
        }
        u32::try_from(value).map_err(|_| ExprError::Count(value))
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
    variant: &'a Variant,
    key: &'a Key,
}

impl Parser<'_> {
    fn whole(mut self) -> Result<i64, ExprError> {
        let value = self.sum()?;
        match self.peek() {
            None => Ok(value),
            Some(_) => self.fail("an operator or the end"),
        }
    }

    fn sum(&mut self) -> Result<i64, ExprError> {
        let mut value = self.product()?;
        loop {
            let op = self.peek();
            if !matches!(op, Some(b'+' | b'-')) {
                return Ok(value);
            }
            self.at += 1;
            let right = self.product()?;
            let result = if op == Some(b'+') { value.checked_add(right) } else { value.checked_sub(right) };
            value = result.ok_or(ExprError::Overflow)?;
        }
    }

    fn product(&mut self) -> Result<i64, ExprError> {
        let mut value = self.atom()?;
        loop {
            let op = self.peek();
            if !matches!(op, Some(b'*' | b'/' | b'%')) {
                return Ok(value);
            }
            self.at += 1;
            let right = self.atom()?;
            if right == 0 && op != Some(b'*') {
                return Err(ExprError::Zero);
            }
            let result = match op {
                Some(b'*') => value.checked_mul(right),
                Some(b'/') => value.checked_div_euclid(right),
                _ => value.checked_rem_euclid(right),
            };
            value = result.ok_or(ExprError::Overflow)?;
        }
    }

    fn atom(&mut self) -> Result<i64, ExprError> {
        match self.peek() {
            Some(b'(') => self.nested(Parser::sum),
            Some(c) if c.is_ascii_digit() => {
                let digits = self.word(|c| c.is_ascii_digit());
                digits.parse().map_err(|_| ExprError::Overflow)
            }
            Some(c) if c.is_ascii_alphabetic() || c == b'_' => {
                let name = self.word(|c| c.is_ascii_alphanumeric() || c == b'_');
                match name.as_str() {
                    "ceil" => self.nested(Parser::ceil),
                    "min" => self.nested(|p| p.pair().map(|(a, b)| a.min(b))),
                    "max" => self.nested(|p| p.pair().map(|(a, b)| a.max(b))),
                    _ => self.named(&name),
                }
            }
            _ => self.fail("a number, a name or a parenthesis"),
        }
    }

    /// The body of a parenthesis.
    fn nested(&mut self, body: impl FnOnce(&mut Self) -> Result<i64, ExprError>) -> Result<i64, ExprError> {
        self.expect(b'(', "(")?;
        self.depth += 1;
        if self.depth > 32 {
            return Err(ExprError::Depth);
        }
        let value = body(self)?;
        self.depth -= 1;
        self.expect(b')', ")")?;
        Ok(value)
    }

    /// `a/b` rounded up, where `a` and `b` are products' atoms.
    fn ceil(&mut self) -> Result<i64, ExprError> {
        let above = self.atom()?;
        self.expect(b'/', "/, as in ceil(a/b) with a and b a name, a number or a parenthesis,")?;
        let below = self.atom()?;
        if below == 0 {
            return Err(ExprError::Zero);
        }
        let up = above.checked_add(below).and_then(|v| v.checked_sub(1)).ok_or(ExprError::Overflow)?;
        up.checked_div_euclid(below).ok_or(ExprError::Overflow)
    }

    fn pair(&mut self) -> Result<(i64, i64), ExprError> {
        let first = self.sum()?;
        self.expect(b',', ",")?;
        Ok((first, self.sum()?))
    }

    fn named(&self, name: &str) -> Result<i64, ExprError> {
        let dim = match name {
            "m" => self.key.m,
            "n" => self.key.n,
            "k" => self.key.k,
            "batch" => self.key.batch,
            _ => return self.variant.knobs.get(name).copied().ok_or_else(|| ExprError::Name(name.to_owned())),
        };
        i64::try_from(dim).map_err(|_| ExprError::Overflow)
    }

    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    fn word(&mut self, is_part: fn(u8) -> bool) -> String {
        let start = self.at;
        let bytes = self.text.as_bytes();
        while bytes.get(self.at).is_some_and(|&c| is_part(c)) {
            self.at += 1;
        }
        String::from_utf8_lossy(&bytes[start..self.at]).into_owned()
    }

    fn expect(&mut self, c: u8, expected: &'static str) -> Result<(), ExprError> {
        if self.peek() == Some(c) {
            self.at += 1;
            return Ok(());
        }
        self.fail(expected)
    }

    fn fail<T>(&self, expected: &'static str) -> Result<T, ExprError> {
        Err(ExprError::Syntax { at: self.at, expected })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matmul;

    fn geometry(grid: &str, threads: &str) -> Result<Geometry, GeometryError> {
        let text = format!(
            r#"{{ "family": "f", "name": "v", "source": "v.metal", "entry": "v", "knobs": {{ "BN": 8, "ZERO": 0 }},
                 "grid": [{grid:?}, 1, "batch"], "threads": [{threads:?}, 1, 1], "enabled": true, "note": "-" }}"#
        );
        let variant: Variant = serde_json::from_str(&text).unwrap();
        let flags = crate::contract::Flags::NONE;
        variant.geometry(&matmul::key(3, 100, 70, crate::DType::F16, crate::contract::Layout::Row, flags))
    }

    fn error(grid: &str) -> ExprError {
        match geometry(grid, "1") {
            Err(GeometryError::Expr { why, expr, variant, field: "grid" }) if expr == grid && variant == "f/v" => why,
            other => panic!("{grid}: {other:?}"),
        }
    }

    #[test]
    fn expressions_have_their_values() {
        for (expr, want) in [
            ("7", 7),
            ("ceil(n/BN)", 13),
            ("ceil((n + 5)/(BN*2)) * m", 21),
            ("n - k % 8 * 2 + 1", 89),
            ("min(n, 4 * BN) + max(1, m)", 35),
            ("n / BN / 3", 4),
            (" ( ( m ) ) ", 3),
        ] {
            assert_eq!(
                geometry(expr, "BN * 4").unwrap(),
                Geometry { grid: [want, 1, 1], threads: [32, 1, 1] },
                "{expr}"
            );
        }
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(error("BM + 1"), ExprError::Name("BM".to_owned()));
        assert_eq!(error("n / ZERO"), ExprError::Zero);
        assert_eq!(error("ceil(n/(m-3))"), ExprError::Zero);
        assert_eq!(error("m - n"), ExprError::Count(-97));
        assert_eq!(error("ZERO"), ExprError::Count(0));
        assert_eq!(error("4000000000"), ExprError::Count(4_000_000_000));
        assert_eq!(error("99999999999999999999"), ExprError::Overflow);
        assert_eq!(error("9999999999 * 9999999999"), ExprError::Overflow);
        assert_eq!(error("n m"), ExprError::Syntax { at: 2, expected: "an operator or the end" });
        assert!(matches!(error("ceil(n)"), ExprError::Syntax { .. }));
        assert!(matches!(error("(n"), ExprError::Syntax { .. }));
        assert!(matches!(error(""), ExprError::Syntax { .. }));
        assert_eq!(error(&"(".repeat(10_000)), ExprError::Depth);
        assert!(matches!(geometry("1", "1025"), Err(GeometryError::Threads { .. })));
    }
}
