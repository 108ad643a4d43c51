//! Constant expressions: array sizes, attribute arguments, template arguments.

use crate::literal;
use crate::parse::ItemKind;
use crate::program::{Bindings, Program};
use crate::token::{Kind, Sym, Token, sym};

/// Names and operators looked into at most.
pub(crate) const MAX_DEPTH: usize = 48;

struct Reader<'a> {
    program: &'a Program,
    bindings: &'a Bindings,
    tokens: &'a [Token],
    next: usize,
    depth: usize,
}

impl Program {
    /// The value of a constant integer expression; `None` where it is not one that this front end can compute.
    pub fn evaluate(&self, tokens: &[Token], bindings: &Bindings) -> Option<i64> {
        self.evaluate_at(tokens, bindings, 0)
    }

    pub(crate) fn evaluate_at(&self, tokens: &[Token], bindings: &Bindings, depth: usize) -> Option<i64> {
        if depth > MAX_DEPTH || !self.spend() {
            return None;
        }
        let mut r = Reader { program: self, bindings, tokens, next: 0, depth };
        let value = r.conditional()?;
        (r.next == tokens.len()).then_some(value)
    }

    fn name_value(&self, name: Sym, bindings: &Bindings, depth: usize) -> Option<i64> {
        if depth > MAX_DEPTH {
            return None;
        }
        if let Some(tokens) = bindings.0.get(&name) {
            // An argument called like the parameter refers to what is outside.
            let outer = Bindings::default();
            let same = matches!(&tokens[..], [t] if t.sym == name);
            return self.evaluate_at(tokens, if same { &outer } else { bindings }, depth + 1);
        }
        self.named(name).find_map(|item| match &item.kind {
            ItemKind::Variable { init: Some(init), .. } => {
                self.evaluate_at(self.tokens(init.clone()), &Bindings::default(), depth + 1)
            }
            ItemKind::Record { body: Some(body) } => self.enumerator(*body, name, depth),
            _ => None,
        })
    }

    fn enumerator(&self, body: (usize, usize), name: Sym, depth: usize) -> Option<i64> {
        let mut value = -1;
        for piece in self.source.split(body.0 + 1, body.1) {
            let first = self.source.tokens.get(piece.start)?;
            value = if piece.len() > 2 && self.source.is(piece.start + 1, sym::ASSIGN) {
                self.evaluate_at(self.tokens(piece.start + 2..piece.end), &Bindings::default(), depth + 1)?
            } else {
                value.checked_add(1)?
            };
            if first.sym == name {
                return Some(value);
            }
        }
        None
    }
}

