//! The roofline of a device that runs kernels in MSL, measured by kernels that went the same way as all others.

use metallic_device::{Buffer, Device, Record, StepRows};
use metallic_kernels::contract::{Params, Variant};
use metallic_kernels::limits::{self, LimitsParams, Work};

use super::{Ceiling, PASSES, RooflineError, record};
use crate::record::Roofline;

/// Bytes that a pass reads or writes: many times a cache.
const BYTES: usize = 1 << 30;

/// Passes that are submitted together.
const TOGETHER: usize = 4;

/// Bytes between the two words of a chain.
const APART: usize = 4096;

/// Launches of nothing that are submitted together.
const EMPTY: usize = 1000;

/// A GPU's roofline.
pub struct Gpu<'a> {
    device: &'a dyn Device,
    x: Buffer,
    y: Buffer,
    variants: Vec<Variant>,
    best: Roofline,
}

impl<'a> Gpu<'a> {
    /// Measures `device`, whose last-level cache has `cache` bytes, where that is known.
    ///
    /// # Errors
    /// What the device says, a kernel that did not do its work, no clock.
    pub fn new(device: &'a dyn Device, cache: Option<u64>) -> Result<Gpu<'a>, RooflineError> {
        let variants = limits::OP.variants()?;
        let shared: Vec<_> = variants.iter().map(|v| (&limits::OP, std::sync::Arc::new(v.clone()))).collect();
        device.prepare(&shared);
        let (x, y) = (device.alloc(BYTES)?, device.alloc(BYTES)?);
        let best = Roofline { cache_bytes: cache, ..Roofline::default() };
        let mut gpu = Gpu { device, x, y, variants, best };
        // Writing comes first: it leaves the pattern that reading adds up.
        gpu.best.write = gpu.rate(Work::Write)?;
        std::mem::swap(&mut gpu.x, &mut gpu.y);
        gpu.best.read = gpu.rate(Work::Read)?;
        gpu.best.copy = gpu.rate(Work::Copy)?;
        gpu.best.f32_flops = gpu.rate(Work::F32)?;
        gpu.best.f16_flops = gpu.rate(Work::F16)?;
        gpu.best.launch_us = 1e6 / gpu.rate(Work::Empty)?;
        gpu.best.barrier_us = Some((1e6 / gpu.rate(Work::Chain)? - gpu.best.launch_us).max(0.0));
        Ok(gpu)
    }

    /// The best rate of the variants that do this work: bytes, operations or launches a second.
    fn rate(&self, work: Work) -> Result<f64, RooflineError> {
        let mut best: Result<f64, RooflineError> = Ok(0.0);
        let fits = |v: &&Variant| {
            let has = |f: &String| self.device.limits().features.contains(&f.as_str());
            self.device.limits().targets.contains(&v.target()) && v.supports.features.iter().all(has)
        };
        for variant in self.variants.iter().filter(|v| v.enabled && v.family == work.family()).filter(fits) {
            best = match (best, self.one(work, variant)) {
                (Ok(a), Ok(b)) => Ok(a.max(b)),
                // An architecture may lack what one variant needs, as long as another runs.
                (Ok(a), Err(why)) => {
                    if a > 0.0 {
                        Ok(a)
                    } else {
                        Err(why)
                    }
                }
                (Err(_), other) => other,
            };
        }
        best
    }

    fn one(&self, work: Work, variant: &Variant) -> Result<f64, RooflineError> {
        let rows = work.rows(BYTES);
        let count = if matches!(work, Work::Empty | Work::Chain) { EMPTY } else { TOGETHER };
        let launch = |i: usize| {
            let len = work.output_bytes(BYTES, variant).min(BYTES);
            // A chain's launches read what the one ahead wrote; x keeps the pattern.
            let operands = match (work, i % 2) {
                (Work::Chain, 0) => vec![self.y.slice(0, len), self.y.slice(APART, len)],
                (Work::Chain, _) => vec![self.y.slice(APART, len), self.y.slice(0, len)],
                _ => vec![self.y.slice(0, len), self.x.whole()],
            };
            let params = Params::new(&LimitsParams { rows: rows as u32 });
            Record { params, ..record(&limits::OP, variant.clone(), rows, operands) }
        };
        let records: Vec<_> = (0..count).map(launch).collect();
        let step = StepRows { tokens: rows, outputs: 0 };
        let mut queue = self.device.queue(&records)?;
        queue.run(step)?;
        if let Some(want) = work.sum(BYTES) {
            let got = self.sum(work, variant)?;
            if got != want {
                return Err(RooflineError::Wrong { variant: variant.id(), got: got.into(), want: want.into() });
            }
        }
        let mut best = 0.0f64;
        for _ in 0..PASSES {
            let Some(seconds) = queue.time(step, 1)?.device else {
                return Err(RooflineError::NoClock(self.device.name().to_owned()));
            };
            if seconds > 0.0 {
                best = best.max(work.amount(BYTES) * count as f64 / seconds);
            }
        }
        Ok(best)
    }

    /// The sum of the words that a kernel left, of as much as is worth reading back.
    fn sum(&self, work: Work, variant: &Variant) -> Result<u32, RooflineError> {
        let mut bytes = vec![0; work.output_bytes(BYTES, variant).min(BYTES)];
        self.y.read(0, &mut bytes)?;
        let words = bytes.as_chunks::<4>().0.iter().map(|w| u32::from_le_bytes(*w));
        Ok(words.fold(0, u32::wrapping_add))
    }
}

impl Ceiling for Gpu<'_> {
    fn roofline(&self) -> &Roofline {
        &self.best
    }

    fn again(&mut self) {
        if let Ok(read) = self.rate(Work::Read) {
            self.best.read = self.best.read.max(read);
        }
    }
}
