//! What each problem of a step will run on, from a file's tensors alone, without loading them.

use metallic_kernels::contract::{Flags, Key, Layout, Refusal};
use metallic_kernels::{attention, embed, gather, matmul, norm, rope, swiglu};
use metallic_model::{ModelFile, TensorInfo};
use metallic_ops::{ChooseError, Dispatch, Tuned, fits_tiles, gates, joined, passes_tiles};

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
                let key = self.matmul(t, m);
                let gated = Key { flags: key.flags.with(Flags::GATED), ..key };
                let with = |key: Key, flag| Key { flags: key.flags.with(flag), ..key };
                match half(&t.name) {
                    Some((Half::Gate, up)) if self.same(t, &up) && gates(self.dispatch, &gated) => {
                        add(if self.tiles(&t.name, m) { with(gated, Flags::TILED_Y) } else { gated });
                    }
                    Some((Half::Up, gate)) if self.same(t, &gate) && gates(self.dispatch, &gated) => {}
                    Some((Half::Up, _)) => {
                        add(key);
                        add(swiglu::key(m, c.d_ff));
                    }
                    _ if t.name.contains(".attn_q.") || t.name.contains(".attn_k.") || t.name.contains(".attn_v.") => {
                        match self.joined(&t.name, m) {
                            Some(all) if t.name.contains(".attn_q.") => add(all),
                            Some(_) => {}
                            None => add(key),
                        }
                    }
                    _ if self.tiles(&t.name, m) => add(with(key, Flags::TILED_X)),
                    _ => add(key),
                }
            }
        }
        for _ in 0..c.n_layers {
            add(rope::key(rows, c.n_heads + 2 * c.n_kv_heads, c.head_dim, kv));
            add(attention::key(rows, c.n_heads, c.head_dim, kv));
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
        let stem = &name[..name.find("attn_")?];
        let keys = ["attn_q", "attn_k", "attn_v"]
            .map(|part| self.file.tensor(&format!("{stem}{part}.weight")).map(|t| self.matmul(t.info, m)));
        joined(&keys.into_iter().collect::<Option<Vec<Key>>>()?)
    }

    /// Whether the feed-forward layer that `name` belongs to keeps its hidden activation in tiles.
    fn tiles(&self, name: &str, m: usize) -> bool {
        let halves = ["ffn_gate.weight", "ffn_up.weight", "ffn_down.weight"];
        let Some(stem) = halves.iter().find_map(|half| name.strip_suffix(half)) else { return false };
        let [Some(gate), Some(up), Some(down)] = halves.map(|half| self.file.tensor(&format!("{stem}{half}"))) else {
            return false;
        };
        let first = self.matmul(gate.info, m);
        let first = Key { flags: first.flags.with(Flags::GATED), ..first };
        fits_tiles(m, gate.info.rows_cols().0)
            && self.same(gate.info, &up.info.name)
            && passes_tiles(self.dispatch, first, self.matmul(down.info, m))
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
        norm::key(m, groups, t.elements())
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
