//! Blocks that families share. Each adds its result to the residual stream `x: (T, D)`.

use super::{Batch, LoadError, Weights};
use crate::Config;
use crate::config::Pairing;
use metallic_device::Buffer;
use metallic_kernels::rope;
use metallic_ops::{
    Error, Heads, KvLayer, Linear, Look, Plan, Reader, Tensor, Weight, Write, Writer, attention, between, embed, gated,
    gather, matmul, rms_norm, rope_append,
};

/// Token embedding and output head.
pub(super) struct Ends {
    embedding: Weight, // (V, D)
    norm: Buffer,      // (D)
    head: Linear,      // (V, D)
    eps: f32,
}

impl Ends {
    /// A tied head is the embedding itself: one buffer, two uses.
    pub fn load(config: &Config, weights: &mut Weights) -> Result<Ends, LoadError> {
        let embedding = weights.matrix("token_embd.weight")?;
        let head = if config.tied { embedding.clone() } else { weights.matrix("output.weight")? };
        let norm = weights.vector("output_norm.weight")?;
        Ok(Ends { embedding, norm, head: Linear { parts: vec![(head, None)] }, eps: config.rms_eps })
    }

    /// x = embedding[ids].
    pub fn embed(&self, plan: &mut Plan, batch: &Batch<'_>) -> Result<Tensor, Error> {
        let x = batch.activations.stream.clone();
        embed(plan, &self.embedding, &batch.ids, &x)?;
        Ok(x)
    }

    /// logits = norm(x[outputs]) head^T.
    pub fn logits(&self, plan: &mut Plan, x: &Tensor, batch: &Batch<'_>) -> Result<(), Error> {
        let a = &batch.activations;
        gather(plan, x, &batch.outputs, &a.last)?;
        rms_norm(plan, &a.last, &self.norm, self.eps, &a.last)?;
        matmul(plan, &a.last, &self.head, &a.logits, Write::Store)
    }
}

/// Grouped-query attention with rotary positions, in two steps so that a family can do something between them.
pub(super) struct Attention {
    norm: Buffer, // (D)
    qkv: Linear,  // ((H + 2 G) K, D)
    out: Linear,  // (D, H K)
    heads: Heads,
    look: Look,
    pairing: rope::Pairing,
    eps: f32,
}

/// The columns of queries, keys and values.
pub(super) struct Qkv {
    pub all: Tensor, // (T, (H + 2 G) K)
    pub q: Tensor,   // (T, H K)
    pub k: Tensor,   // (T, G K)
}

impl Attention {
    pub fn load(config: &Config, weights: &mut Weights, layer: usize) -> Result<Attention, LoadError> {
        let block = format!("blk.{layer}");
        let (heads, kv_heads, head_dim) = (config.n_heads, config.n_kv_heads, config.head_dim);
        Ok(Attention {
            norm: weights.vector(&format!("{block}.attn_norm.weight"))?,
            qkv: weights.joined(&block, &["attn_q", "attn_k", "attn_v"])?,
            out: weights.linear(&block, &["attn_output"])?,
            heads: Heads { heads, kv_heads, head_dim },
            look: Look { window: config.sliding_window, scale: 1.0 / (head_dim as f32).sqrt() },
            pairing: match config.rope.pairing {
                Pairing::Interleaved => rope::Pairing::Interleaved,
                Pairing::Halves => rope::Pairing::Halves,
            },
            eps: config.rms_eps,
        })
    }

    /// q, k, v = norm(x) Wqkv^T + b.
    pub fn project(&self, plan: &mut Plan, x: &Tensor, batch: &Batch<'_>) -> Result<Qkv, Error> {
        let a = &batch.activations;
        let normed = between(plan.dispatch(), &a.normed, Writer::Norm, Reader::Product(&self.qkv, Write::Store));
        rms_norm(plan, x, &self.norm, self.eps, &normed)?;
        matmul(plan, &normed, &self.qkv, &a.qkv, Write::Store)?;
        let Heads { heads, kv_heads, head_dim } = self.heads;
        let (q, k) = (heads * head_dim, kv_heads * head_dim);
        Ok(Qkv { all: a.qkv.clone(), q: a.qkv.columns(0, q), k: a.qkv.columns(q, k) })
    }

    /// x += attention(rope(q), rope(k), v) Wo^T, with k and v appended to the cache.
    pub fn attend(&self, plan: &mut Plan, qkv: &Qkv, kv: &KvLayer, batch: &Batch<'_>, x: &Tensor) -> Result<(), Error> {
        let attended = &batch.activations.attended;
        let writer = Writer::Attention(self.heads, kv.dtype);
        let attended = between(plan.dispatch(), attended, writer, Reader::Product(&self.out, Write::Add));
        rope_append(plan, &qkv.all, self.heads, self.pairing, kv, &batch.index)?;
        attention(plan, &qkv.q, self.heads, self.look, kv, &batch.index, &attended)?;
        matmul(plan, &attended, &self.out, x, Write::Add)
    }
}

/// SwiGLU feed-forward.
pub(super) struct FeedForward {
    norm: Buffer,    // (D)
    gate_up: Linear, // (2 F, D)
    down: Linear,    // (D, F)
    eps: f32,
}

impl FeedForward {
    pub fn load(config: &Config, weights: &mut Weights, layer: usize) -> Result<FeedForward, LoadError> {
        let block = format!("blk.{layer}");
        Ok(FeedForward {
            norm: weights.vector(&format!("{block}.ffn_norm.weight"))?,
            gate_up: weights.linear(&block, &["ffn_gate", "ffn_up"])?,
            down: weights.linear(&block, &["ffn_down"])?,
            eps: config.rms_eps,
        })
    }

    /// x += (silu(norm(x) Wg^T) * norm(x) Wu^T) Wd^T.
    pub fn apply(&self, plan: &mut Plan, x: &Tensor, batch: &Batch<'_>) -> Result<(), Error> {
        let a = &batch.activations;
        let normed = between(plan.dispatch(), &a.normed, Writer::Norm, Reader::Gated(&self.gate_up));
        let (writer, reader) = (Writer::Gated(&self.gate_up), Reader::Product(&self.down, Write::Add));
        let hidden = between(plan.dispatch(), &a.hidden, writer, reader);
        rms_norm(plan, x, &self.norm, self.eps, &normed)?;
        gated(plan, &normed, &self.gate_up, &hidden, |_| Ok(a.gate_up.clone()))?;
        matmul(plan, &hidden, &self.down, x, Write::Add)
    }
}
