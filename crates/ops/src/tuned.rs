//! Tables of winners, measured on a device and kept in `tuned/`: which variants are fastest on which problems.

use std::path::Path;

use metallic_device::Device;
use metallic_kernels::contract::{Flags, Key, Layout};
use metallic_kernels::{DType, op};
use serde::{Deserialize, Serialize};

include!(concat!(env!("OUT_DIR"), "/tables.rs"));

/// Version of the format.
pub const SCHEMA: u32 = 1;

/// A table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// On what it was measured.
    pub header: Header,
    /// Problems with their variants; no two are about the same problem.
    pub entries: Vec<Entry>,
}

/// On what a table was measured, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Short name of the device: `cuda`, `cpu`.
    pub device: String,
    /// Its model: what [`Device::describe`] says up to the first comma. With `device` it decides where the table is used.
    pub model: String,
    /// Device, driver and compiler, in words.
    pub description: String,
    /// Commit of the source.
    pub commit: String,
    /// Start, UTC, RFC 3339.
    pub started: String,
    /// The command that repeats it.
    pub command: String,
}

/// The variants for a range of problems, fastest first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// The op.
    pub op: String,
    /// Type of the stored operand.
    pub w: String,
    /// Type of the activations.
    pub act: String,
    /// Layout of the stored operand; `None` for all, so that the variant decides how a weight is stored.
    pub layout: Option<Layout>,
    /// Flags in the words of a key, with spaces between.
    pub flags: String,
    /// Independent problems.
    pub batch: Bounds,
    /// Rows.
    pub m: Bounds,
    /// Outputs of a row.
    pub n: Bounds,
    /// Reduced dimension.
    pub k: Bounds,
    /// `family/name` of variants, fastest first.
    pub variants: Vec<String>,
}

/// Values of a dimension, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bounds(
    /// Smallest value.
    pub usize,
    /// Largest value; `None` for no end.
    pub Option<usize>,
);

impl Bounds {
    /// One value.
    pub fn exactly(value: usize) -> Bounds {
        Bounds(value, Some(value))
    }

    fn holds(self, value: usize) -> bool {
        value >= self.0 && self.1.is_none_or(|most| value <= most)
    }

    fn is_empty(self) -> bool {
        self.1.is_some_and(|most| most < self.0)
    }

    fn meets(self, other: Bounds) -> bool {
        self.1.is_none_or(|most| other.0 <= most) && other.1.is_none_or(|most| self.0 <= most)
    }
}

/// What is wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// Its file cannot be read.
    #[error("tuned/{name} cannot be read: {source}")]
    Read {
        /// The file.
        name: String,
        /// The system's reason.
        source: std::io::Error,
    },
    /// It does not parse.
    #[error("tuned/{name}: {source}")]
    Parse {
        /// The file.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A later program has written it.
    #[error("tuned/{name} has schema {got}, this program knows {SCHEMA}")]
    Schema {
        /// The file.
        name: String,
        /// Its schema.
        got: u32,
    },
    /// An entry names what does not exist.
    #[error("tuned/{name}, entry {entry}: {what} {value:?} does not exist")]
    Unknown {
        /// The file.
        name: String,
        /// Number of the entry.
        entry: usize,
        /// `op`, `type`, `flags` or `variant`.
        what: &'static str,
        /// The word.
        value: String,
    },
    /// An entry holds no problem or no variant.
    #[error("tuned/{name}, entry {entry} is about nothing")]
    Empty {
        /// The file.
        name: String,
        /// Number of the entry.
        entry: usize,
    },
    /// Two entries are about the same problem.
    #[error("tuned/{name}: entries {first} and {second} are about the same problems")]
    Overlap {
        /// The file.
        name: String,
        /// Number of one entry.
        first: usize,
        /// Number of the other.
        second: usize,
    },
}

impl Entry {
    /// Whether this entry is about `key`.
    pub fn is_about(&self, key: &Key) -> bool {
        self.op == key.op
            && self.w == key.w.name()
            && self.act == key.act.name()
            && self.layout.is_none_or(|l| l == key.layout)
            && Flags::from_words(&self.flags) == Some(key.flags)
            && [(self.batch, key.batch), (self.m, key.m), (self.n, key.n), (self.k, key.k)]
                .iter()
                .all(|(bounds, value)| bounds.holds(*value))
    }

    fn meets(&self, other: &Entry) -> bool {
        let layouts = self.layout.is_none() || other.layout.is_none() || self.layout == other.layout;
        let pairs = [(self.batch, other.batch), (self.m, other.m), (self.n, other.n), (self.k, other.k)];
        (&self.op, &self.w, &self.act) == (&other.op, &other.w, &other.act)
            && Flags::from_words(&self.flags) == Flags::from_words(&other.flags)
            && layouts
            && pairs.iter().all(|(a, b)| a.meets(*b))
    }
}

