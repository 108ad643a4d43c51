//! A variant as its manifest describes it, and why it may refuse a problem.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

use super::{Flags, Key, Layout, Limits, Op, Target, source};
use crate::DType;

/// A tunable constant of a kernel, by name.
pub type Knob = BTreeMap<String, i64>;

/// Why a variant cannot run a key on a device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The device does not run this kind of source.
    #[error("its source is {0}, which this device does not run")]
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
    /// The type of the activations is not supported.
    #[error("does not take {0} activations")]
    Act(DType),
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

/// How an operand may be stored, in `variants.json`: `false` as the formula reads it, `true` transposed, `"both"` either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "StorageForm")]
pub enum Storage {
    /// Only as the formula reads it.
    #[default]
    Plain,
    /// Only transposed.
    Transposed,
    /// Either way.
    Both,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum StorageForm {
    Only(bool),
    Word(BothWord),
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum BothWord {
    Both,
}

impl From<StorageForm> for Storage {
    fn from(form: StorageForm) -> Storage {
        match form {
            StorageForm::Only(false) => Storage::Plain,
            StorageForm::Only(true) => Storage::Transposed,
            StorageForm::Word(BothWord::Both) => Storage::Both,
        }
    }
}

impl Storage {
    fn refuses(self, transposed: bool, names: [&'static str; 2]) -> Option<&'static str> {
        match (self, transposed) {
            (Storage::Plain, true) => Some(names[1]),
            (Storage::Transposed, false) => Some(names[0]),
            _ => None,
        }
    }
}

/// What a variant accepts. Everything absent is not supported, except dimensions, where absent means any.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supports {
    /// How the first operand may be stored.
    pub transpose_a: Storage,
    /// How the second operand may be stored.
    pub transpose_b: Storage,
    /// Bias epilogue.
    pub bias: bool,
    /// Accumulation into the output.
    pub accumulate: bool,
    /// More than one problem.
    pub batch: bool,
    /// Causal masking.
    pub causal: bool,
    /// Gated by a second matrix.
    pub gated: bool,
    /// The activation, or a gated result, in bf16 tiles.
    pub tiled: bool,
    /// Factors alpha and beta other than 1.
    pub scaled: bool,
    /// An activation function on the result.
    pub activation: bool,
    /// Always works on the key's whole `m`, whatever the step's row count: rows past it are written too.
    pub fixed_rows: bool,
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
    /// `n` must be a multiple of this.
    pub n_multiple: Option<usize>,
    /// Accepted stored types; absent means every one.
    pub dtypes: Option<Vec<String>>,
    /// Accepted types of activations; absent means only `f32`.
    pub acts: Option<Vec<String>>,
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
    /// File in the op's folder, or `library:NAME`.
    pub source: String,
    /// Entry point: a kernel of the source, or a native function's name.
    pub entry: String,
    /// Constants the source is compiled with.
    #[serde(default)]
    pub knobs: Knob,
    /// Threadgroups, as expressions over the key and the knobs; absent for native code and libraries.
    #[serde(default)]
    pub grid: Option<[Expr; 3]>,
    /// Threads of a threadgroup; absent for native code.
    #[serde(default)]
    pub threads: Option<[Expr; 3]>,
    /// What it accepts.
    #[serde(default)]
    pub supports: Supports,
    /// Knobs that the probe tries in turn, from 0 up to below these counts, or until the device refuses one; the fastest stands for the
    /// variant.
    #[serde(default)]
    pub search: Knob,
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
            _ if self.source.starts_with("library:") => Target::Library,
            _ => Target::Cpu,
        }
    }

    /// The library that runs it, where one does.
    pub fn library(&self) -> Option<&str> {
        self.source.strip_prefix("library:")
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
            (Flags::BIAS, s.bias, "bias"),
            (Flags::ACCUMULATE, s.accumulate, "accumulate"),
            (Flags::CAUSAL, s.causal, "causal"),
            (Flags::GATED, s.gated, "gated"),
            (Flags::TILED_X, s.tiled, "an activation in tiles"),
            (Flags::TILED_Y, s.tiled, "a result in tiles"),
            (Flags::SCALED, s.scaled, "factors alpha and beta"),
            (Flags::ACTIVATION, s.activation, "an activation function"),
        ];
        if let Some((.., name)) = wanted.iter().find(|(f, ok, _)| key.flags.has(*f) && !ok) {
            return Err(Refusal::Flag(name));
        }
        let a = s.transpose_a.refuses(
            key.flags.has(Flags::TRANSPOSE_A),
            ["a first operand that is not transposed", "a transposed first operand"],
        );
        let b = s.transpose_b.refuses(
            key.flags.has(Flags::TRANSPOSE_B),
            ["a second operand that is not transposed", "a transposed second operand"],
        );
        if let Some(what) = a.or(b) {
            return Err(Refusal::Flag(what));
        }
        if let Some(list) = &s.dtypes
            && !list.iter().any(|d| d == key.w.name())
        {
            return Err(Refusal::DType(key.w));
        }
        let takes = |list: &Vec<String>| list.iter().any(|d| d == key.act.name());
        if !s.acts.as_ref().map_or(key.act == DType::F32, takes) {
            return Err(Refusal::Act(key.act));
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
        for (dim, step, got) in [("k", s.k_multiple, key.k), ("n", s.n_multiple, key.n)] {
            if let Some(step) = step
                && !got.is_multiple_of(step)
            {
                return Err(Refusal::Dim { dim, want: format!("multiples of {step}"), got });
            }
        }
        Ok(())
    }
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
    /// The manifest is read from [`source::folder`] where there is one, so that editing an entry compiles no Rust.
    ///
    /// # Errors
    /// A manifest that is not valid JSON, or has unknown fields.
    pub fn variants(&self) -> Result<Vec<Variant>, ManifestError> {
        if let Some(folder) = source::folder().filter(|folder| !folder.is_dir()) {
            let why = format!("METALLIC_KERNELS names {}, which is no folder", folder.display());
            return Err(ManifestError { op: self.name, source: serde::de::Error::custom(why) });
        }
        // An op that is declared elsewhere has no folder among these.
        let own = source::folder().map(|folder| folder.join(self.name)).filter(|own| own.is_dir());
        let text = match own {
            None => Cow::Borrowed(self.manifest),
            Some(own) => {
                let path = own.join("variants.json");
                let unreadable = |e| serde::de::Error::custom(format!("{} cannot be read: {e}", path.display()));
                let text = std::fs::read_to_string(&path).map_err(unreadable);
                Cow::Owned(text.map_err(|source| ManifestError { op: self.name, source })?)
            }
        };
        let mut list: Vec<Variant> =
            serde_json::from_str(&text).map_err(|source| ManifestError { op: self.name, source })?;
        for v in &mut list {
            v.op = self.name;
        }
        Ok(list)
    }
}
