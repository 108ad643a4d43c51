//! What is said about a source, always with the user's own file and line.

mod compiler;

use std::fmt;
use std::sync::Arc;

pub use compiler::compiler_diagnostics;

/// A place in a source file as its author sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Name of the file, as it was given to [`Unit::parse`](crate::Unit::parse) or returned by the include loader.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1; 0 where only the line is known.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)?;
        if self.column > 0 {
            write!(f, ":{}", self.column)?;
        }
        Ok(())
    }
}

/// How much a diagnostic matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The source means something else than it seems to.
    Warning,
    /// There is no result.
    Error,
}

/// One remark about a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// File as the user named it.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1; 0 where only the line is known.
    pub column: u32,
    /// How much it matters.
    pub severity: Severity,
    /// What is wrong, without the place.
    pub message: String,
    /// What to do about it, or where the other end of the matter is.
    pub note: Option<String>,
}

impl Diagnostic {
    /// An error at `place`.
    pub fn error(place: Place, message: impl Into<String>) -> Diagnostic {
        let Place { file, line, column } = place;
        Diagnostic { file, line, column, severity: Severity::Error, message: message.into(), note: None }
    }

    /// A warning at `place`.
    pub fn warning(place: Place, message: impl Into<String>) -> Diagnostic {
        Diagnostic { severity: Severity::Warning, ..Diagnostic::error(place, message) }
    }

    /// The same with a note.
    pub fn with_note(self, note: impl Into<String>) -> Diagnostic {
        Diagnostic { note: Some(note.into()), ..self }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        Place { file: self.file.clone(), line: self.line, column: self.column }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(f, "{}: {severity}: {}", self.place(), self.message)?;
        if let Some(note) = &self.note {
            write!(f, "\n  note: {note}")?;
        }
        Ok(())
    }
}

/// A source that gives no result: every diagnostic found, at least one of them an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// In the order they were found.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.diagnostics.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            d.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<Diagnostic> for Error {
    fn from(d: Diagnostic) -> Error {
        Error { diagnostics: vec![d] }
    }
}
