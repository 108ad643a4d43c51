//! Qwen3: as Qwen2 without biases, with an RMS norm on every query and key head before the rotation (Yang et al. 2025).

use super::blocks::{Attention, Ends, FeedForward};
use super::{Batch, LoadError, Model, Weights};
use crate::Config;
use metallic_device::Buffer;
use metallic_ops::{Error, Plan, rms_norm};

/// A model of the Qwen3 family.
pub struct Qwen3 {
    ends: Ends,
    layers: Vec<Layer>,
    eps: f32,
}

struct Layer {
    attention: Attention,
    q_norm: Buffer, // (K)
    k_norm: Buffer, // (K)
    feed_forward: FeedForward,
}

impl Qwen3 {
    /// Takes the family's weights.
    ///
    /// # Errors
    /// A tensor is missing.
    pub fn load(config: &Config, weights: &mut Weights) -> Result<Qwen3, LoadError> {
        let layer = |i| {
            Ok(Layer {
                attention: Attention::load(config, weights, i)?,
                q_norm: weights.vector(&format!("blk.{i}.attn_q_norm.weight"))?,
                k_norm: weights.vector(&format!("blk.{i}.attn_k_norm.weight"))?,
                feed_forward: FeedForward::load(config, weights, i)?,
            })
        };
        let layers = (0..config.n_layers).map(layer).collect::<Result<_, LoadError>>()?;
        Ok(Qwen3 { ends: Ends::load(config, weights)?, layers, eps: config.rms_eps })
    }
}

impl Model for Qwen3 {
    fn forward(&self, plan: &mut Plan, batch: &Batch<'_>) -> Result<(), Error> {
        let x = self.ends.embed(plan, batch)?; // (T, D)
        for (layer, kv) in self.layers.iter().zip(batch.kv) {
            let qkv = layer.attention.project(plan, &x, batch)?; // (T, (H + 2 G) K)
            rms_norm(plan, &qkv.q, &layer.q_norm, self.eps, &qkv.q)?; // (T, H, K)
            rms_norm(plan, &qkv.k, &layer.k_norm, self.eps, &qkv.k)?; // (T, G, K)
            layer.attention.attend(plan, &qkv, kv, batch, &x)?;
            layer.feed_forward.apply(plan, &x, batch)?;
        }
        self.ends.logits(plan, &x, batch)
    }
}
