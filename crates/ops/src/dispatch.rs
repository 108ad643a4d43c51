//! From an op and a key to a variant: forced, else as measured on this device, else the first in manifest order that accepts.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use metallic_device::Device;
use metallic_kernels::contract::{Key, Layout, Limits, ManifestError, Refusal, Variant};
use metallic_kernels::{OPS, op};

use crate::tuned::{self, Table, TableError};

/// Why no variant could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum ChooseError {
    /// A manifest is broken.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A tuned table is broken.
    #[error(transparent)]
    Table(#[from] TableError),
    /// `--force` names no op.
    #[error("{text}: there is no op {op:?}; ops: {known}")]
    UnknownOp {
        /// The flag or the environment variable as given.
        text: String,
        /// The part that names no op.
        op: String,
        /// All ops.
        known: String,
    },
    /// `--force` names no variant.
    #[error("{text}: {op} has no variant {variant:?}; variants: {known}")]
    UnknownVariant {
        /// As given.
        text: String,
        /// The op.
        op: &'static str,
        /// The part that names no variant.
        variant: String,
        /// All of the op's variants.
        known: String,
    },
    /// `--force` without `=`.
    #[error("--force {text}: expected op=family/name, for example matmul=cpu/portable")]
    Syntax {
        /// As given.
        text: String,
    },
    /// Every forced variant refuses.
    #[error("{key}: the forced variant cannot run: {}; --force again can name one for such problems", list(refusals))]
    Forced {
        /// The problem.
        key: Key,
        /// Each forced variant and its reason.
        refusals: Vec<(String, Refusal)>,
    },
    /// Every variant refuses.
    #[error("{key}: no variant can run: {}", list(refusals))]
    Nothing {
        /// The problem.
        key: Key,
        /// Each variant and its reason.
        refusals: Vec<(String, Refusal)>,
    },
}

impl ChooseError {
    /// Whether every reason is the layout of the stored operand.
    fn is_of_layout(&self) -> bool {
        match self {
            ChooseError::Forced { refusals, .. } | ChooseError::Nothing { refusals, .. } => {
                refusals.iter().all(|(_, refusal)| matches!(refusal, Refusal::Layout { .. }))
            }
            _ => false,
        }
    }
}

fn list(refusals: &[(String, Refusal)]) -> String {
    refusals.iter().map(|(id, why)| format!("{id} {why}")).collect::<Vec<_>>().join("; ")
}

/// All variants that a device may run, with what is forced.
pub struct Dispatch {
    limits: Limits,
    variants: HashMap<&'static str, Vec<Arc<Variant>>>,
    forced: HashMap<&'static str, Vec<Arc<Variant>>>,
    tables: Vec<(String, Table)>,
}

/// What a tuned table says about a problem.
#[derive(Debug, PartialEq, Eq)]
pub struct Tuned {
    /// The table's file.
    pub table: String,
    /// Number of the entry.
    pub entry: usize,
    /// Its variants, with the reason of each that is not run.
    pub order: Vec<(String, Result<(), Skipped>)>,
}

/// Why a variant of a tuned table is passed over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Skipped {
    /// Its name is in no manifest.
    #[error("is not in variants.json")]
    Unknown,
    /// It does not take the problem.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl fmt::Display for Tuned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tuned/{}, entry {}: ", self.table, self.entry)?;
        for (i, (variant, verdict)) in self.order.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            match verdict {
                Ok(()) => write!(f, "{comma}{variant}")?,
                Err(why) => write!(f, "{comma}{variant} skipped ({why})")?,
            }
        }
        Ok(())
    }
}

/// Environment variables that force an op's variant, beside `--force`. The softmax is part of attention: no score matrix
/// lies in memory that an op of its own could read.
const FORCE_VARIABLES: [(&str, &str); 2] = [("FORCE_MATMUL_BACKEND", "matmul"), ("SOFTMAX_BACKEND", "attention")];

/// What the environment forces, as `VARIABLE=variant`. Several variants of one op are separated by commas; `auto` and an
/// empty value force nothing.
pub fn forced_by_environment() -> Vec<String> {
    // What is no UTF-8 names no variant either, and is told so.
    let value = |name| std::env::var_os(name).unwrap_or_default();
    FORCE_VARIABLES.iter().flat_map(|(name, _)| forced_by(name, &value(name).to_string_lossy())).collect()
}

fn forced_by(variable: &str, value: &str) -> Vec<String> {
    let names = value.split(',').map(str::trim).filter(|v| !v.is_empty() && !v.eq_ignore_ascii_case("auto"));
    names.map(|v| format!("{variable}={v}")).collect()
}

