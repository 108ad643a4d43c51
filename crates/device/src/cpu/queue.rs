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
}

impl CpuQueue {
    pub fn new(pool: Arc<Pool>, records: &[Record]) -> Result<CpuQueue, Error> {
        let programs =
            records.iter().map(|r| Program::resolve(r, super::NAME, pool.workers())).collect::<Result<Vec<_>, _>>()?;
        let bytes = programs.iter().map(|p| p.scratch).max().unwrap_or(0);
        let scratch = super::memory(bytes)?;
        Ok(CpuQueue { pool, programs, records: records.to_vec(), scratch })
    }

    /// Runs one launch on one worker. False where another worker panicked.
    fn launch(&self, p: &Program, rows: usize, worker: usize, barrier: &Barrier) -> bool {
        let args = Args {
            buffers: &p.operands,
            params: &p.params,
            rows,
            worker,
            workers: self.pool.workers(),
            scratch: Slice { ptr: self.scratch.ptr(), len: self.scratch.len() },
        };
        for phase in p.native.phases {
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
        let clock = std::sync::Mutex::new(timed);
        let ok = self.pool.run(&|worker, barrier| {
            let mut clock = (worker == 0).then(|| clock.lock().unwrap_or_else(|e| e.into_inner()));
            let mut at = At { launch: 0, failed: &failed };
            for (i, p) in self.programs.iter().enumerate() {
                let rows = rows.of(p.rows);
                if rows == 0 {
                    continue;
                }
                at.launch = i;
                let start = clock.as_ref().is_some_and(|c| c.is_some()).then(Instant::now);
                if !self.launch(p, rows, worker, barrier) {
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

    use metallic_kernels::DType;
    use metallic_kernels::contract::{Args, Flags, Key, Layout, Native, Op, Params, ParamsInfo, Supports, Variant};

    use crate::cpu::{Cpu, Options, Pinning};
    use crate::{Device, Error, Record, Rows, StepRows};

    unsafe fn nothing(_: &Args<'_>) {}

    unsafe fn planted(a: &Args<'_>) {
        assert_ne!(a.worker, 1, "planted");
    }

    fn native(entry: &str) -> Option<Native> {
        let phases: &[metallic_kernels::contract::Phase] = if entry == "planted" { &[planted] } else { &[nothing] };
        Some(Native { phases, scratch: |_, _| 0 })
    }

    const fn op(name: &'static str) -> Op {
        Op { name, manifest: "[]", params: ParamsInfo::NONE, native, cases: Vec::new, budget: |_| 0.0 }
    }

    static FINE: Op = op("fine");
    static PLANTED: Op = op("planted");

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
}
