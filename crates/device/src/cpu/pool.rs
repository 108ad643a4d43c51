//! A pool of threads that walk a plan together: woken once per step, a spin barrier between phases.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle, Thread};

use crate::Error;

/// Spins before a waiting thread gives its core up. About 20 us (measured on Sapphire Rapids): longer than any barrier inside a step, shorter than
/// the pause between two requests.
const SPINS: usize = 1 << 11;

/// Who pins threads to cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinning {
    /// Worker `i` on the `i`-th core this process may use: steady speed on a machine of one's own. Worker 0 is the caller,
    /// whose thread is not the pool's to bind.
    Cores,
    /// The system decides.
    Free,
}

/// Meeting point of all workers of a job.
pub struct Barrier {
    parties: usize,
    arrived: AtomicUsize,
    round: AtomicUsize,
    broken: AtomicBool,
    spins: usize,
}

impl Barrier {
    fn new(parties: usize) -> Barrier {
        let cores = thread::available_parallelism().map_or(parties, |n| n.get());
        // With more threads than cores a spinning thread keeps the one it waits for from running.
        let spins = if parties > cores { 0 } else { SPINS };
        Barrier {
            parties,
            spins,
            arrived: AtomicUsize::new(0),
            round: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        }
    }

    /// Waits until every worker is here. False where a worker panicked and will never arrive.
    pub fn wait(&self) -> bool {
        if self.parties == 1 {
            return true;
        }
        let round = self.round.load(Ordering::Acquire);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == self.parties {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
        } else {
            let mut spins = 0;
            while self.round.load(Ordering::Acquire) == round {
                if self.broken.load(Ordering::Relaxed) {
                    return false;
                }
                relax(&mut spins, self.spins);
            }
        }
        !self.broken.load(Ordering::Relaxed)
    }
}

/// One turn of a wait: a pause while it is short, the core given up once it is long.
fn relax(spins: &mut usize, most: usize) {
    *spins += 1;
    if *spins < most {
        std::hint::spin_loop();
    } else {
        thread::yield_now();
    }
}

type Job<'a> = &'a (dyn Fn(usize, &Barrier) + Sync);

struct Shared {
    job: AtomicPtr<Job<'static>>,
    epoch: AtomicUsize,
    done: AtomicUsize,
    stop: AtomicBool,
    barrier: Barrier,
    parked: Vec<AtomicBool>,
}

/// Threads that run one job at a time, the caller being worker 0.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    handles: Vec<Thread>,
    one_job: Mutex<()>,
}

impl Pool {
    /// Starts `workers - 1` threads.
    ///
    /// # Errors
    /// [`Error::Thread`] where the system starts no more.
    pub fn new(workers: usize, pinning: Pinning) -> Result<Pool, Error> {
        let shared = Arc::new(Shared {
            job: AtomicPtr::new(std::ptr::null_mut()),
            epoch: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
            barrier: Barrier::new(workers),
            parked: (0..workers).map(|_| AtomicBool::new(false)).collect(),
        });
        let mut pool = Pool { shared, threads: Vec::new(), handles: Vec::new(), one_job: Mutex::new(()) };
        let cores = if pinning == Pinning::Cores { allowed_cores() } else { Vec::new() };
        for worker in 1..workers {
            let shared = pool.shared.clone();
            let core = cores.get(worker % cores.len().max(1)).copied();
            let thread = thread::Builder::new()
                .name(format!("metallic-{worker}"))
                .spawn(move || {
                    if let Some(core) = core {
                        pin(core);
                    }
                    serve(&shared, worker);
                })
                .map_err(|source| Error::Thread { device: "cpu".to_owned(), worker, source })?;
            pool.handles.push(thread.thread().clone());
            pool.threads.push(thread);
        }
        Ok(pool)
    }

    /// Workers, the caller included.
    pub fn workers(&self) -> usize {
        self.threads.len() + 1
    }

