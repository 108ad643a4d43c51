//! Rotary position embedding: which elements are rotated together, and how fast.

use crate::Error;
use std::f64::consts::PI;

/// Which two elements of a head are rotated together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pairing {
    /// Elements 2i and 2i + 1 (GGUF's `llama`, whose q and k rows are permuted for it).
    Interleaved,
    /// Elements i and i + dims/2 (Hugging Face's weights, GGUF's `qwen2` and `qwen3`).
    Halves,
}

/// How a model trained on short texts was stretched to longer ones.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RopeScaling {
    /// Not at all.
    None,
    /// Positions divided by this factor.
    Linear(f32),
    /// Llama 3.1: slow rotations divided by `factor`, fast ones kept, a ramp between.
    Llama3 {
        /// Divisor of the slowest rotations.
        factor: f32,
        /// Rotations with a wavelength above `original / low` are slow.
        low: f32,
        /// Rotations with a wavelength below `original / high` are fast.
        high: f32,
        /// Context length of the training, in positions.
        original: f32,
    },
    /// YaRN (arXiv:2309.00071).
    Yarn {
        /// Divisor of the slow rotations.
        factor: f32,
        /// Context length of the training, in positions.
        original: f32,
        /// Rotations in `original` positions above which nothing is divided.
        beta_fast: f32,
        /// Rotations in `original` positions below which everything is divided.
        beta_slow: f32,
        /// Factor on cos and sin.
        attention: f32,
    },
}

/// Rotary position embedding of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Rope {
    /// Base of the geometric row of frequencies.
    pub theta: f32,
    /// Elements of a head that are rotated; even, at most the head's width.
    pub dims: usize,
    /// Which elements pair up.
    pub pairing: Pairing,
    /// Stretching.
    pub scaling: RopeScaling,
    /// Divisors of the `dims / 2` frequencies, where the file has the tensor `rope_freqs.weight`.
    pub factors: Option<Vec<f32>>,
}

impl Rope {
    /// The `dims / 2` angles per position in radians, with scaling and factors applied. Computed in f64.
    pub fn frequencies(&self) -> Vec<f32> {
        let dims = self.dims as f64;
        let plain = (0..self.dims / 2).map(|i| (self.theta as f64).powf(-2.0 * i as f64 / dims));
        let scaled = plain.enumerate().map(|(i, f)| self.scaled(i, f));
        match &self.factors {
            Some(factors) => scaled.zip(factors).map(|(f, by)| (f / *by as f64) as f32).collect(),
            None => scaled.map(|f| f as f32).collect(),
        }
    }

    /// Cosine and sine of every pair at `position`, from [`Rope::frequencies`] and [`Rope::magnitude`], into `out: (dims / 2, 2)`.
    /// Computed in f64, so that far positions are as exact as near ones.
    pub fn angles(frequencies: &[f32], magnitude: f32, position: usize, out: &mut [f32]) {
        for (pair, frequency) in out.chunks_exact_mut(2).zip(frequencies) {
            let (sin, cos) = (position as f64 * f64::from(*frequency)).sin_cos();
            pair[0] = (cos * f64::from(magnitude)) as f32;
            pair[1] = (sin * f64::from(magnitude)) as f32;
        }
    }

    /// Factor on cos and sin: 1 but for YaRN.
    pub fn magnitude(&self) -> f32 {
        match self.scaling {
            RopeScaling::Yarn { attention, .. } => attention,
            _ => 1.0,
        }
    }

    fn scaled(&self, i: usize, f: f64) -> f64 {
        match self.scaling {
            RopeScaling::None => f,
            RopeScaling::Linear(factor) => f / factor as f64,
            RopeScaling::Llama3 { .. } => f / self.llama3_divisor(f),
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, .. } => {
                let last = self.dims as f64 - 1.0;
                let pair_turning = |turns: f32| {
                    let ratio = original as f64 / (turns as f64 * 2.0 * PI);
                    self.dims as f64 * ratio.ln() / (2.0 * (self.theta as f64).ln())
                };
                let low = pair_turning(beta_fast).floor().clamp(0.0, last);
                let high = pair_turning(beta_slow).ceil().clamp(0.0, last);
                let span = if high == low { 0.001 } else { high - low };
                let divided = ((i as f64 - low) / span).clamp(0.0, 1.0);
                f / factor as f64 * divided + f * (1.0 - divided)
            }
        }
    }

    fn llama3_divisor(&self, f: f64) -> f64 {
        let RopeScaling::Llama3 { factor, low, high, original } = self.scaling else { return 1.0 };
        let [factor, low, high, original] = [factor, low, high, original].map(f64::from);
        let wavelength = 2.0 * PI / f;
        if wavelength < original / high {
            1.0
        } else if wavelength > original / low {
            factor
        } else {
            let kept = (original / wavelength - low) / (high - low);
            1.0 / ((1.0 - kept) / factor + kept)
        }
    }

    /// The divisors that GGUF stores as `rope_freqs.weight`, for Llama 3 scaling.
    pub(crate) fn llama3_factors(&self) -> Option<Vec<f32>> {
        let RopeScaling::Llama3 { .. } = self.scaling else { return None };
        let dims = self.dims as f64;
        let plain = (0..self.dims / 2).map(|i| (self.theta as f64).powf(-2.0 * i as f64 / dims));
        Some(plain.map(|f| self.llama3_divisor(f) as f32).collect())
    }

    pub(super) fn check(&self, head_dim: usize, key: impl Fn(&str) -> String) -> Result<(), Error> {
        if self.dims == 0 || !self.dims.is_multiple_of(2) || self.dims > head_dim {
            let expected = format!("an even number from 2 to the head width {head_dim}");
            return Err(Error::key(&key("rope_dims"), expected, self.dims));
        }
        let positive = |field: &str, v: f32| {
            let ok = v.is_finite() && v > 0.0;
            if ok { Ok(()) } else { Err(Error::key(&key(field), "a finite number above 0", v)) }
        };
        positive("rope_theta", self.theta)?;
        match self.scaling {
            RopeScaling::None => {}
            RopeScaling::Linear(f) => positive("rope_scaling", f)?,
            RopeScaling::Llama3 { factor, low, high, original } => {
                for v in [factor, low, high, original, high - low] {
                    positive("rope_scaling", v)?;
                }
            }
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention } => {
                for v in [factor, original, beta_fast, beta_slow, attention] {
                    positive("rope_scaling", v)?;
                }
            }
        }
        match self.factors.as_ref().and_then(|f| f.iter().find(|f| !(f.is_finite() && **f > 0.0))) {
            Some(f) => Err(Error::tensor("rope_freqs.weight", "finite divisors above 0", f)),
            None => Ok(()),
        }
    }
}
