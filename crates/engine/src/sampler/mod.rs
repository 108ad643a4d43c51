//! From logits to a token.
//!
//! Samplers apply in the order of llama.cpp's default chain: logit bias, penalties, top-k, top-p, min-p, temperature, draw.
//! A draw depends on the seed and on the number of the token alone, so neither other sequences of a batch nor the number of
//! threads change a text.

mod random;
mod select;

use metallic_model::config::SamplingDefaults;

use crate::Error;
use select::Candidate;

/// How tokens are chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Divides the logits; 0 takes the most likely token, of equals the lowest.
    pub temperature: f32,
    /// Most likely tokens kept; 0 keeps all.
    pub top_k: usize,
    /// Keeps the fewest tokens whose probabilities add up to this; 1 keeps all.
    pub top_p: f32,
    /// Keeps tokens at least this times as likely as the most likely one; 0 keeps all.
    pub min_p: f32,
    /// Divides positive logits, multiplies negative ones of tokens in the window; 1 does nothing (Keskar et al. 2019).
    pub repeat_penalty: f32,
    /// Subtracted once from the logits of tokens in the window.
    pub presence_penalty: f32,
    /// Subtracted for each time that a token is in the window.
    pub frequency_penalty: f32,
    /// Tokens that penalties look back on, prompt included.
    pub penalty_window: usize,
    /// Added to the logits of single tokens; minus infinity forbids one.
    pub logit_bias: Vec<(u32, f32)>,
    /// Start of the row of random numbers.
    pub seed: u64,
}

impl Sampling {
    /// The most likely token, always.
    pub fn greedy() -> Sampling {
        Sampling {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            min_p: 0.0,
            repeat_penalty: 1.0,
            presence_penalty: 0.0,
            frequency_penalty: 0.0,
            penalty_window: 64,
            logit_bias: Vec::new(),
            seed: 0,
        }
    }

    /// What a model's author recommends, with llama.cpp's defaults for what is not said.
    pub fn recommended(of: &SamplingDefaults, seed: u64) -> Sampling {
        Sampling {
            temperature: of.temperature.unwrap_or(0.8),
            top_k: of.top_k.map_or(40, |k| k as usize),
            top_p: of.top_p.unwrap_or(0.95),
            min_p: 0.05,
            repeat_penalty: of.repetition_penalty.unwrap_or(1.0),
            seed,
            ..Sampling::greedy()
        }
    }

    fn check(&self, vocab: usize) -> Result<(), Error> {
        let within = |name, expected, ok: bool, got| {
            if ok { Ok(()) } else { Err(Error::Sampling { name, expected, got }) }
        };
        let t = self.temperature;
        within("temperature", "a finite number, 0 or more", t.is_finite() && t >= 0.0, t)?;
        within("top_p", "0 to 1", (0.0..=1.0).contains(&self.top_p), self.top_p)?;
        within("min_p", "0 to 1", (0.0..=1.0).contains(&self.min_p), self.min_p)?;
        let repeat = self.repeat_penalty;
        within("repeat_penalty", "a finite number above 0", repeat.is_finite() && repeat > 0.0, repeat)?;
        for (name, got) in [("presence_penalty", self.presence_penalty), ("frequency_penalty", self.frequency_penalty)]
        {
            within(name, "a finite number", got.is_finite(), got)?;
        }
        for &(id, bias) in &self.logit_bias {
            if id as usize >= vocab {
                return Err(Error::TokenId { what: "logit bias for token", id, vocab });
            }
            within("logit bias", "a finite number, or -inf to forbid the token", bias < f32::INFINITY, bias)?;
        }
        Ok(())
    }

    fn penalizes(&self) -> bool {
        let none = (self.repeat_penalty, self.presence_penalty, self.frequency_penalty) == (1.0, 0.0, 0.0);
        !none && self.penalty_window > 0
    }
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling::recommended(&SamplingDefaults::default(), 0)
    }
}

/// Why no token could be chosen.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum SampleError {
    /// The model computed NaN or infinity.
    #[error("logit {value} for token {token}")]
    NotFinite {
        /// Token.
        token: u32,
        /// Its logit.
        value: f32,
    },
    /// Every token is forbidden.
    #[error("every token is forbidden")]
    NothingLeft,
}

