//! A variant on a problem: its queues, whether it does the work, and its times so far.

use std::sync::Arc;
use std::time::Instant;

use metallic_device::{Device, Error, Launched, Queue, Record, StepRows, Timing};
use metallic_kernels::cases::Rng;
use metallic_kernels::contract::{Layout, Target, Variant};

use super::banks::Banks;
use crate::problem::{Oracle, Problem, Wrong};
use crate::record::Check;
use crate::stats::median;

/// Why a variant has no time.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The device failed.
    #[error(transparent)]
    Device(#[from] Error),
    /// It computes something else.
    #[error("{when}, bank {bank}: {wrong}")]
    Wrong {
        /// Which check.
        when: &'static str,
        /// Of which bank.
        bank: usize,
        /// What is wrong.
        wrong: Wrong,
    },
    /// It wrote beside its output.
    #[error("{when}, bank {bank}: memory beside the output was written")]
    Outside {
        /// Which check.
        when: &'static str,
        /// Of which bank.
        bank: usize,
    },
    /// It wrote an input.
    #[error("{when}, bank {bank}: an input was written")]
    Input {
        /// Which check.
        when: &'static str,
        /// Of which bank.
        bank: usize,
    },
    /// What the device launched is not what was asked for.
    #[error("asked for {asked}, but {launched} ran")]
    Other {
        /// Variant, entry and geometry.
        asked: String,
        /// The same of what ran.
        launched: String,
    },
    /// A clock that cannot be right.
    #[error("a time of {0} s for a submission")]
    Clock(f64),
}

impl Fault {
    /// Whether the work was done, and only its time cannot be true.
    pub fn is_impossible(&self) -> bool {
        matches!(self, Fault::Other { .. } | Fault::Clock(_))
    }
}

/// Launches that are submitted together.
pub struct Submission {
    queue: Box<dyn Queue>,
    launches: usize,
    /// The host's seconds of its last single run.
    once_s: f64,
    /// How often a submission is repeated for one reading of the clock.
    pub times: usize,
    /// The device's microseconds a launch, a round each.
    pub device_us: Vec<f64>,
    /// The host's, in the same rounds.
    pub host_us: Vec<f64>,
}

/// A variant that takes part.
pub struct Candidate {
    /// The variant, with the knobs that were chosen.
    pub variant: Arc<Variant>,
    /// Rotates through the banks.
    pub cold: Submission,
    /// One bank again and again.
    pub hot: Submission,
    /// What ran, as the device resolved it.
    pub launched: Option<Launched>,
    /// What the checks found so far.
    pub check: Check,
    /// Whether it takes part in the rounds that come.
    pub live: bool,
    /// Knobs that a search chose.
    pub chosen: String,
}

/// How many launches a submission has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Launches {
    /// Of a cold one; banks come in turn, each once where what it holds is added to.
    pub cold: usize,
    /// Of a hot one.
    pub hot: usize,
    /// Seconds that a submission may take.
    pub seconds: f64,
}

impl Launches {
    /// As many as take no longer than allowed, one at least, where a launch takes `each` seconds.
    ///
    /// A kernel for which this leaves out banks needs a tenth of a second for hundreds of megabytes: whether these came from a cache is
    /// nothing to it.
    fn within(self, each: f64) -> Launches {
        let fit = (self.seconds / each.max(1e-9)) as usize;
        Launches { cold: self.cold.min(fit.max(1)), hot: self.hot.min(fit.max(1)), ..self }
    }
}

impl Submission {
    /// Resolves these launches, and sees that the device resolved what was asked for.
    fn new(device: &dyn Device, records: &[Record]) -> Result<(Submission, Option<Launched>), Fault> {
        let queue = device.queue(records)?;
        let launched = queue.launched();
        for (record, launched) in records.iter().zip(&launched) {
            same(device, record, launched)?;
        }
        let launches = records.len();
        let submission =
            Submission { queue, launches, once_s: 0.0, times: 1, device_us: Vec::new(), host_us: Vec::new() };
        Ok((submission, launched.into_iter().next()))
    }

    /// Launches that one reading of the clock is about.
    pub fn launches(&self) -> usize {
        self.launches * self.times
    }

    /// Runs it once.
    pub fn run(&mut self, rows: StepRows) -> Result<(), Error> {
        let start = Instant::now();
        self.queue.run(rows)?;
        self.once_s = start.elapsed().as_secs_f64();
        Ok(())
    }

    /// Reads the clock once. False where the device has none.
    pub fn time(&mut self, rows: StepRows) -> Result<bool, Fault> {
        let Timing { device, host } = self.queue.time(rows, self.times)?;
        let Some(device) = device else { return Ok(false) };
        if !device.is_finite() || device <= 0.0 || !host.is_finite() || host <= 0.0 {
            return Err(Fault::Clock(if device.is_finite() && device > 0.0 { host } else { device }));
        }
        let launches = self.launches() as f64;
        self.device_us.push(device * 1e6 / launches);
        self.host_us.push(host * 1e6 / launches);
        Ok(true)
    }

    /// Whether one run takes long enough to be read alone, and too long to be made for nothing.
    pub fn is_long(&self) -> bool {
        self.once_s > 0.05
    }