impl Table {
    /// A table from its text.
    ///
    /// # Errors
    /// [`TableError::Parse`] or [`TableError::Schema`]; for what it says, see [`Table::check`].
    pub fn parse(name: &str, text: &str) -> Result<Table, TableError> {
        let name = name.to_owned();
        let table: Table = match serde_json::from_str(text) {
            Ok(table) => table,
            Err(source) => return Err(TableError::Parse { name, source }),
        };
        let got = table.header.schema;
        if got == SCHEMA { Ok(table) } else { Err(TableError::Schema { name, got }) }
    }

    /// Its text, an entry a line.
    ///
    /// # Errors
    /// None that its types allow.
    pub fn text(&self) -> serde_json::Result<String> {
        let header = serde_json::to_string_pretty(&self.header)?.replace('\n', "\n  ");
        let entries = self.entries.iter().map(serde_json::to_string).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("{{\n  \"header\": {header},\n  \"entries\": [\n    {}\n  ]\n}}\n", entries.join(",\n    ")))
    }

    /// Takes over the entries of `newer`, in place of its own about any of the same problems, and its header.
    pub fn update(&mut self, newer: Table) {
        self.entries.retain(|e| newer.entries.iter().all(|n| !n.meets(e)));
        self.entries.extend(newer.entries);
        self.header = newer.header;
    }

    /// Whether it was measured on this device's model.
    pub fn is_of(&self, device: &dyn Device) -> bool {
        self.header.device == device.name() && self.header.model == model(&device.describe())
    }

    /// Holds a table to its laws: everything that it names exists, and no two entries are about the same problem. A table in use may
    /// break the first: variants come and go.
    ///
    /// # Errors
    /// The first breach.
    pub fn check(&self, name: &str) -> Result<(), TableError> {
        for (entry, e) in self.entries.iter().enumerate() {
            let unknown = |what, value: &str| {
                Err(TableError::Unknown { name: name.to_owned(), entry, what, value: value.to_owned() })
            };
            let Some(op) = op(&e.op) else { return unknown("op", &e.op) };
            if let Some(t) = [&e.w, &e.act].into_iter().find(|t| DType::from_name(t).is_none()) {
                return unknown("type", t);
            }
            if Flags::from_words(&e.flags).is_none() {
                return unknown("flags", &e.flags);
            }
            let known: Vec<String> = op.variants().into_iter().flatten().map(|v| v.id()).collect();
            if let Some(v) = e.variants.iter().find(|v| !known.contains(v)) {
                return unknown("variant", v);
            }
            if e.variants.is_empty() || [e.batch, e.m, e.n, e.k].iter().any(|b| b.is_empty()) {
                return Err(TableError::Empty { name: name.to_owned(), entry });
            }
            if let Some(first) = self.entries[..entry].iter().position(|other| other.meets(e)) {
                return Err(TableError::Overlap { name: name.to_owned(), first, second: entry });
            }
        }
        Ok(())
    }
}

/// A device's model, of what it says of itself: all up to the first comma.
pub fn model(description: &str) -> &str {
    description.split(',').next().unwrap_or_default().trim()
}

/// The file's name for a table of this device: `cuda-nvidia-h200.json`.
pub fn file_name(device: &str, description: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = format!("{device} {}", model(description)).chars().map(word).collect();
    let parts: Vec<&str> = name.split('-').filter(|p| !p.is_empty()).collect();
    format!("{}.json", parts.join("-"))
}

/// Every table of the program with its file's name: in development those of the source tree, where that is there.
///
/// # Errors
/// The first that cannot be read or does not parse.
pub fn tables() -> Result<Vec<(String, Table)>, TableError> {
    if cfg!(debug_assertions) {
        return on_disk(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tuned")));
    }
    EMBEDDED.iter().map(|(name, text)| Ok(((*name).to_owned(), Table::parse(name, text)?))).collect()
}

fn on_disk(folder: &Path) -> Result<Vec<(String, Table)>, TableError> {
    let mut files: Vec<_> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|f| f.path()).collect();
    files.sort();
    let tables = files.iter().filter(|f| f.extension().is_some_and(|e| e == "json"));
    tables
        .map(|file| {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            match std::fs::read_to_string(file) {
                Ok(text) => Table::parse(&name, &text).map(|table| (name, table)),
                Err(source) => Err(TableError::Read { name, source }),
            }
        })
        .collect()
}
