//! Earlier runs, in one SQLite file: what `--compare` compares with.
//!
//! ```text
//! migration  which versions of this schema the file has seen     run      header and roofline of a report
//! problem    its problems, in order                              entry    each variant, its outcome as JSON, its medians as numbers
//! ```
//!
//! A report comes out as it went in. Medians lie beside the JSON so that plain SQL can ask for them:
//! `SELECT started, cold_us FROM run JOIN problem USING (run) JOIN entry USING (problem) WHERE variant = '...' AND key = '...'`.

mod files;
mod rows;

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::record::{Entry, Header, Report};

pub use files::{FileError, read};

/// Statements that bring a file from each version to the next. Never edited, only added to.
const MIGRATIONS: [&str; 1] = [include_str!("history/1.sql")];

/// What can go wrong with a history.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// SQLite refuses.
    #[error("{path}: {reason}")]
    Sqlite {
        /// The history's file.
        path: PathBuf,
        /// SQLite's words, which say twice what its own source says.
        reason: rusqlite::Error,
    },
    /// What lies in the file is not what was put there.
    #[error("{path}: run {run} holds {what} that cannot be read: {source}")]
    Malformed {
        /// The history's file.
        path: PathBuf,
        /// The run.
        run: i64,
        /// The part.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A later program has written the file.
    #[error("{path} has schema {got}, this program knows up to {known}; use the program that wrote it")]
    Newer {
        /// The history's file.
        path: PathBuf,
        /// Version of the file.
        got: usize,
        /// Newest version known here.
        known: usize,
    },
    /// Nothing in the history is meant.
    #[error("{path} holds no run {what}; {}", held(known))]
    NoRun {
        /// The history's file.
        path: PathBuf,
        /// What was asked for.
        what: String,
        /// Runs that there are, newest first.
        known: Vec<RunInfo>,
    },
    /// A report with a number that JSON cannot hold.
    #[error("{path}: the report cannot be written: {source}")]
    Unwritable {
        /// The history's file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

fn held(runs: &[RunInfo]) -> String {
    if runs.is_empty() {
        return "it is empty".to_owned();
    }
    let some: Vec<String> = runs.iter().take(5).map(|r| format!("{} ({} on {})", r.run, r.commit, r.device)).collect();
    format!("the newest are {}", some.join(", "))
}

/// A run without its measurements.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunInfo {
    /// Its number in this history.
    pub run: i64,
    /// Start, UTC, RFC 3339.
    pub started: String,
    /// Commit of the source.
    pub commit: String,
    /// Device, short.
    pub device: String,
    /// Device, driver and compiler, in words.
    pub description: String,
    /// The command that repeats it.
    pub command: String,
    /// Problems.
    pub problems: usize,
    /// Variants measured, over all problems.
    pub measured: usize,
}

/// Which run of a history is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// The newest of the same device.
    Last,
    /// By number.
    Run(i64),
    /// The newest of a commit, given by its first characters.
    Commit(String),
}

impl Which {
    /// `last`, a number of at most six digits, or a commit.
    pub fn parse(text: &str) -> Which {
        match text.parse() {
            _ if text == "last" => Which::Last,
            Ok(run) if text.len() <= 6 => Which::Run(run),
            _ => Which::Commit(text.to_owned()),
        }
    }
}

/// Runs in a file.
pub struct History {
    path: PathBuf,
    connection: Connection,
}

impl History {
    /// Opens a history, and begins one where there is none.
    ///
    /// # Errors
    /// A file that cannot be opened, is no SQLite file, or has a newer schema.
    pub fn open(path: &Path) -> Result<History, HistoryError> {
        History::with(path, Connection::open(path))
    }

