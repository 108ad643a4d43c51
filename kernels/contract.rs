//! The contract every kernel lives under: plain data, no device, no thread.
//!
//! Shape letters, for every op: `m` rows of the activation (tokens), `n` outputs per row, `k` the reduced dimension,
//! `batch` independent problems (attention: heads). Each op's module says what they mean there.

use std::collections::BTreeMap;
use std::fmt;

use bytemuck::Pod;
use serde::Deserialize;

use crate::DType;

/// What a variant's source is written in, and so which devices can run it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Target {
    /// Native Rust (`.rs`).
    Cpu,
    /// Metal Shading Language (`.metal`).
    Msl,
    /// CUDA C++ (`.cu`).
    Cuda,
}

/// How the bytes of a weight matrix `(n, k)` are arranged in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Row-major as in the model file: `n` rows of `k` elements (whole blocks).
    Row,
    /// Panels of 16 rows with `k` pairs interleaved: see `matmul::pack`.
    Panel16,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::Row => "row",
            Layout::Panel16 => "panel16",
        })
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

    /// All flags of both.
    pub const fn with(self, other: Flags) -> Flags {
        Flags(self.0 | other.0)
    }

    /// True where every flag of `other` is set.
    pub const fn has(self, other: Flags) -> bool {
        self.0 & other.0 == other.0
    }
}

const FLAG_NAMES: [(Flags, &str); 6] = [
    (Flags::TRANSPOSE_A, "ta"),
    (Flags::TRANSPOSE_B, "tb"),
    (Flags::BIAS, "bias"),
    (Flags::ACCUMULATE, "acc"),
    (Flags::CAUSAL, "causal"),
    (Flags::GATED, "gated"),
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
    /// Arrangement of the stored operand.
    pub layout: Layout,
    /// Further properties.
    pub flags: Flags,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} m={} n={} k={}", self.op, self.m, self.n, self.k)?;
        if self.batch != 1 {
            write!(f, " batch={}", self.batch)?;
        }
        write!(f, " {}/{}", self.w, self.layout)?;
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

/// A tunable constant of a kernel, by name.
pub type Knob = BTreeMap<String, i64>;

/// Why a variant cannot run a key on a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The device does not run this kind of source.
    #[error("its source is {0:?}, which this device does not run")]
    Target(Target),
    /// The device lacks an instruction-set feature, or it was refused.
    #[error("needs {0}, which this device lacks or was told to refuse")]
    Feature(String),
    /// A property of the problem is not supported.
    #[error("does not support {0}")]
    Flag(&'static str),
    /// The stored type is not supported.
    #[error("does not take {0} weights")]
    DType(DType),
    /// The stored layout is not supported.
    #[error("wants layout {want}, the operand is stored as {got}")]
    Layout {
        /// The variant's layout.
        want: Layout,
        /// The operand's layout.
        got: Layout,
    },
    /// A dimension is outside what the variant accepts.
    #[error("{dim}={got} is outside {want}")]
    Dim {
        /// `m`, `n`, `k` or `batch`.
        dim: &'static str,
        /// Accepted values.
        want: String,
        /// Value asked for.
        got: usize,
    },
    /// The manifest disables it.
    #[error("disabled in variants.json; force it to run it")]
    Disabled,
}

/// Accepted values of a dimension in `variants.json`: a list, or a range with open ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Span {
    /// Exactly these.
    Values(Vec<usize>),
    /// From `min` to `max`, both included.
    Range(Range),
}

/// A range of accepted values; an absent end is open.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Range {
    /// Smallest accepted value.
    #[serde(default)]
    pub min: Option<usize>,
    /// Largest accepted value.
    #[serde(default)]
    pub max: Option<usize>,
}

impl Span {
    fn accepts(&self, v: usize) -> bool {
        match self {
            Span::Values(list) => list.contains(&v),
            Span::Range(Range { min, max }) => min.is_none_or(|lo| v >= lo) && max.is_none_or(|hi| v <= hi),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Span::Values(list) => write!(f, "{list:?}"),
            Span::Range(Range { min, max }) => {
                let end = |v: &Option<usize>| v.map_or(String::new(), |v| v.to_string());
                write!(f, "{}..={}", end(min), end(max))
            }
        }
    }
}

/// What a variant accepts. Everything absent is not supported, except dimensions, where absent means any.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supports {
    /// First operand transposed.
    pub transpose_a: bool,
    /// Second operand transposed.
    pub transpose_b: bool,
    /// Bias epilogue.
    pub bias: bool,
    /// Accumulation into the output.
    pub accumulate: bool,
    /// More than one problem.
    pub batch: bool,
    /// `k` smaller than the variant's own tile.
    pub small_k: bool,
    /// Causal masking.
    pub causal: bool,
    /// Gated by a second matrix.
    pub gated: bool,
    /// Accepted `m`.
    pub m: Option<Span>,
    /// Accepted `n`.
    pub n: Option<Span>,
    /// Accepted `k`.
    pub k: Option<Span>,
    /// Accepted `n`, as a list (the seeds' name for it).
    pub n_values: Option<Vec<usize>>,
    /// `k` must be a multiple of this.
    pub k_multiple: Option<usize>,
    /// Accepted stored types; absent means every one.
    pub dtypes: Option<Vec<String>>,
    /// Accepted layouts; absent means every one.
    pub layout: Option<Layout>,
    /// Device features needed.
    pub features: Vec<String>,
}