impl Dispatch {
    /// Reads every manifest. `forced` holds `op=family/name` or `op=family`, with what [`forced_by_environment`] gave;
    /// several for one op are tried in order.
    ///
    /// # Errors
    /// A broken manifest, or a forced name that does not exist.
    pub fn new(limits: Limits, forced: &[String]) -> Result<Dispatch, ChooseError> {
        let mut variants = HashMap::new();
        for op in OPS {
            variants.insert(op.name, op.variants()?.into_iter().map(Arc::new).collect::<Vec<_>>());
        }
        let mut d = Dispatch { limits, variants, forced: HashMap::new(), tables: Vec::new() };
        for text in forced {
            d.force(text)?;
        }
        Ok(d)
    }

    /// As [`Dispatch::new`], with the tables that were measured on this device's model.
    ///
    /// # Errors
    /// As there, and a table that does not parse.
    pub fn of(device: &dyn Device, forced: &[String]) -> Result<Dispatch, ChooseError> {
        let mut dispatch = Dispatch::new(device.limits().clone(), forced)?;
        dispatch.tables = tuned::tables()?.into_iter().filter(|(_, t)| t.is_of(device)).collect();
        Ok(dispatch)
    }

    /// The same dispatch with another table, whatever device that is of, before those that it has.
    #[must_use]
    pub fn with_table(mut self, name: &str, table: Table) -> Dispatch {
        self.tables.insert(0, (name.to_owned(), table));
        self
    }

    fn force(&mut self, text: &str) -> Result<(), ChooseError> {
        let text = text.trim();
        let (name, variant) = text.split_once('=').ok_or_else(|| ChooseError::Syntax { text: text.to_owned() })?;
        let variable = FORCE_VARIABLES.iter().find(|(variable, _)| *variable == name);
        // Errors name what the user wrote: the variable, or the flag.
        let given = variable.map_or_else(|| format!("--force {text}"), |_| text.to_owned());
        let op = op(variable.map_or(name, |(_, op)| op)).ok_or_else(|| ChooseError::UnknownOp {
            text: given.clone(),
            op: name.to_owned(),
            known: OPS.iter().map(|o| o.name).collect::<Vec<_>>().join(", "),
        })?;
        let all = &self.variants[op.name];
        let named = |v: &&Arc<Variant>| v.id() == variant || v.family == variant || v.name == variant;
        let found: Vec<_> = all.iter().filter(named).cloned().collect();
        if found.is_empty() {
            return Err(ChooseError::UnknownVariant {
                text: given,
                op: op.name,
                variant: variant.to_owned(),
                known: all.iter().map(|v| v.id()).collect::<Vec<_>>().join(", "),
            });
        }
        self.forced.entry(op.name).or_default().extend(found);
        Ok(())
    }

    /// What this dispatch was made for.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The variants of an op, in manifest order.
    pub fn variants(&self, op: &str) -> &[Arc<Variant>] {
        self.variants.get(op).map_or(&[], Vec::as_slice)
    }

    /// The variant that will run `key`.
    ///
    /// # Errors
    /// Every candidate's refusal, where none accepts.
    pub fn choose(&self, key: &Key) -> Result<Arc<Variant>, ChooseError> {
        let forced = self.forced.get(key.op);
        let mut refusals = Vec::new();
        for v in self.candidates(key) {
            match self.verdict(v, key) {
                Ok(()) => return Ok(v.clone()),
                Err(why) if refusals.iter().all(|(id, _)| *id != v.id()) => refusals.push((v.id(), why)),
                Err(_) => {}
            }
        }
        let key = *key;
        Err(if forced.is_some() {
            ChooseError::Forced { key, refusals }
        } else {
            ChooseError::Nothing { key, refusals }
        })
    }

    /// Every variant of the key's op with its verdict on it.
    pub fn explain(&self, key: &Key) -> Vec<(Arc<Variant>, Result<(), Refusal>)> {
        self.variants(key.op).iter().map(|v| (v.clone(), self.verdict(v, key))).collect()
    }

    /// What the device's table says about `key`, where it has an entry and nothing is forced.
    pub fn tuned(&self, key: &Key) -> Option<Tuned> {
        if self.forced.contains_key(key.op) {
            return None;
        }
        let (table, entry, ids) = self.entry(key)?;
        let verdict = |id: &String| match self.named(key.op, id) {
            Some(v) => self.verdict(v, key).map_err(Skipped::from),
            None => Err(Skipped::Unknown),
        };
        let order = ids.iter().map(|id| (id.clone(), verdict(id))).collect();
        Some(Tuned { table: table.to_owned(), entry, order })
    }

    fn entry(&self, key: &Key) -> Option<(&str, usize, &[String])> {
        self.tables.iter().find_map(|(name, table)| {
            let entry = table.entries.iter().position(|e| e.is_about(key))?;
            Some((name.as_str(), entry, table.entries[entry].variants.as_slice()))
        })
    }

