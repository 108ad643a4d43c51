//! What a step works on: the inputs of a batch and the activations between its ops.

use crate::Config;
use metallic_device::{Device, Rows, StepRows};
use metallic_kernels::DType;
use metallic_ops::{BatchIndex, Error, KvLayer, Tensor};

/// The tokens of one step, of one or many sequences.
pub struct Batch<'a> {
    /// Token ids.
    pub ids: Tensor, // (T) i32
    /// Rows whose logits are wanted.
    pub outputs: Tensor, // (O) i32
    /// Where each token stands in its sequence and in the cache.
    pub index: BatchIndex,
    /// The cache, one entry a layer.
    pub kv: &'a [KvLayer],
    /// Memory for everything between input and logits.
    pub activations: Activations,
}

/// The activations of a step. Plans for fewer rows use the first rows of the same memory.
#[derive(Clone)]
pub struct Activations {
    /// The residual stream.
    pub stream: Tensor, // (T, D)
    /// The stream after a norm.
    pub normed: Tensor, // (T, D)
    /// Queries, keys and values.
    pub qkv: Tensor, // (T, (H + 2 G) K)
    /// What attention gathered.
    pub attended: Tensor, // (T, H K)
    /// Gate and up projection.
    pub gate_up: Tensor, // (T, 2 F)
    /// Their product.
    pub hidden: Tensor, // (T, F)
    /// The stream at the output rows.
    pub last: Tensor, // (O, D)
    /// Logits.
    pub logits: Tensor, // (O, V)
}

impl Activations {
    /// Memory for at most `rows` a step.
    ///
    /// # Errors
    /// No memory.
    pub fn new(device: &dyn Device, config: &Config, rows: StepRows) -> Result<Activations, Error> {
        let tensor = |domain: Rows, cols: usize| -> Result<Tensor, Error> {
            let rows = rows.of(domain);
            let buffer = device.alloc(rows * cols * size_of::<f32>())?;
            Ok(Tensor { buffer, offset: 0, rows, cols, stride: cols, dtype: DType::F32, domain })
        };
        let (d, k) = (config.d_model, config.head_dim);
        Ok(Activations {
            stream: tensor(Rows::Tokens, d)?,
            normed: tensor(Rows::Tokens, d)?,
            qkv: tensor(Rows::Tokens, (config.n_heads + 2 * config.n_kv_heads) * k)?,
            attended: tensor(Rows::Tokens, config.n_heads * k)?,
            gate_up: tensor(Rows::Tokens, 2 * config.d_ff)?,
            hidden: tensor(Rows::Tokens, config.d_ff)?,
            last: tensor(Rows::Outputs, d)?,
            logits: tensor(Rows::Outputs, config.vocab)?,
        })
    }

    /// The first `rows` of each, which are not more than there are.
    pub fn first(&self, rows: StepRows) -> Activations {
        let cut = |t: &Tensor| Tensor { rows: rows.of(t.domain).min(t.rows), ..t.clone() };
        Activations {
            stream: cut(&self.stream),
            normed: cut(&self.normed),
            qkv: cut(&self.qkv),
            attended: cut(&self.attended),
            gate_up: cut(&self.gate_up),
            hidden: cut(&self.hidden),
            last: cut(&self.last),
            logits: cut(&self.logits),
        }
    }
}