    /// Repeats it until a reading takes `seconds`, as far as `most` launches.
    pub fn repeat(&mut self, seconds: f64, most: usize) {
        let wanted = (seconds / self.once_s.max(1e-7)).floor();
        self.times = (wanted as usize).clamp(1, (most / self.launches).max(1));
    }
}

/// Fails where a device resolved another launch than `record` asks for.
fn same(device: &dyn Device, record: &Record, launched: &Launched) -> Result<(), Fault> {
    let variant = &record.variant;
    let workers = device.limits().max_threads as u32;
    let (grid, threads) = match variant.target() {
        Target::Cpu => ([workers, 1, 1], [1; 3]),
        // What a library launches is its own affair.
        Target::Library => (launched.grid, launched.threads),
        Target::Msl | Target::Cuda => match variant.geometry(&record.key) {
            Ok(g) => (g.grid, g.threads),
            Err(_) => (launched.grid, launched.threads),
        },
    };
    let entry = if variant.target() == Target::Library { launched.entry.clone() } else { variant.entry.clone() };
    let asked = Launched { variant: variant.id(), entry, grid, threads };
    if asked == *launched {
        return Ok(());
    }
    let words = |l: &Launched| format!("{} {} on {:?} of {:?}", l.variant, l.entry, l.grid, l.threads);
    Err(Fault::Other { asked: words(&asked), launched: words(launched) })
}

impl Candidate {
    /// Resolves a variant's launches.
    pub fn new(
        device: &dyn Device,
        banks: &Banks<'_>,
        (variant, layout): (Arc<Variant>, Layout),
        (launches, rows): (Launches, StepRows),
    ) -> Result<Candidate, Fault> {
        let turn = |count: usize, step: usize| -> Vec<Record> {
            (0..count).map(|i| banks.record(&variant, layout, i * step % banks.count())).collect()
        };
        // One launch first: it compiles, and tells what many would take.
        let (mut pilot, launched) = Submission::new(device, &turn(1, 0))?;
        let launches = if launches.cold + launches.hot > 2 {
            pilot.run(rows)?;
            if !pilot.is_long() {
                pilot.run(rows)?;
            }
            launches.within(pilot.once_s)
        } else {
            launches
        };
        drop(pilot);
        let (cold, _) = Submission::new(device, &turn(launches.cold, 1))?;
        let (hot, _) = Submission::new(device, &turn(launches.hot, 0))?;
        let check = Check { compared: 0, elements: 0, worst: 0.0 };
        Ok(Candidate { variant, cold, hot, launched, check, live: true, chosen: String::new() })
    }

    /// Cold microseconds a launch from few readings, of results that nobody looks at.
    pub fn glance(
        device: &dyn Device,
        banks: &Banks<'_>,
        (variant, layout): (&Arc<Variant>, Layout),
        rows: StepRows,
    ) -> Result<f64, Fault> {
        const LAUNCHES: usize = 256;
        const READINGS: usize = 3;
        let records: Vec<Record> =
            (0..banks.count().min(LAUNCHES)).map(|bank| banks.record(variant, layout, bank)).collect();
        let (mut cold, _) = Submission::new(device, &records)?;
        cold.run(rows)?;
        for _ in 0..READINGS {
            if !cold.time(rows)? {
                break;
            }
        }
        Ok(median(&cold.device_us))
    }

    /// Runs the cold submission over fresh outputs and compares the last bank that it writes and one at random.
    pub fn verify(
        &mut self,
        problem: &Problem,
        banks: &Banks<'_>,
        (set, when): (usize, &'static str),
    ) -> Result<(), Fault> {
        banks.clear_outputs()?;
        self.cold.run(rows(problem))?;
        let used = banks.count().min(self.cold.launches);
        let other = Rng((set + problem.elements) as u64).below(used);
        for bank in if other + 1 == used { vec![other] } else { vec![used - 1, other] } {
            self.compare(problem, banks, bank, (set, when))?;
        }
        Ok(())
    }

    fn compare(
        &mut self,
        problem: &Problem,
        banks: &Banks<'_>,
        bank: usize,
        (set, when): (usize, &'static str),
    ) -> Result<(), Fault> {
        let oracle = &problem.expect[set];
        let written = banks.output(bank)?;
        let check = if banks.poisons() { Oracle::check_poisoned } else { Oracle::check };
        let worst = check(oracle, problem.output, &written.bytes, problem.elements).map_err(|wrong| Fault::Wrong {
            when,
            bank,
            wrong,
        })?;
        if !written.clean {
            return Err(Fault::Outside { when, bank });
        }
        if !banks.inputs_kept(bank, set)? {
            return Err(Fault::Input { when, bank });
        }
        self.check = Check {
            compared: oracle.compared() as u64,
            elements: problem.elements as u64,
            worst: self.check.worst.max(worst),
        };
        Ok(())
    }

    /// Checks the hot submission; what is added to again and again is only run.
    pub fn verify_hot(&mut self, problem: &Problem, banks: &Banks<'_>) -> Result<(), Fault> {
        banks.clear_outputs()?;
        self.hot.run(rows(problem))?;
        if banks.poisons() {
            self.compare(problem, banks, 0, (0, "hot check"))?;
        }
        Ok(())
    }
}

/// The row counts of every run.
pub fn rows(problem: &Problem) -> StepRows {
    StepRows { tokens: problem.key.m, outputs: 0 }
}