/// Memory that samplers share, so that a draw allocates nothing.
pub struct Scratch {
    candidates: Vec<Candidate>,
    window: Vec<u32>,
}

impl Scratch {
    /// For a vocabulary of `vocab` tokens.
    pub fn new(vocab: usize) -> Scratch {
        Scratch { candidates: Vec::with_capacity(vocab), window: Vec::new() }
    }

    /// Makes room for penalties that look back on `window` tokens.
    pub fn reserve(&mut self, window: usize) {
        self.window.clear();
        self.window.reserve(window);
    }
}

/// A checked [`Sampling`].
#[derive(Clone, Debug)]
pub struct Sampler {
    sampling: Sampling,
}

impl Sampler {
    /// Checks every setting.
    ///
    /// # Errors
    /// The setting that is out of range, or a bias for a token that does not exist.
    pub fn new(sampling: Sampling, vocab: usize) -> Result<Sampler, Error> {
        sampling.check(vocab)?;
        Ok(Sampler { sampling })
    }

    /// Chooses token number `index` of a text whose tokens so far, prompt included, are `history`. Changes `logits: (V)`.
    ///
    /// # Errors
    /// Logits that are NaN or infinite, or all tokens forbidden.
    pub fn sample(
        &self,
        logits: &mut [f32],
        history: &[u32],
        index: u64,
        scratch: &mut Scratch,
    ) -> Result<u32, SampleError> {
        let s = &self.sampling;
        if let Some(token) = select::broken(logits) {
            return Err(SampleError::NotFinite { token: token as u32, value: logits[token] });
        }
        for &(id, bias) in &s.logit_bias {
            match logits.get_mut(id as usize) {
                Some(l) if bias == f32::NEG_INFINITY => *l = bias,
                Some(l) if *l > f32::NEG_INFINITY => *l = finite(*l + bias),
                _ => {}
            }
        }
        if s.penalizes() {
            let window = &history[history.len().saturating_sub(s.penalty_window)..];
            self.penalize(logits, window, &mut scratch.window);
        }
        let (best, top) = select::best(logits).ok_or(SampleError::NothingLeft)?;
        if s.temperature == 0.0 {
            return Ok(best);
        }
        let kept = &mut scratch.candidates;
        if s.top_k > 0 {
            select::top_k(logits, s.top_k, kept);
            let total = select::mass(kept.iter().map(|c| c.logit), top);
            select::cut_top_p(kept, s.top_p, top, total);
        } else if s.top_p < 1.0 {
            select::top_p(logits, s.top_p, top, kept);
        } else {
            select::all(logits, kept);
        }
        if s.min_p > 0.0 {
            let least = top + s.min_p.ln();
            kept.retain(|c| c.logit >= least);
        }
        Ok(select::draw(kept, top, s.temperature, random::uniform(s.seed, index)).unwrap_or(best))
    }

    fn penalize(&self, logits: &mut [f32], window: &[u32], sorted: &mut Vec<u32>) {
        let s = &self.sampling;
        sorted.clear();
        sorted.extend_from_slice(window);
        sorted.sort_unstable();
        for same in sorted.chunk_by(|a, b| a == b) {
            let Some(l) = logits.get_mut(same[0] as usize).filter(|l| **l > f32::NEG_INFINITY) else { continue };
            let repeated = if *l > 0.0 { *l / s.repeat_penalty } else { *l * s.repeat_penalty };
            let penalty = s.presence_penalty + s.frequency_penalty * same.len() as f32;
            *l = finite(finite(repeated) - finite(penalty));
        }
    }
}

/// The nearest finite number: a softmax subtracts the largest logit, and infinity less infinity is no number.
fn finite(logit: f32) -> f32 {
    logit.clamp(f32::MIN, f32::MAX)
}

/// Natural logarithm of the probability of `token` under `logits`.
pub(crate) fn logprob(logits: &[f32], token: u32) -> f32 {
    let top = logits.iter().fold(f32::NEG_INFINITY, |m, &l| m.max(l));
    let total = select::mass(logits.iter().copied(), top);
    let own = logits.get(token as usize).copied().unwrap_or(f32::NEG_INFINITY);
    (f64::from(own - top) - total.ln()) as f32
}

#[cfg(test)]
mod tests;
