//! A resolved plan on the CPU: every worker walks the same list, with a barrier after each phase.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use metallic_kernels::contract::{Args, Slice};

use super::buffer::Memory;
use super::pool::{Barrier, Pool};
use super::program::Program;
use crate::{Error, Launched, Memory as _, Queue, Record, StepRows, Timing};

/// Launches, their scratch, and the pool that runs them.
pub(super) struct CpuQueue {
    pool: Arc<Pool>,
    programs: Vec<Program>,
    /// Keeps the operands' memory alive.
    records: Vec<Record>,
    scratch: Memory,
    claims: [Claims; 2],
}

/// What workers have claimed of a phase, on a cache line of its own. Two phases take turns: one is set back while the other is used.
#[derive(Default)]
#[repr(align(64))]
struct Claims(AtomicUsize);

impl Claims {
    fn clear(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl CpuQueue {
    pub fn new(pool: Arc<Pool>, records: &[Record]) -> Result<CpuQueue, Error> {
        let programs =
            records.iter().map(|r| Program::resolve(r, super::NAME, pool.workers())).collect::<Result<Vec<_>, _>>()?;
        let bytes = programs.iter().map(|p| p.scratch).max().unwrap_or(0);
        let scratch = super::memory(bytes)?;
        Ok(CpuQueue { pool, programs, records: records.to_vec(), scratch, claims: Default::default() })
    }

    /// Runs one launch on one worker, which has done `phases` before. False where another worker panicked.
    fn launch(&self, p: &Program, rows: usize, worker: usize, barrier: &Barrier, phases: &mut usize) -> bool {
        for phase in p.native.phases {
            let [now, then] = [0, 1].map(|i| &self.claims[(*phases + i) % 2]);
            *phases += 1;
            if worker == 0 {
                // Of the phase before, which everybody has left; the barrier below comes before the phase that uses it.
                then.clear();
            }
            let args = Args {
                buffers: &p.operands,
                params: &p.params,
                rows,
                worker,
                workers: self.pool.workers(),
                scratch: Slice { ptr: self.scratch.ptr(), len: self.scratch.len() },
                claimed: &now.0,
            };
            // SAFETY: operands were checked by the op that recorded them, rows is at most the key's m (asserted in
            // `walk`), and the barrier separates phases.
            unsafe { phase(&args) };
            if !barrier.wait() {
                return false;
            }
        }
        true
    }

    fn walk(&self, rows: StepRows, timed: Option<&mut [f64]>) -> Result<(), Error> {
        assert!(self.programs.iter().all(|p| rows.of(p.rows) <= p.max_rows), "more rows than the plan was made for");
        let failed = AtomicUsize::new(0);
        self.claims.iter().for_each(Claims::clear);
        let clock = std::sync::Mutex::new(timed);
        let ok = self.pool.run(&|worker, barrier| {
            let mut clock = (worker == 0).then(|| clock.lock().unwrap_or_else(|e| e.into_inner()));
            let mut at = At { launch: 0, failed: &failed };
            let mut phases = 0;
            for (i, p) in self.programs.iter().enumerate() {
                let rows = rows.of(p.rows);
                if rows == 0 {
                    continue;
                }
                at.launch = i;
                let start = clock.as_ref().is_some_and(|c| c.is_some()).then(Instant::now);
                if !self.launch(p, rows, worker, barrier, &mut phases) {
                    return;
                }
                if let (Some(start), Some(s)) = (start, clock.as_mut().and_then(|c| c.as_mut()?.get_mut(i))) {
                    *s += start.elapsed().as_secs_f64();
                }
            }
        });
        if ok {
            return Ok(());
        }
        let op = self.programs[failed.load(Ordering::Relaxed)].op;
        Err(Error::Panicked { device: super::NAME.to_owned(), op })
    }
}

/// Where one worker is. Dropped by a panic, it tells which launch that was.
struct At<'a> {
    launch: usize,
    failed: &'a AtomicUsize,
}

impl Drop for At<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.failed.store(self.launch, Ordering::Relaxed);
        }
    }
}

impl Queue for CpuQueue {
    fn run(&mut self, rows: StepRows) -> Result<(), Error> {
        self.walk(rows, None)
    }

    fn profile(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), Error> {
        self.walk(rows, Some(seconds))
    }

