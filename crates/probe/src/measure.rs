//! Check, then time, then judge.
//!
//! 1. Every variant's outputs are poisoned, its cold submission runs, the last bank and a random one are compared with the oracle.
//! 2. Rounds: every candidate reads the clock once cold and once hot; each round begins with another candidate. Who is far behind stops
//!    early.
//! 3. All inputs are replaced, outputs are poisoned again, and the very queues that were timed are checked once more.
//! 4. A time below what memory allows, or of a launch that was not asked for, is no time.

mod banks;
mod candidate;
mod interval;
mod policy;
mod rounds;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metallic_device::{Device, Error};
use metallic_kernels::contract::{Key, Layout, ManifestError, Target, Variant};

use crate::problem::Problem;
use crate::record::{self, Entry, Measured, Outcome, Roofline, Shape, Times};
use crate::roofline::Ceiling;
use crate::stats::median;
use banks::Banks;
use candidate::{Candidate, Fault, Launches, rows};

pub use interval::median_interval;
pub use policy::Policy;

/// How much faster than the measured bandwidth a time may be before it cannot be true.
const MARGIN: f64 = 1.03;

/// How to measure.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Rounds of the candidates that stay to the end.
    pub rounds: usize,
    /// Only check.
    pub check_only: bool,
    /// Disabled variants take part.
    pub all: bool,
    /// Banks, launches and readings.
    pub policy: Policy,
}

/// How far a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What is being done.
    pub doing: &'static str,
    /// Parts done.
    pub done: usize,
    /// Of so many.
    pub of: usize,
}

/// What a run needs beside the problem.
pub struct Lab<'a> {
    /// Where to run.
    pub device: &'a dyn Device,
    /// How.
    pub settings: &'a Settings,
    /// Which variants take part.
    pub takes: &'a dyn Fn(&Variant) -> bool,
    /// What the device can do at most.
    pub ceiling: Option<&'a mut dyn Ceiling>,
    /// Sees every step.
    pub progress: &'a mut dyn FnMut(Step),
    /// Ends the run early; what was measured by then is kept.
    pub cancel: &'a AtomicBool,
}

/// Why a problem cannot be measured at all.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// The op's manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// The device has no memory for the operands.
    #[error(transparent)]
    Device(#[from] Error),
}

/// A variant's place in the record: its candidate while it has one, its outcome at the end.
struct Row {
    variant: Arc<Variant>,
    state: State,
}

enum State {
    Ready(Layout),
    Running(Box<Candidate>),
    Done(Outcome),
}

