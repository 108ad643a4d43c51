//! Reports in files: one as JSON, several as a JSON array, or one a line.

use std::fs;
use std::path::{Path, PathBuf};

use crate::record::{Report, SCHEMA};

/// Why a file holds no reports.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It is no report, as a whole or at a line.
    #[error("{path}{}: not a report of `metallic probe`: {source}", line.map_or(String::new(), |l| format!(", line {l}")))]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, where there is a report a line.
        line: Option<usize>,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A later program has written it.
    #[error("{path} has schema {got}, this program knows up to {SCHEMA}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Version of the report.
        got: u32,
    },
}

/// The reports of a file, in its order.
///
/// # Errors
/// A file that cannot be read, or holds something else.
pub fn read(path: &Path) -> Result<Vec<Report>, FileError> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Io { path: path.to_owned(), source })?;
    let reports =
        parse(&text).map_err(|(line, source)| FileError::Malformed { path: path.to_owned(), line, source })?;
    match reports.iter().map(|r| r.header.schema).find(|&s| s > SCHEMA) {
        Some(got) => Err(FileError::Newer { path: path.to_owned(), got }),
        None => Ok(reports),
    }
}

fn parse(text: &str) -> Result<Vec<Report>, (Option<usize>, serde_json::Error)> {
    let lines = || text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty());
    // Whole objects on lines of their own; a single one is a file of one line, or one that is spread over several.
    if lines().count() > 1 && lines().all(|(_, l)| l.starts_with('{') && l.trim_end().ends_with('}')) {
        return lines().map(|(i, l)| serde_json::from_str(l).map_err(|e| (Some(i + 1), e))).collect();
    }
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|e| (None, e));
    }
    serde_json::from_str(text).map(|r| vec![r]).map_err(|e| (None, e))
}
