//! The contract every kernel lives under: plain data, no device, no thread.
//!
//! Shape letters, for every op: `m` rows of the activation (tokens), `n` outputs per row, `k` the reduced dimension,
//! `batch` independent problems (attention: heads). Each op's module says what they mean there.

mod geometry;
mod params;
pub mod source;
mod variant;

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytemuck::Pod;
use serde::{Deserialize, Serialize};

use crate::DType;

pub use geometry::{ExprError, Geometry, GeometryError, MAX_THREADS};
pub(crate) use params::params;
pub use params::{Field, ParamsInfo, Scalar, header};
pub use source::{SourceError, Text};
pub use variant::{Expr, Knob, ManifestError, Range, Refusal, Span, Storage, Supports, Variant};

/// What a variant's source is written in, and so which devices can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Native Rust (`.rs`).
    Cpu,
    /// Metal Shading Language (`.metal`).
    Msl,
    /// CUDA C++ (`.cu`).
    Cuda,
    /// A library's own kernels (`library:NAME`): the vendor's, or a well-kept one on the CPU. What others are measured against.
    Library,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Target::Cpu => "native code",
            Target::Msl => "Metal",
            Target::Cuda => "CUDA C++",
            Target::Library => "a library",
        })
    }
}

/// How the bytes of a weight matrix `(n, k)` are arranged in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Row-major as in the model file: `n` rows of `k` elements (whole blocks).
    Row,
    /// Panels of 16 rows with `k` pairs interleaved: see `matmul::pack`.
    Panel16,
    /// Values and scales apart, each row-major, for 16-byte loads on GPUs: see `matmul::pack`.
    Planes,
}

const LAYOUT_NAMES: [(Layout, &str); 3] =
    [(Layout::Row, "row"), (Layout::Panel16, "panel16"), (Layout::Planes, "planes")];

impl Layout {
    /// Every layout.
    pub fn all() -> impl Iterator<Item = Layout> {
        LAYOUT_NAMES.iter().map(|(layout, _)| *layout)
    }

    /// How argument structs name it.
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The layout that argument structs name `number`.
    pub fn from_number(number: u32) -> Option<Layout> {
        Layout::all().find(|l| l.number() == number)
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(LAYOUT_NAMES[*self as usize].1)
    }
}

/// Properties of a problem that a variant may or may not support.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Flags(u32);

impl Flags {
    /// Nothing special.
    pub const NONE: Flags = Flags(0);
    /// The first operand is stored transposed.
    pub const TRANSPOSE_A: Flags = Flags(1);
    /// The second operand is stored transposed (`(n, k)` row-major: the usual weight).
    pub const TRANSPOSE_B: Flags = Flags(2);
    /// A bias of `n` is added.
    pub const BIAS: Flags = Flags(4);
    /// The result is added to what the output holds.
    pub const ACCUMULATE: Flags = Flags(8);
    /// Rows see only the columns up to their own position.
    pub const CAUSAL: Flags = Flags(16);
    /// A second matrix of the same shape gates the result: y = silu(x W^T) * (x V^T).
    pub const GATED: Flags = Flags(32);
    /// The activation comes in bf16 tiles (`matmul::tiled_at`), whatever the key's type of activations.
    pub const TILED_X: Flags = Flags(64);
    /// The result goes into bf16 tiles.
    pub const TILED_Y: Flags = Flags(128);
    /// Factors other than 1: alpha on the product, beta on what the output holds.
    pub const SCALED: Flags = Flags(256);
    /// An activation function on the result.
    pub const ACTIVATION: Flags = Flags(512);

    /// All flags of both.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// True where every flag of `other` is set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }

    /// Its words, as a key's text has them: `tb bias`.
    pub fn words(self) -> String {
        let set = FLAG_NAMES.iter().filter(|(flag, _)| self.has(*flag)).map(|(_, name)| *name);
        set.collect::<Vec<_>>().join(" ")
    }

    /// The flags of such words; `None` where one is none.
    pub fn from_words(words: &str) -> Option<Flags> {
        let flag = |word: &str| FLAG_NAMES.iter().find(|(_, name)| *name == word).map(|(flag, _)| *flag);
        words.split_whitespace().try_fold(Flags::NONE, |flags, word| Some(flags.with(flag(word)?)))
    }
}