    /// Runs `job(worker, barrier)` on every worker and returns when all are done. False where one panicked. Callers on several
    /// threads take turns; a job that calls `run` itself never ends.
    pub fn run(&self, job: Job<'_>) -> bool {
        let _one = self.one_job.lock().unwrap_or_else(|e| e.into_inner());
        let s = &*self.shared;
        s.barrier.broken.store(false, Ordering::Relaxed);
        s.barrier.arrived.store(0, Ordering::Relaxed);
        s.done.store(0, Ordering::Relaxed);
        let mut job = job;
        s.job.store((&raw mut job).cast(), Ordering::Relaxed);
        s.epoch.fetch_add(1, Ordering::SeqCst);
        // A worker that parks announces it before it looks at the epoch for the last time; in the one order of all SeqCst
        // operations either it sees the new epoch, or it is seen here.
        for (parked, handle) in s.parked[1..].iter().zip(&self.handles) {
            if parked.load(Ordering::SeqCst) {
                handle.unpark();
            }
        }
        run_guarded(s, job, 0);
        let mut spins = 0;
        while s.done.load(Ordering::Acquire) + 1 < self.workers() {
            relax(&mut spins, s.barrier.spins);
        }
        !s.barrier.broken.load(Ordering::Relaxed)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.shared.epoch.fetch_add(1, Ordering::SeqCst);
        for h in &self.handles {
            h.unpark();
        }
        for t in self.threads.drain(..) {
            let _ = t.join();
        }
    }
}

fn run_guarded(s: &Shared, job: Job<'_>, worker: usize) {
    if catch_unwind(AssertUnwindSafe(|| job(worker, &s.barrier))).is_err() {
        s.barrier.broken.store(true, Ordering::SeqCst);
    }
}

fn serve(s: &Shared, worker: usize) {
    let mut seen = 0;
    loop {
        let mut spins = 0;
        while s.epoch.load(Ordering::Acquire) == seen {
            if spins < s.barrier.spins {
                relax(&mut spins, s.barrier.spins);
                continue;
            }
            s.parked[worker].store(true, Ordering::SeqCst);
            if s.epoch.load(Ordering::SeqCst) == seen {
                thread::park();
            }
            s.parked[worker].store(false, Ordering::SeqCst);
        }
        seen = s.epoch.load(Ordering::Acquire);
        if s.stop.load(Ordering::SeqCst) {
            return;
        }
        // SAFETY: `run` keeps the job alive until every worker has counted itself done, below.
        let job = unsafe { *s.job.load(Ordering::Acquire) };
        run_guarded(s, job, worker);
        s.done.fetch_add(1, Ordering::Release);
    }
}

/// Cores this process may run on, in order.
#[cfg(target_os = "linux")]
pub(super) fn allowed_cores() -> Vec<usize> {
    // SAFETY: cpu_set_t is plain bits; the call writes at most its size.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    if unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) } != 0 {
        return Vec::new();
    }
    // SAFETY: the index is below the set's size.
    (0..libc::CPU_SETSIZE as usize).filter(|&c| unsafe { libc::CPU_ISSET(c, &set) }).collect()
}

#[cfg(target_os = "linux")]
pub(super) fn pin(core: usize) {
    // SAFETY: plain bits, the core is below the set's size; a refusal leaves the thread where it was.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(core, &mut set);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn allowed_cores() -> Vec<usize> {
    Vec::new()
}

#[cfg(not(target_os = "linux"))]
pub(super) fn pin(_core: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_runs_every_round() {
        let pool = Pool::new(4, Pinning::Free).unwrap();
        let hits: Vec<AtomicUsize> = (0..4).map(|_| AtomicUsize::new(0)).collect();
        for round in 1..=200 {
            let ok = pool.run(&|w, b| {
                hits[w].fetch_add(1, Ordering::Relaxed);
                assert!(b.wait());
                // Past the barrier every worker's count of this round is visible.
                assert!(hits.iter().all(|h| h.load(Ordering::Relaxed) >= round));
                assert!(b.wait());
            });
            assert!(ok);
        }
    }

    #[test]
    fn a_panic_is_reported_and_the_pool_goes_on() {
        let pool = Pool::new(3, Pinning::Free).unwrap();
        let bad = pool.run(&|w, b| {
            if w == 1 {
                panic!("planted");
            }
            b.wait();
        });
        assert!(!bad);
        assert!(pool.run(&|_, b| {
            b.wait();
        }));
    }
}
