//! What a token costs: bytes read and operations done, from what the engine's own plan reads and multiplies.

use metallic_engine::Stats;
use metallic_model::Config;

/// Bytes and operations of a model's parts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Bytes of weights that each step reads.
    pub weights: f64,
    /// Operations of a token in the layers' matrices.
    pub layers: f64,
    /// Operations of a row of logits.
    pub head: f64,
    /// Bytes of keys and values of one position, all layers.
    pub kv: f64,
    /// Operations of attention for each position that a token sees, all layers.
    pub attention: f64,
}

impl Cost {
    /// The cost of a model whose engine has these statistics.
    pub fn of(c: &Config, stats: &Stats) -> Cost {
        let head = 2.0 * c.vocab as f64 * c.d_model as f64;
        Cost {
            weights: stats.weight_bytes as f64,
            layers: 2.0 * stats.weight_products as f64 - head,
            head,
            kv: stats.position_bytes as f64,
            attention: (4 * c.n_layers * c.n_heads * c.head_dim) as f64,
        }
    }

    /// Bytes read by a prefill of `n` tokens in chunks of `chunk`: the weights once a chunk, and the cache behind it.
    pub fn prefill_bytes(&self, n: usize, chunk: usize) -> f64 {
        let chunks = n.div_ceil(chunk.max(1));
        let seen: f64 = (0..chunks).map(|i| ((i + 1) * chunk).min(n) as f64).sum();
        self.weights * chunks as f64 + self.kv * seen
    }

    /// Operations of a prefill of `n` tokens with one row of logits.
    pub fn prefill_operations(&self, n: usize) -> f64 {
        let n = n as f64;
        self.layers * n + self.head + self.attention * n * (n + 1.0) / 2.0
    }

    /// Bytes read by `n` steps of one token each, from an empty cache.
    pub fn decode_bytes(&self, n: usize) -> f64 {
        let n = n as f64;
        self.weights * n + self.kv * n * (n + 1.0) / 2.0
    }

    /// Operations of `n` steps of one token each, from an empty cache.
    pub fn decode_operations(&self, n: usize) -> f64 {
        let n = n as f64;
        (self.layers + self.head) * n + self.attention * n * (n + 1.0) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_read_the_weights_again_and_all_keys_before_them() {
        let cost = Cost { weights: 100.0, layers: 10.0, head: 7.0, kv: 1.0, attention: 2.0 };
        assert_eq!(cost.prefill_bytes(4, 2), 200.0 + 2.0 + 4.0);
        assert_eq!(cost.prefill_bytes(3, 512), 100.0 + 3.0);
        assert_eq!(cost.prefill_operations(3), 30.0 + 7.0 + 2.0 * 6.0);
        assert_eq!(cost.decode_bytes(3), 300.0 + 6.0);
        assert_eq!(cost.decode_operations(3), 30.0 + 21.0 + 2.0 * 6.0);
    }
}
