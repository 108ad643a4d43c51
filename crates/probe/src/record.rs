//! What a run of the probe found, as data: what reports print, what the history keeps, what `results/` holds.
//!
//! Times are microseconds a launch unless said. Every struct is JSON as it stands here; `SCHEMA` counts its changes.

use serde::{Deserialize, Serialize};

/// Version of this schema.
pub const SCHEMA: u32 = 1;

/// One run of the probe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Where, when and how.
    pub header: Header,
    /// What the device can do at most, measured in the same run; `None` where it was not asked for.
    pub roofline: Option<Roofline>,
    /// What was measured, in the order of the spec.
    pub problems: Vec<Problem>,
}

/// Where, when and how a run was made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Start, UTC, RFC 3339.
    pub started: String,
    /// Version of the program.
    pub version: String,
    /// Commit of the source, with `+` where it was changed.
    pub commit: String,
    /// The command that repeats it.
    pub command: String,
    /// Device, short: `cuda`, `cpu`, `emulator`, `metal`.
    pub device: String,
    /// Device, driver, compiler, in words; times are compared only where this is the same.
    pub description: String,
    /// Clock and temperature at the start and the end, where the device tells.
    pub conditions: Vec<Condition>,
    /// Seconds of the whole run.
    pub seconds: f64,
}

/// What a device tells about its state.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Condition {
    /// Clock of the processors, MHz.
    pub clock_mhz: Option<f64>,
    /// Clock of the memory, MHz.
    pub memory_mhz: Option<f64>,
    /// Temperature, degrees Celsius.
    pub celsius: Option<f64>,
    /// Power drawn, watts.
    pub watts: Option<f64>,
}

/// What a device can do at most, measured.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// Bytes a second, read.
    pub read: f64,
    /// Bytes a second, written.
    pub write: f64,
    /// Bytes a second, read and written, both counted.
    pub copy: f64,
    /// f32 operations a second; a multiplication with an addition is two.
    pub f32_flops: f64,
    /// f16 operations a second on the fastest unit that kernels here can reach.
    pub f16_flops: f64,
    /// Microseconds of an empty launch among many.
    pub launch_us: f64,
    /// Microseconds that a barrier between dependent launches or phases adds; `None` where it has no meaning.
    pub barrier_us: Option<f64>,
    /// Bytes of the last-level cache, where known: cold banks are several times as large.
    pub cache_bytes: Option<u64>,
}

/// One problem and all variants on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// The op.
    pub op: String,
    /// How people read it: `1x9728x896 NT f16`.
    pub title: String,
    /// The key in the words of `contract::Key`, unique among the problems of a run together with `detail`.
    pub key: String,
    /// Shape: rows, outputs, reduced dimension, problems.
    pub shape: Shape,
    /// What the key does not say: alpha, beta, the activation, an offset; empty where nothing.
    pub detail: String,
    /// Fewest bytes that must move: each operand read once, the output written once.
    pub bytes: u64,
    /// Operations.
    pub flops: u64,
    /// Microseconds below which nothing can be, cold: bytes over read bandwidth or operations over the peak, the larger; `None`
    /// without a roofline.
    pub floor_us: Option<f64>,
    /// Every variant of the op, in manifest order.
    pub entries: Vec<Entry>,
}

/// Dimensions of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Shape {
    /// Rows.
    pub m: usize,
    /// Outputs.
    pub n: usize,
    /// Reduced dimension.
    pub k: usize,
    /// Problems.
    pub batch: usize,
}

/// A variant on a problem.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// `family/name`.
    pub variant: String,
    /// `msl`, `cuda`, `cpu` or `library`.
    pub target: String,
    /// Whether the manifest enables it.
    pub enabled: bool,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a variant on a problem. Only a variant that passed the check has times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// Checked, then timed.
    Measured(Measured),
    /// Checked, and not timed: the device has no clock worth reading.
    Checked {
        /// What the check found.
        check: Check,
    },
    /// It does not take this problem on this device.
    Gap {
        /// Why.
        reason: String,
    },
    /// It failed the check, or the device failed: no time is told.
    Failed {
        /// Why.
        reason: String,
    },
    /// It passed the check, but its time cannot be true.
    Impossible {
        /// Why: faster than memory, a time of zero, another kernel than asked for.
        reason: String,
    },
}

/// A checked variant's times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What the check found.
    pub check: Check,
    /// Operands rotate through memory well past the last-level cache.
    pub cold: Times,
    /// The same operands every time.
    pub hot: Times,
    /// Entry that ran, as the device resolved it.
    pub entry: String,
    /// Threadgroups.
    pub grid: [u32; 3],
    /// Threads of a threadgroup.
    pub threads: [u32; 3],
}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Check {
    /// Elements compared with the oracle's value.
    pub compared: u64,
    /// Elements of the output: all must be written, and sums over rows must fit.
    pub elements: u64,
    /// Largest error, as a part of the budget.
    pub worst: f64,
}

/// Times of one variant in one state of the caches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Times {
    /// Median over rounds of the device's time a launch, microseconds.
    pub median_us: f64,
    /// Lower end of the median's 95 % interval, by bootstrap over rounds.
    pub low_us: f64,
    /// Its upper end.
    pub high_us: f64,
    /// The host's time a launch in the same rounds, median, microseconds: submission and wait, over the launches of a submission.
    pub host_us: f64,
    /// Launches a submission.
    pub launches: usize,
    /// The device's time a launch of each round, microseconds; rounds of all variants of a problem are interleaved, so that round i
    /// of one stands beside round i of another.
    pub rounds: Vec<f64>,
}

impl Problem {
    /// Entries that were measured.
    pub fn measured(&self) -> impl Iterator<Item = (&Entry, &Measured)> {
        self.entries.iter().filter_map(|e| match &e.outcome {
            Outcome::Measured(m) => Some((e, m)),
            _ => None,
        })
    }

    /// The fastest of our own variants, by cold median.
    pub fn winner(&self) -> Option<(&Entry, &Measured)> {
        let own = self.measured().filter(|(e, _)| !e.is_library());
        own.min_by(|a, b| a.1.cold.median_us.total_cmp(&b.1.cold.median_us))
    }

    /// The fastest library, by cold median.
    pub fn vendor(&self) -> Option<(&Entry, &Measured)> {
        let libraries = self.measured().filter(|(e, _)| e.is_library());
        libraries.min_by(|a, b| a.1.cold.median_us.total_cmp(&b.1.cold.median_us))
    }
}

impl Outcome {
    /// One word, as in JSON.
    pub fn name(&self) -> &'static str {
        match self {
            Outcome::Measured(_) => "measured",
            Outcome::Checked { .. } => "checked",
            Outcome::Gap { .. } => "gap",
            Outcome::Failed { .. } => "failed",
            Outcome::Impossible { .. } => "impossible",
        }
    }

    /// Why there is no time; `None` where there is one, or where nothing went wrong.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Outcome::Gap { reason } | Outcome::Failed { reason } | Outcome::Impossible { reason } => Some(reason),
            Outcome::Measured(_) | Outcome::Checked { .. } => None,
        }
    }
}

impl Entry {
    /// Whether a library ran it.
    pub fn is_library(&self) -> bool {
        self.target == "library"
    }
}
