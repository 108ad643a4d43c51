//! Which tensors a model of a given configuration has, and of what shape.

use super::{Arch, Config};
use crate::{Error, TensorInfo};
use metallic_kernels::DType;

/// One tensor that a configuration asks for or allows. Shapes are row-major, outermost first.
#[derive(Clone, Debug, PartialEq)]
pub struct Need {
    /// Canonical name.
    pub name: String,
    /// Exact shape.
    pub shape: Vec<usize>,
    /// Whether the model can do without.
    pub optional: bool,
}

impl Config {
    /// The tensors outside of the blocks.
    pub fn outer_tensors(&self) -> Vec<Need> {
        let table = vec![self.vocab, self.d_model];
        vec![
            required("token_embd.weight", table.clone()),
            required("output_norm.weight", vec![self.d_model]),
            optional("output.weight", table),
            optional("rope_freqs.weight", vec![self.rope.dims / 2]),
        ]
    }

    /// The tensors of block `layer`.
    pub fn layer_tensors(&self, layer: usize) -> Vec<Need> {
        let (d, ff) = (self.d_model, self.d_ff);
        let (q, kv) = (self.n_heads * self.head_dim, self.n_kv_heads * self.head_dim);
        let named = |name: &str| format!("blk.{layer}.{name}");
        let mut all: Vec<Need> = [
            ("attn_norm.weight", vec![d]),
            ("attn_q.weight", vec![q, d]),
            ("attn_k.weight", vec![kv, d]),
            ("attn_v.weight", vec![kv, d]),
            ("attn_output.weight", vec![d, q]),
            ("ffn_norm.weight", vec![d]),
            ("ffn_gate.weight", vec![ff, d]),
            ("ffn_up.weight", vec![ff, d]),
            ("ffn_down.weight", vec![d, ff]),
        ]
        .into_iter()
        .map(|(name, shape)| required(&named(name), shape))
        .collect();
        if self.arch == Arch::Qwen3 {
            all.push(required(&named("attn_q_norm.weight"), vec![self.head_dim]));
            all.push(required(&named("attn_k_norm.weight"), vec![self.head_dim]));
        } else {
            let biases = [("attn_q.bias", q), ("attn_k.bias", kv), ("attn_v.bias", kv)];
            let optional = self.arch != Arch::Qwen2;
            all.extend(biases.map(|(name, n)| Need { name: named(name), shape: vec![n], optional }));
        }
        all
    }

    /// Checks that every needed tensor is there, of the right shape and of floats, and that no other tensor is.
    ///
    /// # Errors
    /// The first tensor that is missing, misshapen, or that the family does not know (its effect would be lost).
    pub fn check(&self, tensors: &[TensorInfo]) -> Result<(), Error> {
        let mut sorted: Vec<&TensorInfo> = tensors.iter().collect();
        sorted.sort_unstable_by_key(|t| t.name.as_str());
        let mut known = 0;
        let mut see = |need: Need| -> Result<(), Error> {
            let Ok(at) = sorted.binary_search_by(|t| t.name.as_str().cmp(&need.name)) else {
                let expected = format!("shape {:?}", need.shape);
                return if need.optional { Ok(()) } else { Err(Error::tensor(&need.name, expected, "no such tensor")) };
            };
            known += 1;
            let t = sorted[at];
            if t.shape != need.shape {
                let expected = format!("shape {:?}", need.shape);
                return Err(Error::tensor(&t.name, expected, format_args!("{:?}", t.shape)));
            }
            if t.dtype == DType::I32 {
                return Err(Error::tensor(&t.name, "floats", t.dtype));
            }
            Ok(())
        };
        self.outer_tensors().into_iter().try_for_each(&mut see)?;
        for layer in 0..self.n_layers {
            self.layer_tensors(layer).into_iter().try_for_each(&mut see)?;
        }
        if known == tensors.len() {
            return Ok(());
        }
        let names = |n: Vec<Need>| n.into_iter().map(|n| n.name);
        let mut expected: Vec<String> = names(self.outer_tensors()).collect();
        expected.extend((0..self.n_layers).flat_map(|l| names(self.layer_tensors(l))));
        expected.sort_unstable();
        match tensors.iter().find(|t| expected.binary_search(&t.name).is_err()) {
            Some(t) => {
                let arch = self.arch.name();
                Err(Error::tensor(&t.name, format_args!("only tensors that {arch} models have"), "another one"))
            }
            None => Ok(()),
        }
    }
}

fn required(name: &str, shape: Vec<usize>) -> Need {
    Need { name: name.to_owned(), shape, optional: false }
}

fn optional(name: &str, shape: Vec<usize>) -> Need {
    Need { optional: true, ..required(name, shape) }
}