    fn named(&self, op: &str, id: &str) -> Option<&Arc<Variant>> {
        self.variants(op).iter().find(|v| v.id() == id)
    }

    fn verdict(&self, v: &Variant, key: &Key) -> Result<(), Refusal> {
        v.supports(key, &self.limits)?;
        if v.enabled || self.forced.contains_key(key.op) { Ok(()) } else { Err(Refusal::Disabled) }
    }

    /// What a choice is made from, in order of preference.
    fn candidates<'a>(&'a self, key: &Key) -> impl Iterator<Item = &'a Arc<Variant>> + use<'a> {
        let (op, forced) = (key.op, self.forced.get(key.op));
        let measured = if forced.is_some() { None } else { self.entry(key) };
        let ids = measured.map_or(&[][..], |(_, _, ids)| ids);
        let tuned = ids.iter().filter_map(move |id| self.named(op, id));
        tuned.chain(forced.map_or_else(|| self.variants(op), Vec::as_slice))
    }

    /// The layout in which the variant chosen for `key` wants the stored operand, whatever layout `key` names.
    ///
    /// # Errors
    /// As [`Dispatch::choose`].
    pub fn layout(&self, key: &Key) -> Result<Layout, ChooseError> {
        let mut best: Option<(usize, Layout)> = None;
        let mut failed = None;
        for layout in Layout::all() {
            match self.choose(&Key { layout, ..*key }) {
                // A variant that takes any layout is a fallback, not a reason to repack.
                Ok(v) if layout != Layout::Row && v.supports.layout.is_none() => {}
                Ok(v) => {
                    let rank = self.rank(&Key { layout, ..*key }, &v);
                    if best.is_none_or(|(r, _)| rank < r) {
                        best = Some((rank, layout));
                    }
                }
                // A reason that another layout would not mend says more.
                Err(e) if failed.is_none() || !e.is_of_layout() => failed = Some(e),
                Err(_) => {}
            }
        }
        match (best, failed) {
            (Some((_, layout)), _) => Ok(layout),
            (None, Some(e)) => Err(e),
            (None, None) => Ok(Layout::Row),
        }
    }

    fn rank(&self, key: &Key, variant: &Arc<Variant>) -> usize {
        self.candidates(key).position(|v| Arc::ptr_eq(v, variant)).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use metallic_kernels::DType;
    use metallic_kernels::contract::{Flags, Target};

    use super::*;

    fn limits() -> Limits {
        Limits { targets: Vec::new(), features: Vec::new(), max_threads: 1, threadgroup_bytes: 0 }
    }

    fn error_of(forced: &[String]) -> String {
        Dispatch::new(limits(), forced).err().map(|e| e.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_no_layout_mends_is_the_reason() {
        let features = vec!["avx512f", "avx512bw", "avx512vl", "avx512vnni", "f16c"];
        let limits = Limits { targets: vec![Target::Cpu], features, max_threads: 2, threadgroup_bytes: 0 };
        let dispatch = Dispatch::new(limits, &["matmul=cpu/vnni_gemm".to_owned()]).unwrap();
        let key = |m| metallic_kernels::matmul::key(m, 64, 64, DType::Q8_0, Layout::Row, Flags::NONE);
        let why = dispatch.layout(&key(1)).unwrap_err().to_string();
        assert!(why.contains("m=1 is outside") && why.contains("--force again"), "{why}");
        assert_eq!(dispatch.layout(&key(8)).unwrap(), Layout::Panel16);
    }

    #[test]
    fn variables_force_the_op_that_they_are_about() {
        for (variable, op) in FORCE_VARIABLES {
            for nothing in ["", "auto", "AUTO", " auto , "] {
                assert!(forced_by(variable, nothing).is_empty(), "{variable}={nothing}");
            }
            let d = Dispatch::new(limits(), &forced_by(variable, "auto,cpu/portable")).unwrap();
            let forced: Vec<_> = d.forced[op].iter().map(|v| v.id()).collect();
            assert_eq!(forced, ["cpu/portable"], "{variable}");
            assert_eq!(d.forced.len(), 1);
        }
    }

    #[test]
    fn a_misspelt_force_names_what_was_written_and_what_there_is() {
        let e = error_of(&forced_by("SOFTMAX_BACKEND", "vec"));
        assert!(e.starts_with("SOFTMAX_BACKEND=vec: attention has no variant \"vec\"; variants: "), "{e}");
        assert!(e.contains("cpu/portable"), "{e}");
        let e = error_of(&["attention=vec".to_owned()]);
        assert!(e.starts_with("--force attention=vec: attention has no variant"), "{e}");
        let e = error_of(&["pooling=vec".to_owned()]);
        assert!(e.starts_with("--force pooling=vec: there is no op \"pooling\"; ops: "), "{e}");
        assert!(e.contains("attention"), "{e}");
    }
}