    /// A history that is gone with the value.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn in_memory() -> Result<History, HistoryError> {
        History::with(Path::new(":memory:"), Connection::open_in_memory())
    }

    fn with(path: &Path, connection: rusqlite::Result<Connection>) -> Result<History, HistoryError> {
        let sqlite = |reason| HistoryError::Sqlite { path: path.to_owned(), reason };
        let mut history = History { path: path.to_owned(), connection: connection.map_err(sqlite)? };
        history.connection.execute_batch("PRAGMA foreign_keys = ON").map_err(sqlite)?;
        history.migrate()?;
        Ok(history)
    }

    fn sqlite(&self) -> impl Fn(rusqlite::Error) -> HistoryError + use<> {
        let path = self.path.clone();
        move |reason| HistoryError::Sqlite { path: path.clone(), reason }
    }

    fn migrate(&mut self) -> Result<(), HistoryError> {
        let sqlite = self.sqlite();
        // The version is read under the lock of the transaction that changes it: two programs may open a new file at once.
        let begin = rusqlite::TransactionBehavior::Immediate;
        let change = self.connection.transaction_with_behavior(begin).map_err(&sqlite)?;
        change
            .execute_batch("CREATE TABLE IF NOT EXISTS migration (version INTEGER PRIMARY KEY, applied TEXT NOT NULL)")
            .map_err(&sqlite)?;
        let version = "SELECT coalesce(max(version), 0) FROM migration";
        let got: usize = change.query_row(version, [], |row| row.get(0)).map_err(&sqlite)?;
        if got > MIGRATIONS.len() {
            return Err(HistoryError::Newer { path: self.path.clone(), got, known: MIGRATIONS.len() });
        }
        for (i, statements) in MIGRATIONS.iter().enumerate().skip(got) {
            change.execute_batch(statements).map_err(&sqlite)?;
            let note = "INSERT INTO migration VALUES (?1, strftime('%Y-%m-%dT%H:%M:%SZ', 'now'))";
            change.execute(note, [i + 1]).map_err(&sqlite)?;
        }
        change.commit().map_err(&sqlite)
    }

    /// Adds a run and gives its number. One that is there already, by device, start, commit and command, is not added again.
    ///
    /// # Errors
    /// What SQLite says; nothing of the run is added then.
    pub fn add(&mut self, report: &Report) -> Result<i64, HistoryError> {
        let sqlite = self.sqlite();
        let path = self.path.clone();
        let unwritable = |source| HistoryError::Unwritable { path: path.clone(), source };
        let change = self.connection.transaction().map_err(&sqlite)?;
        let h = &report.header;
        let same = "SELECT run FROM run WHERE description = ?1 AND started = ?2 AND commit_id = ?3 AND command = ?4";
        let known = change.query_row(same, params![h.description, h.started, h.commit, h.command], |row| row.get(0));
        if let Some(run) = known.optional().map_err(&sqlite)? {
            return Ok(run);
        }
        let json = |e: Result<String, serde_json::Error>| e.map_err(unwritable);
        let header = json(serde_json::to_string(h))?;
        let roofline = json(serde_json::to_string(&report.roofline))?;
        change
            .execute(
                "INSERT INTO run (started, commit_id, device, description, command, header, roofline)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                params![h.started, h.commit, h.device, h.description, h.command, header, roofline],
            )
            .map_err(&sqlite)?;
        let run = change.last_insert_rowid();
        for problem in &report.problems {
            let number = rows::add_problem(&change, run, problem).map_err(&sqlite)?;
            for entry in &problem.entries {
                let outcome = json(serde_json::to_string(&entry.outcome))?;
                rows::add_entry(&change, number, entry, &outcome).map_err(&sqlite)?;
            }
        }
        change.commit().map_err(&sqlite)?;
        Ok(run)
    }

    /// Every run, newest first.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn runs(&self) -> Result<Vec<RunInfo>, HistoryError> {
        let list = || {
            let mut query = self.connection.prepare(
                "SELECT run, started, commit_id, device, description, command,
                        (SELECT count(*) FROM problem p WHERE p.run = r.run),
                        (SELECT count(cold_us) FROM problem p JOIN entry USING (problem) WHERE p.run = r.run)
                 FROM run r ORDER BY started DESC, run DESC",
            )?;
            let info = |row: &Row<'_>| {
                Ok(RunInfo {
                    run: row.get(0)?,
                    started: row.get(1)?,
                    commit: row.get(2)?,
                    device: row.get(3)?,
                    description: row.get(4)?,
                    command: row.get(5)?,
                    problems: row.get(6)?,
                    measured: row.get(7)?,
                })
            };
            query.query_map([], info)?.collect::<rusqlite::Result<Vec<_>>>()
        };
        list().map_err(self.sqlite())
    }

    /// The run that is meant, for one with the header `h` to be compared with: of its device where `which` does not name the run
    /// itself, and never its own.
    ///
    /// # Errors
    /// [`HistoryError::NoRun`] where there is none.
    pub fn find(&self, which: &Which, h: &Header) -> Result<RunInfo, HistoryError> {
        let runs = self.runs()?;
        let other = |r: &&RunInfo| (&r.started, &r.commit, &r.command) != (&h.started, &h.commit, &h.command);
        let of_device = |r: &&RunInfo| r.description == h.description && r.device == h.device;
        let found = match which {
            Which::Run(run) => runs.iter().find(|r| r.run == *run),
            Which::Last => runs.iter().filter(of_device).find(other),
            Which::Commit(start) => {
                runs.iter().filter(of_device).filter(other).find(|r| r.commit.starts_with(start.as_str()))
            }
        };
        found.cloned().ok_or_else(|| HistoryError::NoRun {
            path: self.path.clone(),
            what: match which {
                Which::Run(run) => run.to_string(),
                Which::Last => format!("before this one on {}", h.description),
                Which::Commit(start) => format!("of commit {start} on {}", h.description),
            },
            known: runs.clone(),
        })
    }

    /// The report of a run, as it was added.
    ///
    /// # Errors
    /// [`HistoryError::NoRun`], or what SQLite says.
    pub fn load(&self, run: i64) -> Result<Report, HistoryError> {
        let head = "SELECT header, roofline FROM run WHERE run = ?1";
        let row = self.connection.query_row(head, [run], |row| Ok((row.get(0)?, row.get(1)?)));
        let (header, roofline): (String, String) = match row.optional().map_err(self.sqlite())? {
            Some(row) => row,
            None => {
                let (path, known) = (self.path.clone(), self.runs()?);
                return Err(HistoryError::NoRun { path, what: run.to_string(), known });
            }
        };
        let mut report = Report {
            header: self.parsed(run, "a header", &header)?,
            roofline: self.parsed(run, "a roofline", &roofline)?,
            problems: Vec::new(),
        };
        for (number, problem) in rows::problems(&self.connection, run).map_err(self.sqlite())? {
            let mut problem = problem;
            for (variant, target, enabled, outcome) in rows::entries(&self.connection, number).map_err(self.sqlite())? {
                let outcome = self.parsed(run, "an outcome", &outcome)?;
                problem.entries.push(Entry { variant, target, enabled, outcome });
            }
            report.problems.push(problem);
        }
        Ok(report)
    }

    fn parsed<T: DeserializeOwned>(&self, run: i64, what: &'static str, text: &str) -> Result<T, HistoryError> {
        let path = || self.path.clone();
        serde_json::from_str(text).map_err(|source| HistoryError::Malformed { path: path(), run, what, source })
    }
}

#[cfg(test)]
mod tests;
