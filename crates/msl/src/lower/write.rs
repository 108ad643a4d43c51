//! Writes tokens as C++ text whose lines are the user's lines.

use std::fmt::Write;
use std::sync::Arc;

use crate::program::glues;
use crate::token::{FIRST, Pos, SPACE, Token};

/// Lines that are skipped with newlines; further ones with `#line`.
const NEAR: u32 = 6;

/// A text under way.
pub(crate) struct Writer<'a> {
    pub text: String,
    files: &'a [Arc<str>],
    /// File and line that the compiler believes the end of the text to be at.
    at: Option<(u32, u32)>,
    line_start: bool,
}

impl<'a> Writer<'a> {
    pub fn new(text: String, files: &'a [Arc<str>]) -> Writer<'a> {
        Writer { text, files, at: None, line_start: true }
    }

    /// Moves to the line of `pos`.
    fn seek(&mut self, pos: Pos) {
        match self.at {
            Some((file, line)) if file == pos.file && line == pos.line => return,
            Some((file, line)) if file == pos.file && line < pos.line && pos.line - line <= NEAR => {
                (line..pos.line).for_each(|_| self.text.push('\n'));
            }
            _ => {
                if !self.line_start {
                    self.text.push('\n');
                }
                let name = self.files[pos.file as usize].replace('\\', "\\\\").replace('"', "\\\"");
                let _ = writeln!(self.text, "#line {} \"{name}\"", pos.line);
            }
        }
        self.at = Some((pos.file, pos.line));
        self.line_start = true;
    }

    /// Writes `text` in the place of `token`.
    pub fn token(&mut self, token: &Token, text: &str) {
        self.seek(token.from);
        if self.line_start {
            let indent = if token.at == token.from { token.from.column.saturating_sub(1).min(60) } else { 0 };
            (0..indent).for_each(|_| self.text.push(' '));
        } else if token.flags & (SPACE | FIRST) != 0 || glues(&self.text, text) {
            self.text.push(' ');
        }
        self.text.push_str(text);
        self.line_start = false;
    }

    /// Writes a directive on a line of its own.
    pub fn directive(&mut self, pos: Pos, text: &str) {
        self.seek(pos);
        if !self.line_start {
            self.text.push('\n');
        }
        self.text.push_str(text);
        self.text.push('\n');
        self.at = None;
        self.line_start = true;
    }

    /// Writes lines that are reported at `pos`.
    pub fn lines(&mut self, pos: Pos, text: &str) {
        for line in text.lines() {
            self.at = None;
            self.seek(pos);
            self.text.push_str(line);
            self.line_start = false;
        }
        self.text.push('\n');
        self.at = None;
        self.line_start = true;
    }
}
