//! What each problem of a step will run on, from a file's tensors alone, without loading them.

use metallic_kernels::contract::{Flags, Key, Layout, Refusal};
use metallic_kernels::{attention, embed, gather, matmul, norm, rope, swiglu};
use metallic_model::{ModelFile, TensorInfo};
use metallic_ops::{ChooseError, Dispatch, Tuned, fits_tiles, joined, passes_tiles, runs_well};

use crate::{Error, Options};

/// What a step does most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// One token.
    Decode,
    /// A chunk of a prompt.
    Prefill,
}

/// The choice for one problem in one phase.
#[derive(Debug)]
pub struct Explained {
    /// What for.
    pub phase: Phase,
    /// The problem, a matrix in the layout that it is packed to.
    pub key: Key,
    /// Launches of it in a step.
    pub times: usize,
    /// The chosen variant.
    pub variant: Result<String, ChooseError>,
    /// Every variant of the op with its reason against this problem, `None` where it could run.
    pub verdicts: Vec<(String, Option<Refusal>)>,
    /// What the device's tuned table says about this problem, where it says something.
    pub tuned: Option<Tuned>,
}

/// For every problem of a step, the variants that will run for a token and for a prompt.
///
/// # Errors
/// A feature or forced variant that does not exist. One that cannot run is told beside the problem.
pub fn explain(file: &ModelFile, options: &Options) -> Result<Vec<Explained>, Error> {
    options.check()?;
    let device = crate::engine::device(options)?;
    let dispatch = Dispatch::of(&*device, &options.force).map_err(metallic_ops::Error::from)?;
    let step = Step { file, dispatch: &dispatch, options };
    let mut list = Vec::new();
    for (phase, rows) in [(Phase::Decode, 1), (Phase::Prefill, options.chunk)] {
        list.extend(step.problems(rows).into_iter().map(|(key, times)| Explained {
            phase,
            key,
            times,
            variant: dispatch.choose(&key).map(|v| v.id()),
            tuned: dispatch.tuned(&key),
            verdicts: dispatch.explain(&key).into_iter().map(|(v, verdict)| (v.id(), verdict.err())).collect(),
        }));
    }
    Ok(list)
}

struct Step<'a> {
    file: &'a ModelFile,
    dispatch: &'a Dispatch,
    options: &'a Options,
}