    /// The device's seconds are the first worker's, between the pool's start and its end.
    fn time(&mut self, rows: StepRows, times: usize) -> Result<Timing, Error> {
        let mut seconds = vec![0.0; self.programs.len()];
        let start = Instant::now();
        for _ in 0..times {
            self.walk(rows, Some(&mut seconds))?;
        }
        Ok(Timing { device: Some(seconds.iter().sum()), host: start.elapsed().as_secs_f64() })
    }

    fn launched(&self) -> Vec<Launched> {
        let of = |r: &Record| Launched {
            variant: r.variant.id(),
            entry: r.variant.entry.clone(),
            grid: [self.pool.workers() as u32, 1, 1],
            threads: [1; 3],
        };
        self.records.iter().map(of).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use metallic_kernels::DType;
    use metallic_kernels::contract::{
        Args, Flags, Key, Layout, Native, Op, Params, ParamsInfo, Phase, Supports, Variant,
    };

    use crate::cpu::{Cpu, Options, Pinning};
    use crate::{Device, Error, Record, Rows, StepRows};

    unsafe fn nothing(_: &Args<'_>) {}

    unsafe fn planted(a: &Args<'_>) {
        assert_ne!(a.worker, 1, "planted");
    }

    /// How often each unit was claimed.
    static CLAIMS: [AtomicUsize; 100] = [const { AtomicUsize::new(0) }; 100];

    unsafe fn claims(a: &Args<'_>) {
        while let Some(unit) = a.claim(CLAIMS.len()) {
            CLAIMS[unit].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn native(entry: &str) -> Option<Native> {
        let phases: &[Phase] = match entry {
            "planted" => &[planted],
            "claims" => &[claims, claims, claims],
            _ => &[nothing],
        };
        Some(Native { phases, scratch: |_, _| 0 })
    }

    const fn op(name: &'static str) -> Op {
        Op { name, manifest: "[]", params: ParamsInfo::NONE, native, cases: Vec::new, budget: |_| 0.0 }
    }

    static FINE: Op = op("fine");
    static PLANTED: Op = op("planted");
    static CLAIMED: Op = op("claims");

    fn record(op: &'static Op) -> Record {
        let variant = Variant {
            op: op.name,
            family: "cpu".to_owned(),
            name: op.name.to_owned(),
            source: "none.rs".to_owned(),
            entry: op.name.to_owned(),
            knobs: Default::default(),
            grid: None,
            threads: None,
            supports: Supports::default(),
            search: Default::default(),
            enabled: true,
            note: String::new(),
        };
        let flags = Flags::NONE;
        let key =
            Key { op: op.name, m: 1, n: 1, k: 1, batch: 1, w: DType::F32, act: DType::F32, layout: Layout::Row, flags };
        let params = Params::default();
        Record { op, variant: Arc::new(variant), key, params, operands: Vec::new(), rows: Rows::Tokens }
    }

    /// Whichever worker panics, and however far the caller's own thread is.
    #[test]
    fn a_panic_names_the_launch_that_it_was_in() {
        let cpu = Cpu::new(&Options { threads: Some(3), pinning: Pinning::Free, without: Vec::new() }).unwrap();
        let rows = StepRows { tokens: 1, outputs: 1 };
        let mut bad = cpu.queue(&[record(&FINE), record(&PLANTED), record(&FINE)]).unwrap();
        let mut good = cpu.queue(&[record(&FINE)]).unwrap();
        for _ in 0..20 {
            assert!(matches!(bad.run(rows), Err(Error::Panicked { op: "planted", .. })));
            good.run(rows).unwrap();
        }
    }

    /// In phases that follow each other at once, and after steps that a panic ended.
    #[test]
    fn every_unit_is_claimed_once_a_phase() {
        let cpu = Cpu::new(&Options { threads: Some(3), pinning: Pinning::Free, without: Vec::new() }).unwrap();
        let rows = StepRows { tokens: 1, outputs: 1 };
        let mut queue = cpu.queue(&[record(&CLAIMED), record(&FINE), record(&CLAIMED)]).unwrap();
        let mut bad = cpu.queue(&[record(&CLAIMED), record(&PLANTED)]).unwrap();
        for step in 1..=50 {
            queue.run(rows).unwrap();
            assert!(bad.run(rows).is_err());
            let counts = CLAIMS.each_ref().map(|c| c.load(Ordering::Relaxed));
            assert_eq!(counts, [9 * step; 100]);
        }
    }
}
