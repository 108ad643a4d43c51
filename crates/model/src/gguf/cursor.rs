//! A reader over bytes in memory that checks every step against the end.

use crate::Error;
use std::fmt::Display;

/// A range of bytes inside a file that was already checked.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub start: usize,
    pub len: usize,
}

impl Span {
    /// The bytes of the span; empty where `bytes` is not the file it was checked against.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        self.start.checked_add(self.len).and_then(|end| bytes.get(self.start..end)).unwrap_or_default()
    }
}

pub(crate) struct Cursor<'a> {
    bytes: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    pub fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, pos: 0 }
    }

    pub fn pos(&self) -> usize {
        self.pos
    }

    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.pos
    }

    pub fn truncated(&self, need: u64, expected: impl Display) -> Error {
        Error::Truncated { offset: self.pos as u64, expected: expected.to_string(), need, len: self.bytes.len() as u64 }
    }

    /// The next `n` bytes, called `expected` in the error.
    pub fn take(&mut self, n: u64, expected: impl Display) -> Result<Span, Error> {
        if n > self.remaining() as u64 {
            return Err(self.truncated(n, expected));
        }
        let span = Span { start: self.pos, len: n as usize };
        self.pos += n as usize;
        Ok(span)
    }

    fn array<const N: usize>(&mut self, expected: impl Display) -> Result<[u8; N], Error> {
        let rest = self.bytes.get(self.pos..).unwrap_or_default();
        let Some(a) = rest.first_chunk::<N>() else { return Err(self.truncated(N as u64, expected)) };
        self.pos += N;
        Ok(*a)
    }

    pub fn u32(&mut self, expected: impl Display) -> Result<u32, Error> {
        self.array(expected).map(u32::from_le_bytes)
    }

    pub fn u64(&mut self, expected: impl Display) -> Result<u64, Error> {
        self.array(expected).map(u64::from_le_bytes)
    }

    /// A string: u64 length, then that many bytes, of any content.
    pub fn string(&mut self, expected: impl Display) -> Result<Span, Error> {
        let n = self.u64(&expected)?;
        self.take(n, expected)
    }

    /// A string that must be UTF-8.
    pub fn utf8(&mut self, what: impl Display) -> Result<Span, Error> {
        let span = self.string(&what)?;
        match std::str::from_utf8(span.of(self.bytes)) {
            Ok(_) => Ok(span),
            Err(e) => Err(Error::malformed(span.start, &what.to_string(), "UTF-8", e)),
        }
    }
}