const FLAG_NAMES: [(Flags, &str); 10] = [
    (Flags::TRANSPOSE_A, "ta"),
    (Flags::TRANSPOSE_B, "tb"),
    (Flags::BIAS, "bias"),
    (Flags::ACCUMULATE, "acc"),
    (Flags::CAUSAL, "causal"),
    (Flags::GATED, "gated"),
    (Flags::TILED_X, "tx"),
    (Flags::TILED_Y, "ty"),
    (Flags::SCALED, "scaled"),
    (Flags::ACTIVATION, "activation"),
];

/// Everything a choice of variant may depend on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Name of the op, as its folder.
    pub op: &'static str,
    /// Rows of the activation.
    pub m: usize,
    /// Outputs per row.
    pub n: usize,
    /// Reduced dimension.
    pub k: usize,
    /// Independent problems.
    pub batch: usize,
    /// Type of the stored operand (weights, KV cache).
    pub w: DType,
    /// Type of the activations: x, y and the bias.
    pub act: DType,
    /// Arrangement of the stored operand.
    pub layout: Layout,
    /// Further properties.
    pub flags: Flags,
}

impl Key {
    /// The same problem with one property more.
    pub fn with(self, flag: Flags) -> Key {
        Key { flags: self.flags.with(flag), ..self }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} m={} n={} k={}", self.op, self.m, self.n, self.k)?;
        if self.batch != 1 {
            write!(f, " batch={}", self.batch)?;
        }
        write!(f, " {}/{}", self.w, self.layout)?;
        if self.act != DType::F32 {
            write!(f, " act={}", self.act)?;
        }
        for (flag, name) in FLAG_NAMES {
            if self.flags.has(flag) {
                write!(f, " {name}")?;
            }
        }
        Ok(())
    }
}

/// What a device offers: the other half of every choice.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sources this device runs.
    pub targets: Vec<Target>,
    /// Instruction-set features present and not refused, by their usual names (`avx512f`, `amx-bf16`).
    pub features: Vec<&'static str>,
    /// Threads of a threadgroup at most; workers of the pool on a CPU.
    pub max_threads: usize,
    /// Bytes of threadgroup memory; 0 where there is none.
    pub threadgroup_bytes: usize,
}

/// Bytes a launch works on. Several workers hold the same slice; each writes only what it owns.
#[derive(Clone, Copy, Debug)]
pub struct Slice {
    /// First byte; aligned to 64 at least for activations and scratch.
    pub ptr: *mut u8,
    /// Length in bytes.
    pub len: usize,
}

// SAFETY: a Slice is only an address; kernels partition what they write by worker, and the executor puts a barrier
// between phases that depend on each other.
unsafe impl Send for Slice {}
// SAFETY: as above.
unsafe impl Sync for Slice {}

impl Slice {
    /// No bytes: an absent optional operand.
    pub const NONE: Slice = Slice { ptr: std::ptr::null_mut(), len: 0 };

    /// The bytes of `data`.
    pub fn of<T: Pod>(data: &mut [T]) -> Slice {
        let bytes = bytemuck::cast_slice_mut::<T, u8>(data);
        Slice { ptr: bytes.as_mut_ptr(), len: bytes.len() }
    }
}

/// Argument block of an op, at most 128 bytes of `#[repr(C)]` plain data.
#[derive(Clone, Copy, Debug, Default)]
pub struct Params([u64; 16]);

impl Params {
    /// Packs an op's argument struct. Its size is checked at compile time.
    pub fn new<T: Pod>(value: &T) -> Params {
        const { assert!(size_of::<T>() <= 128 && align_of::<T>() <= 8) };
        let mut p = Params::default();
        bytemuck::cast_slice_mut::<u64, u8>(&mut p.0)[..size_of::<T>()].copy_from_slice(bytemuck::bytes_of(value));
        p
    }

    /// Reads the argument struct back.
    pub fn get<T: Pod>(&self) -> &T {
        const { assert!(size_of::<T>() <= 128 && align_of::<T>() <= 8) };
        bytemuck::from_bytes(&bytemuck::cast_slice::<u64, u8>(&self.0)[..size_of::<T>()])
    }
}

/// What a native kernel sees: one launch, from one worker.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    /// Operands in the op's order.
    pub buffers: &'a [Slice],
    /// The op's argument struct.
    pub params: &'a Params,
    /// Rows of this step, at most the key's `m`.
    pub rows: usize,
    /// This worker's number, below `workers`.
    pub worker: usize,
    /// Workers taking part.
    pub workers: usize,
    /// Memory shared by all workers during this launch, of the size the kernel asked for.
    pub scratch: Slice,
    /// How much of this phase has been claimed.
    pub claimed: &'a AtomicUsize,
}

