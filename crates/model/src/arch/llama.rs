//! Llama 2 and 3, Mistral, SmolLM: pre-norm blocks of grouped-query attention and SwiGLU (Touvron et al. 2023). What
//! differs between them (rope scaling, a sliding window, a tied head) is in the configuration.

use super::blocks::{Attention, Ends, FeedForward};
use super::{Batch, LoadError, Model, Weights};
use crate::Config;
use metallic_ops::{Error, Plan};

/// A model of the Llama family.
pub struct Llama {
    ends: Ends,
    layers: Vec<Layer>,
}

struct Layer {
    attention: Attention,
    feed_forward: FeedForward,
}

impl Llama {
    /// Takes the family's weights.
    ///
    /// # Errors
    /// A tensor is missing.
    pub fn load(config: &Config, weights: &mut Weights) -> Result<Llama, LoadError> {
        let layer = |i| {
            let attention = Attention::load(config, weights, i)?;
            Ok(Layer { attention, feed_forward: FeedForward::load(config, weights, i)? })
        };
        let layers = (0..config.n_layers).map(layer).collect::<Result<_, LoadError>>()?;
        Ok(Llama { ends: Ends::load(config, weights)?, layers })
    }
}

impl Model for Llama {
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