impl Reader<'_> {
    fn peek(&self) -> &str {
        match self.tokens.get(self.next) {
            Some(t) if t.kind == Kind::Punct => self.program.source.spellings.text(t.sym),
            _ => "",
        }
    }

    fn take(&mut self, text: &str) -> bool {
        let yes = self.peek() == text;
        self.next += usize::from(yes);
        yes
    }

    fn conditional(&mut self) -> Option<i64> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return None;
        }
        let value = self.binary(1)?;
        let result = if self.take("?") {
            let yes = self.conditional()?;
            if !self.take(":") {
                return None;
            }
            let no = self.conditional()?;
            if value != 0 { yes } else { no }
        } else {
            value
        };
        self.depth -= 1;
        Some(result)
    }

    /// The operator at hand and how tightly it binds. `>>` comes as two tokens.
    fn operator(&self) -> Option<(&'static str, u8, usize)> {
        let two = self.tokens.get(self.next + 1).is_some_and(|t| t.has(crate::token::GLUED));
        Some(match self.peek() {
            "||" => ("||", 1, 1),
            "&&" => ("&&", 2, 1),
            "|" => ("|", 3, 1),
            "^" => ("^", 4, 1),
            "&" => ("&", 5, 1),
            "==" => ("==", 6, 1),
            "!=" => ("!=", 6, 1),
            "<" => ("<", 7, 1),
            ">" if two => (">>", 8, 2),
            ">" => (">", 7, 1),
            "<=" => ("<=", 7, 1),
            ">=" => (">=", 7, 1),
            "<<" => ("<<", 8, 1),
            "+" => ("+", 9, 1),
            "-" => ("-", 9, 1),
            "*" => ("*", 10, 1),
            "/" => ("/", 10, 1),
            "%" => ("%", 10, 1),
            _ => return None,
        })
    }

    fn binary(&mut self, least: u8) -> Option<i64> {
        let mut left = self.unary()?;
        while let Some((operator, level, width)) = self.operator().filter(|o| o.1 >= least) {
            self.next += width;
            let right = self.binary(level + 1)?;
            left = match operator {
                "||" => i64::from(left != 0 || right != 0),
                "&&" => i64::from(left != 0 && right != 0),
                "|" => left | right,
                "^" => left ^ right,
                "&" => left & right,
                "==" => i64::from(left == right),
                "!=" => i64::from(left != right),
                "<" => i64::from(left < right),
                ">" => i64::from(left > right),
                "<=" => i64::from(left <= right),
                ">=" => i64::from(left >= right),
                "<<" => left.checked_shl(u32::try_from(right).ok()?)?,
                ">>" => left.checked_shr(u32::try_from(right).ok()?)?,
                "+" => left.checked_add(right)?,
                "-" => left.checked_sub(right)?,
                "*" => left.checked_mul(right)?,
                "/" => left.checked_div(right)?,
                _ => left.checked_rem(right)?,
            };
        }
        Some(left)
    }

    fn unary(&mut self) -> Option<i64> {
        let mut operators = Vec::new();
        loop {
            match self.peek() {
                "-" => operators.push('-'),
                "!" => operators.push('!'),
                "~" => operators.push('~'),
                "+" => operators.push('+'),
                _ => break,
            }
            self.next += 1;
        }
        let mut value = self.primary()?;
        for operator in operators.iter().rev() {
            value = match operator {
                '-' => value.checked_neg()?,
                '!' => i64::from(value == 0),
                '~' => !value,
                _ => value,
            };
        }
        Some(value)
    }

    /// Index of the parenthesis that closes the one at hand.
    fn closing(&self) -> Option<usize> {
        let mut nesting = 0usize;
        (self.next..self.tokens.len()).find(|i| {
            let t = &self.tokens[*i];
            nesting += usize::from(t.is(sym::LPAREN));
            if t.is(sym::RPAREN) {
                nesting = nesting.saturating_sub(1);
                return nesting == 0;
            }
            false
        })
    }

    fn primary(&mut self) -> Option<i64> {
        let t = *self.tokens.get(self.next)?;
        if t.is(sym::LPAREN) {
            let close = self.closing()?;
            let inner = &self.tokens[self.next + 1..close];
            // A cast: the parentheses hold a type.
            if self.program.layout_at(inner, self.bindings, self.depth + 1).is_some() && !self.is_value(inner) {
                self.next = close + 1;
                return self.unary();
            }
            self.next += 1;
            let value = self.conditional()?;
            return self.take(")").then_some(value);
        }
        self.next += 1;
        match t.kind {
            Kind::Number => literal::integer(self.program.source.spellings.text(t.sym)).map(|(v, _)| v as i64),
            Kind::Ident => self.name(t),
            _ => None,
        }
    }

    /// A single name that is bound to or declared as a value.
    fn is_value(&self, inner: &[Token]) -> bool {
        matches!(inner, [t] if self.program.name_value(t.sym, self.bindings, self.depth).is_some())
    }

    fn name(&mut self, t: Token) -> Option<i64> {
        match t.sym {
            sym::TRUE => return Some(1),
            sym::FALSE => return Some(0),
            sym::SIZEOF | sym::ALIGNOF if self.peek() == "(" => {
                let close = self.closing()?;
                let (size, align) =
                    self.program.layout_at(&self.tokens[self.next + 1..close], self.bindings, self.depth + 1)?;
                self.next = close + 1;
                return i64::try_from(if t.sym == sym::SIZEOF { size } else { align }).ok();
            }
            _ => {}
        }
        let mut last = t;
        while self.take("::") {
            last = *self.tokens.get(self.next)?;
            self.next += 1;
        }
        if self.peek() == "(" {
            let text = self.program.source.spellings.text(last.sym);
            self.next += 1;
            let first = self.conditional()?;
            if self.take(")") {
                // A cast written like a call.
                return self.program.layout_at(&[last], self.bindings, self.depth + 1).map(|_| first);
            }
            if !self.take(",") {
                return None;
            }
            let second = self.conditional()?;
            if !self.take(")") {
                return None;
            }
            return match text {
                "min" => Some(first.min(second)),
                "max" => Some(first.max(second)),
                _ => None,
            };
        }
        self.program.name_value(last.sym, self.bindings, self.depth)
    }
}
