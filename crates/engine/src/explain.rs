//! What each weight of a file will run on, without loading it.

use metallic_kernels::DType;
use metallic_kernels::contract::{Flags, Key, Layout, Refusal};
use metallic_kernels::matmul;
use metallic_model::{ModelFile, TensorInfo};
use metallic_ops::{Dispatch, gates};

use crate::{Error, Options};

/// What a step does most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// One token.
    Decode,
    /// A chunk of a prompt.
    Prefill,
}

/// The choice for one matrix in one phase.
#[derive(Clone, Debug)]
pub struct Explained {
    /// The matrix's name in the file.
    pub tensor: String,
    /// Its stored type.
    pub dtype: DType,
    /// What for.
    pub phase: Phase,
    /// The problem, in the layout that the matrix is packed to.
    pub key: Key,
    /// The chosen variant.
    pub variant: String,
    /// Every variant of the op with its reason against this problem, `None` where it could run.
    pub verdicts: Vec<(String, Option<Refusal>)>,
}

/// For every matrix that a model multiplies with, the variants that will run for a token and for a prompt.
///
/// # Errors
/// A feature or forced variant that does not exist, or one that cannot run.
pub fn explain(file: &ModelFile, options: &Options) -> Result<Vec<Explained>, Error> {
    options.check()?;
    let device = crate::engine::device(options)?;
    let dispatch = Dispatch::new(device.limits().clone(), &options.force).map_err(metallic_ops::Error::from)?;
    let tied = file.config().tied;
    let mut list = Vec::new();
    for t in file.tensors().filter(|t| t.shape.len() == 2 && (tied || t.name != "token_embd.weight")) {
        let (n, k) = t.rows_cols();
        let flags = flags(file, &t.name);
        let key = |m| matmul::key(m, n, k, t.dtype, Layout::Row, flags);
        let layout = dispatch.layout(&matmul::key(1, n, k, t.dtype, Layout::Row, Flags::NONE));
        let layout = layout.map_err(metallic_ops::Error::from)?;
        // A prompt needs logits for its last token alone.
        let head = t.name == "output.weight" || t.name == "token_embd.weight";
        for (phase, m) in [(Phase::Decode, 1), (Phase::Prefill, if head { 1 } else { options.chunk })] {
            let mut key = Key { layout, ..key(m) };
            let gated = Key { flags: key.flags.with(Flags::GATED), ..key };
            match partner(file, t) {
                Some(Half::Gate) if gates(&dispatch, &gated) => key = gated,
                Some(Half::Up) if gates(&dispatch, &gated) => continue,
                _ => {}
            }
            let variant = dispatch.choose(&key).map_err(metallic_ops::Error::from)?.id();
            let verdicts = dispatch.explain(&key).into_iter().map(|(v, verdict)| (v.id(), verdict.err())).collect();
            list.push(Explained { tensor: t.name.clone(), dtype: t.dtype, phase, key, variant, verdicts });
        }
    }
    Ok(list)
}

/// One of two matrices of the same shape and type that a feed-forward layer multiplies with side by side.
enum Half {
    Gate,
    Up,
}

fn partner(file: &ModelFile, t: &TensorInfo) -> Option<Half> {
    let (stem, half, other) = match t.name.strip_suffix("ffn_gate.weight") {
        Some(stem) => (stem, Half::Gate, "ffn_up.weight"),
        None => (t.name.strip_suffix("ffn_up.weight")?, Half::Up, "ffn_gate.weight"),
    };
    let other = file.tensor(&format!("{stem}{other}"))?;
    ((other.info.dtype, &other.info.shape) == (t.dtype, &t.shape)).then_some(half)
}

/// How families use a matrix: with its bias where there is one, added to the residual stream where it ends a block.
fn flags(file: &ModelFile, name: &str) -> Flags {
    let bias = name.strip_suffix("weight").and_then(|stem| file.tensor(&format!("{stem}bias")));
    let ends_block = name.ends_with("attn_output.weight") || name.ends_with("ffn_down.weight");
    let with = |set: bool, flag| if set { flag } else { Flags::NONE };
    with(bias.is_some(), Flags::BIAS).with(with(ends_block, Flags::ACCUMULATE))
}
