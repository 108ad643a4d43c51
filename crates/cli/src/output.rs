//! Writing to standard output: through one buffer, with errors that are returned, never a panic.

use serde::Serialize;
use std::fmt::{self, Display};
use std::io::{self, BufWriter, StdoutLock, Write};

/// Standard output, locked and buffered. Whoever writes the last line flushes.
pub fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Characters in a line of standard output, where that is a terminal.
pub fn width() -> Option<usize> {
    terminal_size::terminal_size_of(io::stdout()).map(|(width, _)| width.0.into())
}

/// Prints a value as JSON, indented.
pub fn json(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string_pretty(value)?)
}

/// Prints a value as JSON on one line.
pub fn json_line(value: &impl Serialize) -> anyhow::Result<()> {
    line(&serde_json::to_string(value)?)
}

fn line(text: &str) -> anyhow::Result<()> {
    let mut out = stdout();
    writeln!(out, "{text}")?;
    out.flush()?;
    Ok(())
}

/// Tells the user something on standard error; nothing is lost where nobody reads it.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A count of bytes for people.
pub struct Bytes(pub u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
        let mut value = self.0 as f64;
        let mut unit = "B";
        for next in UNITS {
            if value < 1024.0 {
                break;
            }
            value /= 1024.0;
            unit = next;
        }
        let text = if unit == "B" { format!("{value} B") } else { format!("{value:.2} {unit}") };
        f.pad(&text)
    }
}

/// Things of a kind: `1 variant`, `2 variants`.
pub struct Counted(pub usize, pub &'static str);

impl Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", self.0, self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// A count for people: 494.03 M.
pub struct Count(pub u64);

impl Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = self.0 as f64;
        let text = match self.0 {
            0..1_000_000 => self.0.to_string(),
            1_000_000..1_000_000_000 => format!("{:.2} M", n / 1e6),
            _ => format!("{:.2} B", n / 1e9),
        };
        f.pad(&text)
    }
}

/// Which side a column of a table leans to.
#[derive(Clone, Copy)]
pub enum Align {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Rows of text with aligned columns.
pub struct Table {
    columns: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[(&'static str, Align)]) -> Table {
        Table { columns: columns.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; cells beyond the columns are dropped.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().take(self.columns.len()).collect());
    }

    fn widths(&self) -> Vec<usize> {
        let cell = |i: usize| self.rows.iter().filter_map(move |r| r.get(i)).map(|c| c.chars().count());
        self.columns.iter().enumerate().map(|(i, (name, _))| cell(i).max().unwrap_or(0).max(name.len())).collect()
    }

    /// Drops columns, the first of `expendable` first, until a line has `width` characters at most or none is left to drop.
    pub fn narrow(mut self, width: Option<usize>, expendable: &[&str]) -> Table {
        for name in expendable {
            let needed: usize = self.widths().iter().map(|w| w + 2).sum();
            let at = self.columns.iter().position(|(column, _)| column == name);
            if let Some(at) = at.filter(|_| width.is_some_and(|w| needed > w)) {
                self.columns.remove(at);
                self.rows.iter_mut().filter(|r| at < r.len()).for_each(|r| drop(r.remove(at)));
            }
        }
        self
    }

    /// Writes it with two spaces between columns.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let widths = self.widths();
        let heads = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        for row in std::iter::once(&heads).chain(&self.rows) {
            let mut line = String::from("  ");
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.columns) {
                line += &pad(cell, *width, *align);
                line += "  ";
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    /// Writes it as a Markdown table.
    pub fn write_markdown(&self, out: &mut impl Write) -> io::Result<()> {
        let widths = self.widths();
        let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
        let pads = |row: &[String]| {
            let cells = row.iter().zip(&widths).zip(&self.columns);
            cells.map(|((cell, width), (_, align))| pad(cell, *width, *align)).collect()
        };
        let heads: Vec<String> = self.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        writeln!(out, "{}", line(pads(&heads)))?;
        let rule = widths.iter().zip(&self.columns).map(|(w, (_, align))| match align {
            Align::Left => "-".repeat(*w),
            Align::Right => format!("{}:", "-".repeat(w - 1)),
        });
        writeln!(out, "{}", line(rule.collect()))?;
        self.rows.iter().try_for_each(|row| writeln!(out, "{}", line(pads(row))))
    }
}

fn pad(cell: &str, width: usize, align: Align) -> String {
    match align {
        Align::Left => format!("{cell:<width$}"),
        Align::Right => format!("{cell:>width$}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_as_narrow_as_it_can_be_made() {
        let table = || {
            let mut table = Table::new(&[("name", Align::Left), ("us", Align::Right), ("host", Align::Right)]);
            table.row(["a".to_owned(), "1.00".to_owned(), "2.00".to_owned()]);
            table
        };
        let lines = |width| {
            let mut out = Vec::new();
            table().narrow(width, &["host", "us"]).write(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(lines(None), "  name    us  host\n  a     1.00  2.00\n");
        assert_eq!(lines(Some(18)), lines(None));
        assert_eq!(lines(Some(17)), "  name    us\n  a     1.00\n");
        assert_eq!(lines(Some(3)), "  name\n  a\n");
    }
}
