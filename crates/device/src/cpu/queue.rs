//! A resolved plan on the CPU: every worker walks the same list, with a barrier after each phase.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use metallic_kernels::contract::{Args, Slice};

use super::buffer::Memory;
use super::pool::{Barrier, Pool};
use super::program::Program;
use crate::{Error, Queue, Record, StepRows};

/// Launches, their scratch, and the pool that runs them.
pub(super) struct CpuQueue {
    pool: Arc<Pool>,
    programs: Vec<Program>,
    /// Keeps the operands' memory alive.
    _records: Vec<Record>,
    scratch: Memory,
}

impl CpuQueue {
    pub fn new(pool: Arc<Pool>, records: &[Record]) -> Result<CpuQueue, Error> {
        let programs =
            records.iter().map(|r| Program::resolve(r, super::NAME, pool.workers())).collect::<Result<Vec<_>, _>>()?;
        let bytes = programs.iter().map(|p| p.scratch).max().unwrap_or(0);
        let scratch = super::memory(bytes)?;
        Ok(CpuQueue { pool, programs, _records: records.to_vec(), scratch })
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
        debug_assert!(self.programs.iter().all(|p| rows.of(p.rows) <= p.max_rows));
        let at = AtomicUsize::new(0);
        let clock = std::sync::Mutex::new(timed);
        let ok = self.pool.run(&|worker, barrier| {
            let mut clock = (worker == 0).then(|| clock.lock().unwrap_or_else(|e| e.into_inner()));
            for (i, p) in self.programs.iter().enumerate() {
                let rows = rows.of(p.rows);
                if rows == 0 {
                    continue;
                }
                if worker == 0 {
                    at.store(i, Ordering::Relaxed);
                }
                let start = clock.as_ref().is_some_and(|c| c.is_some()).then(Instant::now);
                if !self.launch(p, rows, worker, barrier) {
                    return;
                }
                if let (Some(start), Some(seconds)) = (start, clock.as_mut().and_then(|c| c.as_mut())) {
                    seconds[i] += start.elapsed().as_secs_f64();
                }
            }
        });
        if ok {
            return Ok(());
        }
        let op = self.programs[at.load(Ordering::Relaxed)].op;
        Err(Error::Panicked { device: super::NAME.to_owned(), op })
    }
}

impl Queue for CpuQueue {
    fn run(&mut self, rows: StepRows) -> Result<(), Error> {
        self.walk(rows, None)
    }

    fn profile(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), Error> {
        self.walk(rows, Some(seconds))
    }
}
