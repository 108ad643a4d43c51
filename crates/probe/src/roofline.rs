//! What a device can do at most, measured: the CPU with native code, others with kernels of `metallic_kernels::limits`.

pub mod compute;
pub mod cpu;
mod gpu;
pub mod read;

use metallic_device::{Device, Error, Record, Rows, StepRows};
use metallic_kernels::contract::{Args, Flags, Key, Layout, Native, Op, Params, ParamsInfo, Variant};
use metallic_kernels::{DType, contract::ManifestError};

use crate::record::Roofline;

pub use gpu::Gpu;

/// A roofline that can be measured again.
pub trait Ceiling {
    /// The best so far.
    fn roofline(&self) -> &Roofline;

    /// Measures the read bandwidth once more and keeps the best.
    fn again(&mut self);
}

/// Why a roofline cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum RooflineError {
    /// What the device says.
    #[error(transparent)]
    Device(#[from] Error),
    /// The manifest of the kernels that measure.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A kernel that measures did something else.
    #[error("{variant} did not do its work: {got}, not {want}")]
    Wrong {
        /// The variant.
        variant: String,
        /// What came out.
        got: u64,
        /// What should have.
        want: u64,
    },
    /// The device has no clock.
    #[error("{0} has no clock to measure with")]
    NoClock(String),
}

/// The CPU's roofline.
pub struct Cpu {
    prober: cpu::Prober,
    best: Roofline,
}

/// Passes of a first measurement; the best counts.
const PASSES: usize = 5;

impl Cpu {
    /// Measures a CPU of its own, with as many threads as the one that kernels run on.
    ///
    /// # Errors
    /// No memory, or a thread that panicked.
    pub fn new(cpu: metallic_device::cpu::Cpu) -> Result<Cpu, RooflineError> {
        let present = cpu.limits().features.clone();
        let fastest: Vec<String> = if present.contains(&"amx-bf16") { vec!["amx-bf16".to_owned()] } else { Vec::new() };
        let (narrow, wide) = (compute::burst(&[], &present), compute::burst(&fastest, &present));
        let mut prober = cpu::Prober::new(cpu, 1 << 20)?;
        let mut best = Roofline::default();
        for _ in 0..PASSES {
            prober.probe(narrow)?;
            prober.probe(wide)?;
            let (write, copy) = prober.write_and_copy()?;
            best.write = best.write.max(write);
            best.copy = best.copy.max(copy);
        }
        best.read = prober.bandwidth;
        best.f32_flops = prober.peak(narrow);
        best.f16_flops = prober.peak(wide);
        let (one, two) = (phases(prober.cpu(), "one")?, phases(prober.cpu(), "two")?);
        best.launch_us = one;
        best.barrier_us = Some((two - one).max(0.0));
        best.cache_bytes = Some(cpu::last_level_cache(prober.cpu()) as u64);
        Ok(Cpu { prober, best })
    }
}

impl Ceiling for Cpu {
    fn roofline(&self) -> &Roofline {
        &self.best
    }

    fn again(&mut self) {
        for _ in 0..PASSES {
            // What fails leaves the limit as it is.
            if self.prober.probe_read().is_err() {
                return;
            }
        }
        self.best.read = self.best.read.max(self.prober.bandwidth);
    }
}

/// Nothing, in one phase or two.
static NOTHING: Op =
    Op { name: "nothing", manifest: MANIFEST, params: ParamsInfo::NONE, native, cases: Vec::new, budget: |_| 0.0 };

const MANIFEST: &str = r#"[
  { "family": "cpu", "name": "one", "source": "mod.rs", "entry": "one", "enabled": true, "note": "one phase" },
  { "family": "cpu", "name": "two", "source": "mod.rs", "entry": "two", "enabled": true, "note": "two phases" }
]"#;

fn native(entry: &str) -> Option<Native> {
    let phases: &[metallic_kernels::contract::Phase] = if entry == "two" { &[nothing, nothing] } else { &[nothing] };
    Some(Native { phases, scratch: |_, _| 0 })
}

/// # Safety
/// As `contract::Phase`.
unsafe fn nothing(_: &Args<'_>) {}

/// Microseconds a launch of nothing, among many.
fn phases(device: &dyn Device, name: &str) -> Result<f64, RooflineError> {
    const LAUNCHES: usize = 1000;
    let variants = NOTHING.variants()?;
    let Some(variant) = variants.into_iter().find(|v| v.name == name) else { return Ok(0.0) };
    let records = vec![record(&NOTHING, variant, 1, Vec::new()); LAUNCHES];
    let mut queue = device.queue(&records)?;
    let mut best = f64::INFINITY;
    for _ in 0..PASSES {
        let timing = queue.time(StepRows { tokens: 1, outputs: 0 }, 1)?;
        best = best.min(timing.host * 1e6 / LAUNCHES as f64);
    }
    Ok(best)
}

/// A launch over `m` rows.
fn record(op: &'static Op, variant: Variant, m: usize, operands: Vec<metallic_device::Binding>) -> Record {
    let key = Key {
        op: op.name,
        m,
        n: 1,
        k: 1,
        batch: 1,
        w: DType::F32,
        act: DType::F32,
        layout: Layout::Row,
        flags: Flags::NONE,
    };
    Record { op, variant: variant.into(), key, params: Params::default(), operands, rows: Rows::Tokens }
}