impl<'a> Args<'a> {
    /// Operand `i` as elements of `T`.
    ///
    /// # Safety
    /// The operand holds whole, aligned `T`s, and no worker writes them during this phase.
    pub unsafe fn input<T: Pod>(&self, i: usize) -> &'a [T] {
        let s = self.buffers[i];
        if s.len == 0 {
            return &[];
        }
        // SAFETY: the caller's promise.
        unsafe { std::slice::from_raw_parts(s.ptr.cast(), s.len / size_of::<T>()) }
    }

    /// First element of operand `i`, for writing.
    pub fn output<T: Pod>(&self, i: usize) -> *mut T {
        self.buffers[i].ptr.cast()
    }

    /// The next of `0..count` that no worker has yet in this phase: for work that takes longer on one core than on another. Where
    /// one core is as fast as the other, [`Args::share`] costs less and lets a worker have neighbours.
    pub fn claim(&self, count: usize) -> Option<usize> {
        let next = self.claimed.fetch_add(1, Ordering::Relaxed);
        (next < count).then_some(next)
    }

    /// The share of `0..count` that this worker owns, in whole units of `unit`.
    pub fn share(&self, count: usize, unit: usize) -> std::ops::Range<usize> {
        let units = count.div_ceil(unit);
        let at = |w: usize| (units * w / self.workers * unit).min(count);
        at(self.worker)..at(self.worker + 1)
    }
}

/// One phase of a native kernel. Every worker runs it; all finish it before any starts the next.
///
/// # Safety
/// Buffers are of the sizes that the op's shapes and arguments demand, and nobody else touches them during the launch.
pub type Phase = unsafe fn(&Args<'_>);

/// A native kernel: its phases and the scratch memory it needs.
#[derive(Clone, Copy)]
pub struct Native {
    /// Run in order with a barrier after each.
    pub phases: &'static [Phase],
    /// Bytes of shared scratch for a key run by `workers`.
    pub scratch: fn(&Key, usize) -> usize,
}

/// What a case's buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read only; a test asserts that it stays as it was.
    Input,
    /// Written wholly; poisoned before every run.
    Output,
    /// Read and written.
    InOut,
}

/// One operand of a case.
#[derive(Clone, Debug)]
pub struct Operand {
    /// Its use.
    pub role: Role,
    /// Its bytes before the run.
    pub bytes: Vec<u8>,
    /// Element type.
    pub dtype: DType,
}

/// One problem with data, made to be checked: inputs, and what must come out.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it tries, in a few words.
    pub name: String,
    /// The problem.
    pub key: Key,
    /// The op's argument struct.
    pub params: Params,
    /// Rows used, at most `key.m`.
    pub rows: usize,
    /// Operands in the op's order. The weight operand is in `Layout::Row`; the harness packs it for the variant.
    pub operands: Vec<Operand>,
    /// Which operands have the key's layout.
    pub packed: Vec<usize>,
    /// Expected values, from the oracle.
    pub expect: Vec<Expect>,
}

/// What one output must hold.
#[derive(Clone, Debug)]
pub struct Expect {
    /// Operand this is about.
    pub operand: usize,
    /// The exact value of every element checked, accumulated in f64.
    pub value: Vec<f64>,
    /// The magnitude that the error budget multiplies, per element (for a dot product: the root of the sum of (w x)^2).
    pub scale: Vec<f64>,
    /// Index of each checked element in the operand; empty means all in order. Elements not named must keep the poison.
    pub at: Vec<usize>,
}

/// An op: the one list that dispatch, conformance, probe and docs derive from.
pub struct Op {
    /// Name, as its folder and as flags name it.
    pub name: &'static str,
    /// The embedded `variants.json`.
    pub manifest: &'static str,
    /// The op's argument struct.
    pub params: ParamsInfo,
    /// Native kernels by entry name.
    pub native: fn(&str) -> Option<Native>,
    /// Checked problems: tails and extremes included.
    pub cases: fn() -> Vec<Case>,
    /// Error budget for a stored type: |got - value| <= budget * scale. The same on every device.
    pub budget: fn(DType) -> f64,
}