/// One entry of a `variants.json`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Name of the op; filled in from the folder.
    #[serde(skip)]
    pub op: &'static str,
    /// Family, e.g. `m1_optimized_v4`.
    pub family: String,
    /// Name inside the family.
    pub name: String,
    /// File in the op's folder.
    pub source: String,
    /// Entry point: a kernel of the source, or a native function's name.
    pub entry: String,
    /// Constants the source is compiled with.
    #[serde(default)]
    pub knobs: Knob,
    /// Threadgroups, as expressions over the key and the knobs; absent for native code.
    #[serde(default)]
    pub grid: Option<[Expr; 3]>,
    /// Threads of a threadgroup; absent for native code.
    #[serde(default)]
    pub threads: Option<[Expr; 3]>,
    /// What it accepts.
    #[serde(default)]
    pub supports: Supports,
    /// False keeps it out of every choice unless it is forced.
    pub enabled: bool,
    /// One sentence on how it works.
    pub note: String,
}

/// A geometry expression of the manifest: a number or a formula over `m n k batch` and the knobs.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Expr {
    /// A constant.
    Number(usize),
    /// A formula, e.g. `ceil(n/BN)`.
    Formula(String),
}

impl Variant {
    /// `family/name`: how people and flags name it.
    pub fn id(&self) -> String {
        format!("{}/{}", self.family, self.name)
    }

    /// What the source is written in, by its extension.
    pub fn target(&self) -> Target {
        match self.source.rsplit('.').next() {
            Some("metal") => Target::Msl,
            Some("cu") => Target::Cuda,
            _ => Target::Cpu,
        }
    }

    /// Whether this variant can run `key` on a device with `limits`; `enabled` is not looked at.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn supports(&self, key: &Key, limits: &Limits) -> Result<(), Refusal> {
        let s = &self.supports;
        if !limits.targets.contains(&self.target()) {
            return Err(Refusal::Target(self.target()));
        }
        if let Some(f) = s.features.iter().find(|f| !limits.features.contains(&f.as_str())) {
            return Err(Refusal::Feature(f.clone()));
        }
        let wanted = [
            (Flags::TRANSPOSE_A, s.transpose_a, "transpose_a"),
            (Flags::TRANSPOSE_B, s.transpose_b, "transpose_b"),
            (Flags::BIAS, s.bias, "bias"),
            (Flags::ACCUMULATE, s.accumulate, "accumulate"),
            (Flags::CAUSAL, s.causal, "causal"),
            (Flags::GATED, s.gated, "gated"),
        ];
        if let Some((.., name)) = wanted.iter().find(|(f, ok, _)| key.flags.has(*f) && !ok) {
            return Err(Refusal::Flag(name));
        }
        if let Some(list) = &s.dtypes
            && !list.iter().any(|d| d == key.w.name())
        {
            return Err(Refusal::DType(key.w));
        }
        if let Some(want) = s.layout
            && want != key.layout
        {
            return Err(Refusal::Layout { want, got: key.layout });
        }
        let n_values = s.n_values.clone().map(Span::Values);
        let batch = (!s.batch).then_some(Span::Values(vec![1]));
        for (dim, span, got) in [
            ("m", &s.m, key.m),
            ("n", &s.n, key.n),
            ("n", &n_values, key.n),
            ("k", &s.k, key.k),
            ("batch", &batch, key.batch),
        ] {
            if let Some(span) = span
                && !span.accepts(got)
            {
                return Err(Refusal::Dim { dim, want: span.to_string(), got });
            }
        }
        if let Some(step) = s.k_multiple
            && !key.k.is_multiple_of(step)
        {
            return Err(Refusal::Dim { dim: "k", want: format!("multiples of {step}"), got: key.k });
        }
        Ok(())
    }
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
/// Buffers are of the sizes that the op's `check` demands and no others touch them during the launch.
pub type Phase = unsafe fn(&Args<'_>);

/// A native kernel: its phases and the scratch memory it needs.
#[derive(Clone, Copy)]
pub struct Native {
    /// Run in order with a barrier after each.
    pub phases: &'static [Phase],
    /// Bytes of shared scratch for a key run by `workers`.
    pub scratch: fn(&Key, usize) -> usize,
}

/// One resolved launch, as a Plan holds it: no strings, no choices left.
#[derive(Clone, Copy, Debug)]
pub struct Launch {
    /// Threadgroups.
    pub grid: [u32; 3],
    /// Threads of each.
    pub threads: [u32; 3],
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
    /// The magnitude that the error budget multiplies, per element (for a dot product: the sum of |w x|).
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
    /// Native kernels by entry name.
    pub native: fn(&str) -> Option<Native>,
    /// Checked problems: tails and extremes included.
    pub cases: fn() -> Vec<Case>,
    /// Error budget for a stored type: |got - value| <= budget * scale. The same on every device.
    pub budget: fn(DType) -> f64,
}

/// A manifest that does not parse.
#[derive(Debug, thiserror::Error)]
#[error("{op}/variants.json: {source}")]
pub struct ManifestError {
    /// The op whose manifest it is.
    pub op: &'static str,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

impl Op {
    /// The op's variants in manifest order, which is the default order of choice.
    ///
    /// In a development build the manifest is read from the source tree where that is there, so that editing an entry
    /// compiles no Rust.
    ///
    /// # Errors
    /// A manifest that is not valid JSON, or has unknown fields.
    pub fn variants(&self) -> Result<Vec<Variant>, ManifestError> {
        let disk = cfg!(debug_assertions)
            .then(|| {
                let path = format!("{}/{}/variants.json", env!("CARGO_MANIFEST_DIR"), self.name);
                std::fs::read_to_string(path).ok()
            })
            .flatten();
        let text = disk.as_deref().unwrap_or(self.manifest);
        let mut list: Vec<Variant> =
            serde_json::from_str(text).map_err(|source| ManifestError { op: self.name, source })?;
        for v in &mut list {
            v.op = self.name;
        }
        Ok(list)
    }
}
