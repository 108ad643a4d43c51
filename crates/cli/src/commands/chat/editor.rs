//! The line editor: history in a file, entries of several lines, completion of commands.

use super::COMMANDS;
use crate::interrupt;
use anyhow::Context as _;
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Helper};
use std::io::IsTerminal;
use std::path::PathBuf;

const QUOTES: &str = "\"\"\"";
const REMEMBERED: usize = 1000;

/// What the user gave.
pub enum Entry {
    /// Something to answer, or a command.
    Text(String),
    /// An empty line, or one that was given up.
    Nothing,
    /// Ctrl-D.
    End,
}

/// Reads entries and remembers them.
pub struct Editor {
    lines: rustyline::Editor<Rules, FileHistory>,
    history: Option<PathBuf>,
}

impl Editor {
    /// An editor with the history of earlier conversations.
    pub fn new() -> anyhow::Result<Editor> {
        let config = Config::builder().max_history_size(REMEMBERED)?.auto_add_history(false).build();
        let mut lines = rustyline::Editor::with_config(config).context("cannot edit lines on this terminal")?;
        lines.set_helper(Some(Rules));
        let history = history_path();
        if let Some(path) = &history {
            // The first conversation has none.
            let _ = lines.load_history(path);
        }
        Ok(Editor { lines, history })
    }

    /// Asks for an entry.
    pub fn read(&mut self) -> anyhow::Result<Entry> {
        // A terminal is in raw mode meanwhile: there Ctrl-C is a key, and signals are left to the editor.
        let read = if std::io::stdin().is_terminal() {
            self.lines.readline("> ")
        } else {
            interrupt::waiting(|| self.lines.readline("> "))?
        };
        match read {
            Ok(line) => {
                let text = unquoted(&line);
                if text.trim().is_empty() {
                    return Ok(Entry::Nothing);
                }
                let _ = self.lines.add_history_entry(line.as_str());
                Ok(Entry::Text(text))
            }
            Err(ReadlineError::Interrupted) => Ok(Entry::Nothing),
            Err(ReadlineError::Eof) => Ok(Entry::End),
            Err(e) => Err(e).context("cannot read from the terminal"),
        }
    }

    /// Writes the history; where that fails nothing but history is lost.
    pub fn save(&mut self) {
        if let Some(path) = &self.history {
            let _ = path.parent().map(std::fs::create_dir_all);
            let _ = self.lines.save_history(path);
        }
    }
}

/// By the XDG base directory specification, 0.8.
fn history_path() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let state = set("XDG_STATE_HOME").or_else(|| Some(set("HOME")?.join(".local/state")))?;
    Some(state.join("metallic/history"))
}

/// An entry without the signs that made it one of several lines.
fn unquoted(entry: &str) -> String {
    match entry.trim().strip_prefix(QUOTES) {
        Some(inner) => inner.strip_suffix(QUOTES).unwrap_or(inner).trim_matches('\n').to_owned(),
        None => entry.replace("\\\n", "\n"),
    }
}

fn is_open(entry: &str) -> bool {
    match entry.trim().strip_prefix(QUOTES) {
        Some(inner) => !inner.ends_with(QUOTES),
        None => entry.ends_with('\\'),
    }
}

struct Rules;

impl Validator for Rules {
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if is_open(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Completer for Rules {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let begun = line.get(..at).unwrap_or_default();
        let fitting =
            COMMANDS.iter().map(|(name, _)| *name).filter(|name| begun.starts_with('/') && name.starts_with(begun));
        Ok((0, fitting.map(str::to_owned).collect()))
    }
}

impl Hinter for Rules {
    type Hint = String;
}

impl Highlighter for Rules {}

impl Helper for Rules {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_lines() {
        assert!(is_open("a\\") && is_open("\"\"\"a") && is_open("\"\"\""));
        assert!(!is_open("a") && !is_open("\"\"\"a\nb\"\"\""));
        assert_eq!(unquoted("a\\\nb"), "a\nb");
        assert_eq!(unquoted("\"\"\"\na\nb\n\"\"\""), "a\nb");
    }
}