impl Step<'_> {
    /// The distinct problems of a step of `rows` tokens with logits for the last, each with how often it comes.
    fn problems(&self, rows: usize) -> Vec<(Key, usize)> {
        let c = self.file.config();
        let kv = self.options.kv.resolve(self.file);
        let mut list: Vec<(Key, usize)> = Vec::new();
        let mut add = |key: Key| match list.iter_mut().find(|(known, _)| *known == key) {
            Some((_, times)) => *times += 1,
            None => list.push((key, 1)),
        };
        for t in self.file.tensors() {
            if t.name == "token_embd.weight" {
                add(embed::key(rows, c.vocab, c.d_model, t.dtype, self.layout(t)));
            }
            let in_block = t.name.starts_with("blk.");
            let head = t.name == if c.tied { "token_embd.weight" } else { "output.weight" };
            let m = if in_block { rows } else { 1 };
            if t.name.ends_with("norm.weight") {
                add(self.norm(t, m));
            } else if t.shape.len() == 2 && (in_block || head) {
                let key = self.reads(self.matmul(t, m), &t.name, m);
                match half(&t.name) {
                    Some((Half::Gate, up)) if self.gates(t, &up, m) => add(self.gated(t, m)),
                    Some((Half::Up, gate)) if self.gates(t, &gate, m) => {}
                    Some((Half::Up, _)) => {
                        add(key);
                        add(swiglu::key(m, c.d_ff));
                    }
                    _ => match self.joined(&t.name, m) {
                        Some(all) if t.name.ends_with(".attn_q.weight") => add(self.reads(all, &t.name, m)),
                        Some(_) => {}
                        None => add(key),
                    },
                }
            }
        }
        for i in 0..c.n_layers {
            add(rope::key(rows, c.n_heads + 2 * c.n_kv_heads, c.head_dim, kv));
            let attention = attention::key(rows, c.n_heads, c.head_dim, kv);
            add(self.writes(attention, &format!("blk.{i}.attn_output.weight"), rows));
        }
        add(gather::key(1, c.d_model));
        list
    }

    /// Weights are packed before anybody knows what is added to their products.
    fn layout(&self, t: &TensorInfo) -> Layout {
        let (n, k) = t.rows_cols();
        self.dispatch.layout(&matmul::key(1, n, k, t.dtype, Layout::Row, Flags::NONE)).unwrap_or(Layout::Row)
    }

    /// Query, key and value projection as one problem, where their weights are loaded as one; `name` is that of any of them.
    fn joined(&self, name: &str, m: usize) -> Option<Key> {
        let stem = ["q.weight", "k.weight", "v.weight"].iter().find_map(|part| name.strip_suffix(part))?;
        stem.ends_with(".attn_").then(|| self.all(stem, &["q", "k", "v"], m)).flatten().and_then(|keys| joined(&keys))
    }

    /// The problems of several matrices of a block, by what follows `stem` in their names.
    fn all(&self, stem: &str, parts: &[&str], m: usize) -> Option<Vec<Key>> {
        let key = |part| self.file.tensor(&format!("{stem}{part}.weight")).map(|t| self.matmul(t.info, m));
        parts.iter().map(key).collect()
    }

    /// `key`, which reads what the matrix `name` is multiplied with, as that lies.
    fn reads(&self, key: Key, name: &str, m: usize) -> Key {
        if self.tiles(name, m) { key.with(Flags::TILED_X) } else { key }
    }

    /// `key`, which writes what the matrix `name` is multiplied with, as that lies.
    fn writes(&self, key: Key, name: &str, m: usize) -> Key {
        if self.tiles(name, m) { key.with(Flags::TILED_Y) } else { key }
    }

    /// Whether what the matrix `name` is multiplied with lies in tiles.
    fn tiles(&self, name: &str, m: usize) -> bool {
        let c = self.file.config();
        let Some((stem, part)) = name.strip_suffix(".weight").and_then(|name| name.rsplit_once('.')) else {
            return false;
        };
        let stem = format!("{stem}.");
        let Some(t) = self.file.tensor(name) else { return false };
        let norm = norm::key(m, 1, c.d_model);
        let (first, then) = match part {
            "attn_q" | "attn_k" | "attn_v" => {
                let all = self.joined(name, m).map(|key| vec![key]);
                (norm, all.or_else(|| self.all(&stem, &["attn_q", "attn_k", "attn_v"], m)))
            }
            "attn_output" => {
                let kv = self.options.kv.resolve(self.file);
                (attention::key(m, c.n_heads, c.head_dim, kv), self.all(&stem, &[part], m))
            }
            "ffn_gate" | "ffn_up" => match self.file.tensor(&format!("{stem}ffn_up.weight")) {
                Some(up) if self.gates(t.info, &up.info.name, m) => (norm, Some(vec![self.gated_key(t.info, m)])),
                _ => (norm, self.all(&stem, &["ffn_gate", "ffn_up"], m)),
            },
            "ffn_down" => match self.file.tensor(&format!("{stem}ffn_gate.weight")) {
                Some(gate) if self.alike(gate.info, &format!("{stem}ffn_up.weight")) => {
                    (self.gated_key(gate.info, m), self.all(&stem, &[part], m))
                }
                _ => return false,
            },
            _ => return false,
        };
        let fits = fits_tiles(m, t.info.rows_cols().1);
        fits && then.is_some_and(|then| passes_tiles(self.dispatch, first, &then))
    }

    /// The gated problem of a gate projection.
    fn gated_key(&self, gate: &TensorInfo, m: usize) -> Key {
        self.matmul(gate, m).with(Flags::GATED)
    }

    /// The same with both activations as they lie.
    fn gated(&self, gate: &TensorInfo, m: usize) -> Key {
        let key = self.reads(self.gated_key(gate, m), &gate.name, m);
        self.writes(key, &gate.name.replace("ffn_gate", "ffn_down"), m)
    }

    /// Whether a half of the feed-forward layer's first matrices and the other run as one gated launch.
    fn gates(&self, t: &TensorInfo, other: &str, m: usize) -> bool {
        self.alike(t, other) && runs_well(self.dispatch, &self.gated_key(t, m))
    }

    /// Whether two halves are alike and without biases, as a gated launch wants them.
    fn alike(&self, t: &TensorInfo, other: &str) -> bool {
        let bias = |name: &str| self.file.tensor(&name.replace(".weight", ".bias")).is_some();
        self.same(t, other) && !bias(&t.name) && !bias(other)
    }

    /// Whether the tensor `other` is of the same type and shape, so that one launch can serve both.
    fn same(&self, t: &TensorInfo, other: &str) -> bool {
        self.file.tensor(other).is_some_and(|o| (o.info.dtype, &o.info.shape) == (t.dtype, &t.shape))
    }

    fn norm(&self, t: &TensorInfo, m: usize) -> Key {
        let c = self.file.config();
        let groups = match () {
            () if t.name.ends_with("attn_q_norm.weight") => c.n_heads,
            () if t.name.ends_with("attn_k_norm.weight") => c.n_kv_heads,
            () => 1,
        };
        let key = norm::key(m, groups, t.elements());
        let reader = [("attn_norm", "attn_q"), ("ffn_norm", "ffn_gate")].iter().find(|(norm, _)| t.name.contains(norm));
        reader.map_or(key, |(norm, reader)| self.writes(key, &t.name.replace(norm, reader), m))
    }

    /// How families use a matrix: with its bias where there is one, added to the residual stream where it ends a block.
    fn matmul(&self, t: &TensorInfo, m: usize) -> Key {
        let (n, k) = t.rows_cols();
        let mut flags = Flags::NONE;
        if t.name.strip_suffix("weight").is_some_and(|stem| self.file.tensor(&format!("{stem}bias")).is_some()) {
            flags = flags.with(Flags::BIAS);
        }
        if t.name.ends_with("attn_output.weight") || t.name.ends_with("ffn_down.weight") {
            flags = flags.with(Flags::ACCUMULATE);
        }
        matmul::key(m, n, k, t.dtype, self.layout(t), flags)
    }
}

/// One of the two matrices that a feed-forward layer multiplies with side by side.
enum Half {
    Gate,
    Up,
}

/// Which half a matrix is, and the name of the other.
fn half(name: &str) -> Option<(Half, String)> {
    match name.strip_suffix("ffn_gate.weight") {
        Some(stem) => Some((Half::Gate, format!("{stem}ffn_up.weight"))),
        None => Some((Half::Up, format!("{}ffn_gate.weight", name.strip_suffix("ffn_up.weight")?))),
    }
}
