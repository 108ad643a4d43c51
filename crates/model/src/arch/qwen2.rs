//! Qwen2 and Qwen2.5: pre-norm blocks of grouped-query attention and SwiGLU, with biases on queries, keys and values
//! (Yang et al. 2024).

use super::blocks::{Attention, Ends, FeedForward};
use super::{Batch, LoadError, Model, Weights};
use crate::Config;
use metallic_ops::{Error, Plan};

/// A model of the Qwen2 family.
pub struct Qwen2 {
    ends: Ends,
    layers: Vec<Layer>,
}

struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
}

impl Qwen2 {
    /// Takes the family's weights.
    ///
    /// # Errors
    /// A tensor is missing.
    pub fn load(config: &Config, weights: &mut Weights) -> Result<Qwen2, LoadError> {
        let layer = |i| {
            let attention = Attention::load(config, weights, i)?;
            Ok(Layer { attention, feed_forward: FeedForward::load(config, weights, i)? })
        };
        let layers = (0..config.n_layers).map(layer).collect::<Result<_, LoadError>>()?;
        Ok(Qwen2 { ends: Ends::load(config, weights)?, layers })
    }
}

impl Model for Qwen2 {
    fn forward(&self, plan: &mut Plan, batch: &Batch<'_>) -> Result<(), Error> {
        let x = self.ends.embed(plan, batch)?; // (T, D)
        for (layer, kv) in self.layers.iter().zip(batch.kv) {
            let qkv = layer.attention.project(plan, &x, batch)?; // (T, (H + 2 G) K)
            layer.attention.attend(plan, &qkv, kv, batch, &x)?;
            layer.feed_forward.apply(plan, &x, batch)?;
        }
        self.ends.logits(plan, &x, batch)
    }
}