impl Lab<'_> {
    /// Measures every variant on a problem.
    ///
    /// # Errors
    /// What concerns the problem as a whole; what concerns a variant is its outcome.
    pub fn measure(&mut self, problem: &Problem) -> Result<record::Problem, MeasureError> {
        let mut rows = self.rows(problem)?;
        let policy = &self.settings.policy;
        let mut banks = Banks::new(self.device, problem, policy.cold_bytes, policy.most_banks)?;
        for row in &mut rows {
            if let State::Ready(layout) = row.state
                && !banks.add(layout)?
            {
                row.state = gap("its layout has no form of the stored operand");
            }
        }
        let ready: Vec<_> = rows
            .iter()
            .filter(|r| matches!(r.state, State::Ready(_)))
            .map(|r| (problem.op, r.variant.clone()))
            .collect();
        self.device.prepare(&ready);
        let launches = policy.launches(banks.count(), problem.flops, banks.poisons());
        let of = rows.len();
        for (done, row) in rows.iter_mut().enumerate() {
            (self.progress)(Step { doing: "checking", done, of });
            if let State::Ready(layout) = row.state {
                row.state = if self.cancelled() {
                    gap("interrupted")
                } else {
                    self.checked(problem, &banks, (&row.variant, layout), launches)
                };
                if let State::Done(Outcome::Failed { .. }) = row.state {
                    // It may have overwritten what others read.
                    banks.set_inputs(0)?;
                }
            }
        }
        let timed = !self.settings.check_only && self.rounds(problem, &mut rows);
        banks.set_inputs(1)?;
        for row in &mut rows {
            if let State::Running(candidate) = &mut row.state
                && let Err(fault) = candidate.verify(problem, &banks, (1, "with other inputs"))
            {
                row.state = State::Done(outcome_of(fault));
                banks.set_inputs(1)?;
            }
        }
        Ok(self.judged(problem, rows, timed))
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Every variant that takes part, with the reasons of those that cannot.
    fn rows(&self, problem: &Problem) -> Result<Vec<Row>, MeasureError> {
        let mut list = Vec::new();
        for variant in problem.op.variants()?.into_iter().filter(|v| (self.takes)(v)) {
            let layout = variant.supports.layout.filter(|_| problem.has_stored()).unwrap_or(problem.key.layout);
            let key = Key { layout, ..problem.key };
            let state = match variant.supports(&key, self.device.limits()) {
                Err(refusal) => gap(&refusal.to_string()),
                Ok(()) if !variant.enabled && !self.settings.all => gap("disabled in variants.json; --all runs it"),
                Ok(()) => State::Ready(layout),
            };
            list.push(Row { variant: Arc::new(variant), state });
        }
        Ok(list)
    }

    /// A candidate that passed the first check.
    fn checked(
        &self,
        problem: &Problem,
        banks: &Banks<'_>,
        (variant, layout): (&Arc<Variant>, Layout),
        launches: Launches,
    ) -> State {
        let one = |variant: Arc<Variant>| -> Result<Candidate, Fault> {
            let launches = (launches, rows(problem));
            let mut candidate = Candidate::new(self.device, banks, (variant, layout), launches)?;
            candidate.verify(problem, banks, (0, "check"))?;
            if !self.settings.check_only {
                candidate.verify_hot(problem, banks)?;
            }
            Ok(candidate)
        };
        let found = match variant.search.iter().next() {
            None => one(variant.clone()),
            Some((knob, &count)) => search(problem, variant, (knob, count), &one),
        };
        match found {
            Ok(candidate) => State::Running(Box::new(candidate)),
            Err(fault) => State::Done(outcome_of(fault)),
        }
    }

    /// What became of every variant.
    fn judged(&mut self, problem: &Problem, rows: Vec<Row>, timed: bool) -> record::Problem {
        let (key, roofline) = (&problem.key, self.ceiling.as_ref().map(|c| c.roofline().clone()));
        let mut entries = Vec::new();
        for row in rows {
            let outcome = match row.state {
                State::Done(outcome) => outcome,
                State::Ready(_) => Outcome::Gap { reason: "interrupted".to_owned() },
                State::Running(candidate) if !timed => Outcome::Checked { check: candidate.check },
                State::Running(candidate) => self.verdict(problem, *candidate),
            };
            entries.push(Entry {
                variant: row.variant.id(),
                target: target(row.variant.target()).to_owned(),
                enabled: row.variant.enabled,
                outcome,
            });
        }
        record::Problem {
            op: problem.op.name.to_owned(),
            title: problem.title.clone(),
            key: key.to_string(),
            shape: Shape { m: key.m, n: key.n, k: key.k, batch: key.batch },
            detail: problem.detail.clone(),
            bytes: problem.bytes,
            flops: problem.flops,
            floor_us: roofline.map(|r| floor_us(problem, &r)),
            entries,
        }
    }

    fn verdict(&mut self, problem: &Problem, candidate: Candidate) -> Outcome {
        if candidate.cold.device_us.is_empty() || candidate.hot.device_us.is_empty() {
            return Outcome::Gap { reason: "interrupted before it was timed".to_owned() };
        }
        let times = |s: &candidate::Submission| {
            let (low_us, high_us) = median_interval(&s.device_us);
            Times {
                median_us: median(&s.device_us),
                low_us,
                high_us,
                host_us: median(&s.host_us),
                launches: s.launches(),
                rounds: s.device_us.clone(),
            }
        };
        let (cold, hot) = (times(&candidate.cold), times(&candidate.hot));
        if let Some(ceiling) = &mut self.ceiling {
            let too_fast = |read: f64| cold.median_us * MARGIN < problem.bytes as f64 / read * 1e6;
            if too_fast(ceiling.roofline().read) {
                // A machine that others use too may have been slow when its limit was measured.
                ceiling.again();
            }
            let read = ceiling.roofline().read;
            if too_fast(read) {
                let rate = problem.bytes as f64 / cold.median_us * 1e-3;
                let reason = format!(
                    "{:.3} us cold would be {rate:.0} GB/s, but memory gives {:.0} GB/s at most",
                    cold.median_us,
                    read * 1e-9
                );
                return Outcome::Impossible { reason };
            }
        }
        let entry = candidate.variant.entry.clone();
        let launched = candidate.launched.unwrap_or(metallic_device::Launched {
            variant: candidate.variant.id(),
            entry,
            grid: [0; 3],
            threads: [0; 3],
        });
        let entry = if candidate.chosen.is_empty() {
            launched.entry
        } else {
            format!("{} {}", launched.entry, candidate.chosen)
        };
        let (grid, threads) = (launched.grid, launched.threads);
        Outcome::Measured(Measured { check: candidate.check, cold, hot, entry, grid, threads })
    }
}

