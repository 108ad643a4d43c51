//! Problems and entries as rows of the history.

use rusqlite::{Connection, Row, Transaction, params};

use crate::record::{Entry, Outcome, Problem, Shape};

/// The problems of a run, each with its number, without entries.
pub fn problems(connection: &Connection, run: i64) -> rusqlite::Result<Vec<(i64, Problem)>> {
    let mut query = connection.prepare_cached(
        "SELECT problem, op, title, key, detail, m, n, k, batch, bytes, flops, floor_us FROM problem
         WHERE run = ?1 ORDER BY problem",
    )?;
    let problem = |row: &Row<'_>| {
        let shape = Shape { m: row.get(5)?, n: row.get(6)?, k: row.get(7)?, batch: row.get(8)? };
        let problem = Problem {
            op: row.get(1)?,
            title: row.get(2)?,
            key: row.get(3)?,
            shape,
            detail: row.get(4)?,
            bytes: row.get(9)?,
            flops: row.get(10)?,
            floor_us: row.get(11)?,
            entries: Vec::new(),
        };
        Ok((row.get(0)?, problem))
    };
    query.query_map([run], problem)?.collect()
}

/// Variant, target, whether enabled, and outcome as JSON, of a problem's entries.
pub fn entries(connection: &Connection, problem: i64) -> rusqlite::Result<Vec<(String, String, bool, String)>> {
    let mut query = connection
        .prepare_cached("SELECT variant, target, enabled, outcome FROM entry WHERE problem = ?1 ORDER BY entry")?;
    query.query_map([problem], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?.collect()
}

/// Adds a problem without its entries and gives its number.
pub fn add_problem(change: &Transaction<'_>, run: i64, p: &Problem) -> rusqlite::Result<i64> {
    let mut insert = change.prepare_cached(
        "INSERT INTO problem (run, op, title, key, detail, m, n, k, batch, bytes, flops, floor_us)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
    )?;
    let Shape { m, n, k, batch } = p.shape;
    insert.insert(params![run, p.op, p.title, p.key, p.detail, m, n, k, batch, p.bytes, p.flops, p.floor_us])
}

/// Adds an entry of a problem.
pub fn add_entry(change: &Transaction<'_>, problem: i64, e: &Entry, outcome: &str) -> rusqlite::Result<i64> {
    let mut insert = change.prepare_cached(
        "INSERT INTO entry (problem, variant, target, enabled, state, cold_us, hot_us, outcome)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    let times = match &e.outcome {
        Outcome::Measured(m) => Some((m.cold.median_us, m.hot.median_us)),
        _ => None,
    };
    let (cold, hot) = times.unzip();
    insert.insert(params![problem, e.variant, e.target, e.enabled, e.outcome.name(), cold, hot, outcome])
}
