//! Devices that lie, and how to measure on them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use metallic_device::cpu::{Cpu, Options, Pinning};
use metallic_device::{Buffer, Device, Error, Launched, Queue, Record, StepRows, Timing};
use metallic_kernels::contract::{Expr, Limits, Params, Variant};
use metallic_kernels::matmul::MatmulParams;
use metallic_probe::measure::{Lab, Policy, Settings};
use metallic_probe::problem::{Operand, Problem};
use metallic_probe::record::{Outcome, Roofline};
use metallic_probe::roofline::Ceiling;
use metallic_probe::spec::MatmulShape;

type Swap = Arc<dyn Fn(&Variant) -> Option<Variant> + Send + Sync>;
type Edit = Arc<dyn Fn(MatmulParams) -> MatmulParams + Send + Sync>;
type Clock = Arc<dyn Fn(f64) -> f64 + Send + Sync>;

/// A device that launches something else than it is asked to, or whose clock is wrong.
pub struct Lying<D> {
    device: D,
    swap: Swap,
    edit: Option<Edit>,
    clock: Option<Clock>,
    hides: bool,
    algorithms: Option<i64>,
}

impl<D: Device> Lying<D> {
    /// A device that does not lie yet.
    pub fn new(device: D) -> Lying<D> {
        Lying { device, swap: Arc::new(|_| None), edit: None, clock: None, hides: false, algorithms: None }
    }

    /// Launches another variant.
    pub fn replacing(self, swap: impl Fn(&Variant) -> Option<Variant> + Send + Sync + 'static) -> Lying<D> {
        Lying { swap: Arc::new(swap), ..self }
    }

    /// Launches with other arguments.
    pub fn with_params(self, edit: impl Fn(MatmulParams) -> MatmulParams + Send + Sync + 'static) -> Lying<D> {
        Lying { edit: Some(Arc::new(edit)), ..self }
    }

    /// Makes another time of the seconds that the host measured.
    pub fn with_clock(self, clock: impl Fn(f64) -> f64 + Send + Sync + 'static) -> Lying<D> {
        Lying { clock: Some(Arc::new(clock)), ..self }
    }

    /// Has so many algorithms, by the knob ALGO.
    pub fn with_algorithms(self, count: i64) -> Lying<D> {
        Lying { algorithms: Some(count), ..self }
    }

    /// Does not tell what it launches.
    pub fn hiding(self) -> Lying<D> {
        Lying { hides: true, ..self }
    }
}

struct LyingQueue {
    queue: Box<dyn Queue>,
    clock: Option<Clock>,
    hides: bool,
}

impl<D: Device> Device for Lying<D> {
    fn name(&self) -> &str {
        self.device.name()
    }

    fn describe(&self) -> String {
        self.device.describe()
    }

    fn limits(&self) -> &Limits {
        self.device.limits()
    }

    fn alloc(&self, bytes: usize) -> Result<Buffer, Error> {
        self.device.alloc(bytes)
    }

    fn queue(&self, records: &[Record]) -> Result<Box<dyn Queue>, Error> {
        let mut records = records.to_vec();
        for r in &mut records {
            if let (Some(&asked), Some(count)) = (r.variant.knobs.get("ALGO"), self.algorithms)
                && asked >= count
            {
                let (device, op, variant) = (self.name().to_owned(), r.op.name, r.variant.id());
                return Err(Error::NoAlgorithm { device, op, variant, asked: asked as usize, count: count as usize });
            }
            if let Some(other) = (self.swap)(&r.variant) {
                r.variant = Arc::new(other);
            }
            if let Some(edit) = &self.edit {
                r.params = Params::new(&edit(*r.params.get()));
            }
        }
        let queue = self.device.queue(&records)?;
        Ok(Box::new(LyingQueue { queue, clock: self.clock.clone(), hides: self.hides }))
    }

    fn parallel(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        self.device.parallel(parts, job)
    }
}

impl Queue for LyingQueue {
    fn run(&mut self, rows: StepRows) -> Result<(), Error> {
        self.queue.run(rows)
    }

    fn profile(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), Error> {
        self.queue.profile(rows, seconds)
    }

    fn time(&mut self, rows: StepRows, times: usize) -> Result<Timing, Error> {
        let timing = self.queue.time(rows, times)?;
        Ok(match &self.clock {
            Some(clock) => Timing { device: Some(clock(timing.host)), ..timing },
            None => timing,
        })
    }

    fn launched(&self) -> Vec<Launched> {
        if self.hides { Vec::new() } else { self.queue.launched() }
    }
}

/// A limit that is what it is said to be.
pub struct Wall(Roofline, f64);

impl Wall {
    /// Memory that gives `read` bytes a second.
    pub fn new(read: f64) -> Wall {
        Wall(Roofline { read, ..Roofline::default() }, read)
    }

    /// Gives more when it is measured again.
    pub fn rising_to(self, read: f64) -> Wall {
        Wall(self.0, read)
    }
}

impl Ceiling for Wall {
    fn roofline(&self) -> &Roofline {
        &self.0
    }

    fn again(&mut self) {
        self.0.read = self.1;
    }
}

/// Two workers of this machine.
pub fn cpu() -> Cpu {
    Cpu::new(&Options { threads: Some(2), pinning: Pinning::Free, without: Vec::new() }).unwrap()
}

/// The variants of a family, or one by its name.
pub fn only(pattern: &str) -> impl Fn(&Variant) -> bool {
    let pattern = pattern.to_owned();
    move |v| v.family == pattern || v.id() == pattern
}

/// `expr` with other text.
pub fn with(expr: Expr, from: &str, to: &str) -> Expr {
    match expr {
        Expr::Formula(text) if text == from => Expr::Formula(to.to_owned()),
        other => other,
    }
}

/// What became of the variants.
pub fn measure(
    device: &dyn Device,
    problem: &Problem,
    takes: &dyn Fn(&Variant) -> bool,
    mut wall: Option<Wall>,
) -> Vec<(String, Outcome)> {
    let on_cpu = device.name() == "cpu";
    let policy = if on_cpu {
        Policy { cold_bytes: 1 << 20, most_banks: 8, fill: 1, hot: 2, reading_s: 1e-4, ..Policy::single() }
    } else {
        Policy::single()
    };
    let settings = Settings { rounds: 3, check_only: !on_cpu, all: false, policy };
    let cancel = AtomicBool::new(false);
    let ceiling = wall.as_mut().map(|w| w as &mut dyn Ceiling);
    let progress = &mut |_| {};
    let mut lab = Lab { device, settings: &settings, takes, ceiling, progress, cancel: &cancel };
    let found = lab.measure(problem).unwrap();
    found.entries.into_iter().map(|e| (e.variant, e.outcome)).collect()
}

/// The product of a problem's first inputs in f32, by a plain loop.
pub fn product(problem: &Problem, s: &MatmulShape) -> Vec<f32> {
    let values =
        |bytes: &[u8]| -> Vec<f32> { bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect() };
    let (Operand::Changing([x, _]), Operand::Stored(w)) = (&problem.operands[1], &problem.operands[2]) else {
        panic!("not a product");
    };
    let (x, w) = (values(x), values(w));
    let dot = |r: usize, j: usize| -> f32 {
        let terms = x[r * s.k..][..s.k].iter().zip(&w[j * s.k..][..s.k]).map(|(x, w)| f64::from(*x) * f64::from(*w));
        terms.sum::<f64>() as f32
    };
    (0..s.m).flat_map(|r| (0..s.n).map(move |j| (r, j))).map(|(r, j)| dot(r, j)).collect()
}
