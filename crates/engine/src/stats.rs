//! What an engine did, and what it took.

use metallic_kernels::contract::Flags;
use std::time::Duration;

use metallic_ops::Plan;

use crate::kv::KvPool;

/// What an engine did since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Time to load and pack the weights.
    pub load: Duration,
    /// Steps run.
    pub steps: usize,
    /// Tokens of prompts computed.
    pub prefill_tokens: usize,
    /// Time of the steps that computed any.
    pub prefill: Duration,
    /// Tokens generated and fed back.
    pub decode_tokens: usize,
    /// Time of the steps that did only that.
    pub decode: Duration,
    /// Bytes of weights that a step reads for one token.
    pub weight_bytes: usize,
    /// Multiplications with weights for one token with logits; twice as many floating-point operations.
    pub weight_products: usize,
    /// Bytes of keys and values of one position: what a token reads for each position before it.
    pub position_bytes: usize,
    /// Bytes of the KV cache.
    pub cache_bytes: usize,
    /// Largest resident set of the process so far, in bytes, where the system tells.
    pub peak_rss: Option<usize>,
}

impl Stats {
    /// Bytes that generating a token reads, `position` tokens into a text.
    pub fn token_bytes(&self, position: usize) -> usize {
        self.weight_bytes + position * self.position_bytes
    }
}

/// Counts steps.
pub(crate) struct Meter {
    stats: Stats,
}

impl Meter {
    /// `plan` is that of a step of one token.
    pub fn new(load: Duration, plan: &Plan) -> Meter {
        let mut stats = Stats { load, ..Stats::default() };
        for r in plan.records() {
            let read = |operand: usize| r.operands.get(operand).map_or(0, |b| b.len);
            match r.op.name {
                "matmul" => {
                    // Weights, bias, and the second matrix of a gated product.
                    stats.weight_bytes += read(2) + read(3) + read(4);
                    let matrices = if r.key.flags.has(Flags::GATED) { 2 } else { 1 };
                    stats.weight_products += matrices * r.key.n * r.key.k;
                }
                "norm" => stats.weight_bytes += read(2),
                "embed" => stats.weight_bytes += read(2) / r.key.n.max(1),
                _ => {}
            }
        }
        Meter { stats }
    }

    pub fn step(&mut self, prompt: usize, generated: usize, took: Duration) {
        let s = &mut self.stats;
        s.steps += 1;
        s.prefill_tokens += prompt;
        s.decode_tokens += generated;
        *(if prompt > 0 { &mut s.prefill } else { &mut s.decode }) += took;
    }

    pub fn stats(&self, pool: &KvPool) -> Stats {
        Stats { position_bytes: pool.position_bytes(), cache_bytes: pool.bytes(), peak_rss: peak_rss(), ..self.stats }
    }
}

/// Largest resident set of this process so far, in bytes.
#[cfg(unix)]
pub fn peak_rss() -> Option<usize> {
    // SAFETY: rusage is plain numbers, and the call writes one.
    let (status, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (libc::getrusage(libc::RUSAGE_SELF, &mut usage), usage)
    };
    // Kilobytes, but bytes on Apple's systems.
    let unit = if cfg!(target_vendor = "apple") { 1 } else { 1024 };
    (status == 0).then(|| usize::try_from(usage.ru_maxrss).unwrap_or(0) * unit)
}

/// Not known on this system.
#[cfg(not(unix))]
pub fn peak_rss() -> Option<usize> {
    None
}
