//! One repetition: a prompt, or tokens from an empty cache.

use crate::interrupt::{self, Cancel};
use metallic_engine::{Engine, Event, Request};
use std::time::Instant;

/// What is measured: a prompt of so many tokens, or so many tokens generated, one step each.
#[derive(Clone, Copy, Debug)]
pub struct Test {
    /// Tokens of the prompt.
    pub prompt: usize,
    /// Tokens to generate.
    pub generate: usize,
}

/// The times of one repetition, in seconds.
#[derive(Clone, Debug)]
pub struct Sample {
    /// From the request to the end.
    pub total: f64,
    /// From the request to the first token, or to the end of a prompt.
    pub first: f64,
    /// From each token to the next.
    pub gaps: Vec<f64>,
}

/// Runs the test once. Generation starts from a single token, so that each of its tokens is one step of one row.
pub fn measure(engine: &mut Engine, test: Test, cancel: Cancel) -> anyhow::Result<Sample> {
    let vocab = engine.config().vocab as u32;
    let mut request = Request::new(prompt(test.prompt.max(1), vocab));
    request.max_tokens = test.generate;
    let mut events = Vec::new();
    let mut tokens = Vec::with_capacity(test.generate);
    let start = Instant::now();
    engine.add(request)?;
    while !engine.is_idle() {
        interrupt::check(cancel)?;
        engine.step(&mut events)?;
        let now = start.elapsed().as_secs_f64();
        tokens.extend(events.iter().filter(|e| matches!(e, Event::Token { .. })).map(|_| now));
    }
    let total = start.elapsed().as_secs_f64();
    anyhow::ensure!(tokens.len() == test.generate, "{} tokens came instead of {}", tokens.len(), test.generate);
    let gaps = tokens.windows(2).map(|w| w[1] - w[0]).collect();
    Ok(Sample { total, first: tokens.first().copied().unwrap_or(total), gaps })
}

/// Token ids that are all over the vocabulary and the same every time.
fn prompt(n: usize, vocab: u32) -> Vec<u32> {
    let mut state = 1u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u32 % vocab.max(1)
    };
    (0..n).map(|_| next()).collect()
}
