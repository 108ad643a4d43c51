//! What a checked run finds: typed faults, each with kernel, place, thread, memory and cause.

use std::fmt;

use serde::Serialize;

/// The classes of fault that checked emulation tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultKind {
    /// An access outside of the buffer, threadgroup variable or constant that it belongs to.
    OutOfBounds,
    /// An address that is not a multiple of the type's alignment.
    Misaligned,
    /// A write to `constant` memory or to a buffer that the kernel takes as `const`.
    ReadOnly,
    /// A read of memory that nothing has written.
    Uninitialised,
    /// Two threads of a threadgroup access the same bytes, one writes, and no barrier orders them.
    Race,
    /// Two threadgroups access the same bytes in one dispatch, and one writes.
    ThreadgroupRace,
    /// One thread accesses atomically what another accesses plainly, unordered.
    MixedAtomic,
    /// Threads of a threadgroup wait at different barriers, or some have finished while others wait.
    DivergentBarrier,
    /// Lanes of a SIMD group wait at different SIMD functions, or some are elsewhere.
    DivergentSimd,
    /// A SIMD function takes the value of a lane that does not take part.
    InactiveLane,
    /// An output buffer holds elements that the kernel did not write.
    Unwritten,
    /// The result depends on the order in which threads ran.
    OrderDependent,
    /// A thread goes on past the limit of steps.
    Endless,
    /// A thread used up its stack.
    StackOverflow,
    /// An integer division by zero, or one that overflows.
    DivideByZero,
    /// More threads in a threadgroup than the device or the kernel allows.
    TooManyThreads,
    /// More threadgroup memory than the device has.
    ThreadgroupMemory,
    /// A buffer or threadgroup argument that the kernel takes is not bound, or smaller than its type.
    Unbound,
    /// The support library refused what the kernel asked of it.
    Trap,
    /// The kernel died of a signal that no other class explains.
    Crash,
}

impl FaultKind {
    /// The class as reports write it, e.g. `out-of-bounds`.
    pub fn name(self) -> &'static str {
        match self {
            FaultKind::OutOfBounds => "out-of-bounds",
            FaultKind::Misaligned => "misaligned",
            FaultKind::ReadOnly => "read-only",
            FaultKind::Uninitialised => "uninitialised",
            FaultKind::Race => "race",
            FaultKind::ThreadgroupRace => "threadgroup-race",
            FaultKind::MixedAtomic => "mixed-atomic",
            FaultKind::DivergentBarrier => "divergent-barrier",
            FaultKind::DivergentSimd => "divergent-simd",
            FaultKind::InactiveLane => "inactive-lane",
            FaultKind::Unwritten => "unwritten",
            FaultKind::OrderDependent => "order-dependent",
            FaultKind::Endless => "endless",
            FaultKind::StackOverflow => "stack-overflow",
            FaultKind::DivideByZero => "divide-by-zero",
            FaultKind::TooManyThreads => "too-many-threads",
            FaultKind::ThreadgroupMemory => "threadgroup-memory",
            FaultKind::Unbound => "unbound",
            FaultKind::Trap => "trap",
            FaultKind::Crash => "crash",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A place in the user's source.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Place {
    /// File as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// A thread of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ThreadAt {
    /// Position of its threadgroup in the grid.
    pub threadgroup: [u32; 3],
    /// Position in its threadgroup.
    pub position: [u32; 3],
    /// Number of its SIMD group.
    pub simdgroup: u32,
    /// Lane in its SIMD group.
    pub lane: u32,
}

impl fmt::Display for ThreadAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.position;
        let [a, b, c] = self.threadgroup;
        write!(
            f,
            "thread ({x}, {y}, {z}) of threadgroup ({a}, {b}, {c}), SIMD group {} lane {}",
            self.simdgroup, self.lane
        )
    }
}

/// The bytes that a fault is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Spot {
    /// What they belong to, as the user knows it: `buffer 0 "x"`, `threadgroup variable "tile"`.
    pub memory: String,
    /// Index of the buffer argument, where it is one.
    pub buffer: Option<u32>,
    /// First byte of the access, counted from the start of the binding; negative before it.
    pub offset: i64,
    /// Bytes of the access.
    pub bytes: u64,
    /// Length of the memory in bytes.
    pub length: u64,
}

/// The second party of a race.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Other {
    /// `read`, `write`, `atomic read` or `atomic write`.
    pub access: &'static str,
    /// Where it happened.
    pub place: Option<Place>,
    /// Who did it.
    pub thread: ThreadAt,
}

/// One defect that a run found.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// Its class.
    pub kind: FaultKind,
    /// Name of the kernel.
    pub kernel: String,
    /// Where in the user's source.
    pub place: Option<Place>,
    /// The thread that met it first.
    pub thread: Option<ThreadAt>,
    /// The memory it is about.
    pub memory: Option<Spot>,
    /// The second party, for races.
    pub other: Option<Other>,
    /// The cause in words.
    pub cause: String,
    /// Seed of the schedule that shows it; 0 is the natural order.
    pub seed: u64,
    /// How often it was seen, all threads together.
    pub count: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.kind, self.cause)?;
        write!(f, "\n  kernel {}", self.kernel)?;
        if let Some(thread) = &self.thread {
            write!(f, ", {thread}")?;
        }
        if let Some(m) = &self.memory {
            write!(f, "\n  {}: bytes {}..{} of {}", m.memory, m.offset, m.offset + m.bytes as i64, m.length)?;
        }
        if let Some(o) = &self.other {
            write!(f, "\n  other: {}", o.access)?;
            if let Some(place) = &o.place {
                write!(f, " at {place}")?;
            }
            write!(f, " by {}", o.thread)?;
        }
        if self.count > 1 {
            write!(f, "\n  seen {} times", self.count)?;
        }
        if self.seed != 0 {
            write!(f, "\n  under schedule --seed {}", self.seed)?;
        }
        Ok(())
    }
}

/// How many different faults a report keeps.
const MOST: usize = 32;

/// Faults of a launch, each place and class once.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Faults {
    list: Vec<Fault>,
    /// Different faults beyond those kept.
    dropped: u64,
}

impl Faults {
    /// All that were kept, in the order they were met.
    pub fn list(&self) -> &[Fault] {
        &self.list
    }

    /// How many different faults were found beyond those kept.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// True where nothing was found.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Adds one, or counts it where its class and place are known already.
    pub fn add(&mut self, fault: Fault) {
        let memory = |f: &Fault| f.memory.as_ref().map(|m| m.memory.clone());
        let same = |f: &Fault| {
            f.kind == fault.kind
                && f.place == fault.place
                && f.kernel == fault.kernel
                && memory(f) == memory(&fault)
                && f.other.as_ref().map(|o| &o.place) == fault.other.as_ref().map(|o| &o.place)
        };
        match self.list.iter().position(same) {
            Some(known) => self.list[known].count += fault.count,
            None if self.list.len() < MOST => self.list.push(fault),
            None => self.dropped += 1,
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: Faults) {
        self.dropped += other.dropped;
        for fault in other.list {
            self.add(fault);
        }
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, fault) in self.list.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{fault}")?;
        }
        if self.dropped > 0 {
            write!(f, "\nand {} more", self.dropped)?;
        }
        Ok(())
    }
}