/// Microseconds below which nothing can be: by memory or by arithmetic.
fn floor_us(problem: &Problem, r: &Roofline) -> f64 {
    let f32_only = problem.op.name != "matmul" || problem.key.w == metallic_kernels::DType::F32;
    let peak = if f32_only { r.f32_flops } else { r.f16_flops };
    let us = |count: u64, rate: f64| if rate > 0.0 { count as f64 / rate * 1e6 } else { 0.0 };
    us(problem.bytes, r.read).max(us(problem.flops, peak))
}

/// Tries every value of a knob until the device refuses one, and keeps the fastest that is right.
fn search(
    problem: &Problem,
    variant: &Variant,
    (knob, count): (&String, i64),
    one: &dyn Fn(Arc<Variant>) -> Result<Candidate, Fault>,
) -> Result<Candidate, Fault> {
    /// Readings that a value is judged by.
    const READINGS: usize = 3;
    let mut best: Option<(f64, Candidate)> = None;
    let mut failed = None;
    for value in 0..count.max(1) {
        let mut tried = variant.clone();
        tried.knobs.insert(knob.clone(), value);
        let timed = one(Arc::new(tried)).and_then(|mut candidate| {
            for _ in 0..READINGS {
                candidate.cold.time(rows(problem))?;
            }
            let us = median(&candidate.cold.device_us);
            candidate.cold.device_us.clear();
            candidate.cold.host_us.clear();
            candidate.chosen = format!("{knob}={value}");
            Ok((us, candidate))
        });
        match timed {
            Ok(found) if best.as_ref().is_none_or(|(us, _)| found.0 < *us) => best = Some(found),
            Ok(_) => {}
            Err(fault @ Fault::Device(_)) => {
                failed.get_or_insert(fault);
                break;
            }
            Err(fault) => {
                failed.get_or_insert(fault);
            }
        }
    }
    match (best, failed) {
        (Some((_, candidate)), _) => Ok(candidate),
        (None, Some(fault)) => Err(fault),
        (None, None) => one(Arc::new(variant.clone())),
    }
}

fn gap(reason: &str) -> State {
    State::Done(Outcome::Gap { reason: reason.to_owned() })
}

fn outcome_of(fault: Fault) -> Outcome {
    let reason = fault.to_string();
    match fault {
        Fault::Device(Error::Unavailable { .. }) => Outcome::Gap { reason },
        fault if fault.is_impossible() => Outcome::Impossible { reason },
        _ => Outcome::Failed { reason },
    }
}

fn target(target: Target) -> &'static str {
    match target {
        Target::Cpu => "cpu",
        Target::Msl => "msl",
        Target::Cuda => "cuda",
        Target::Library => "library",
    }
}
