//! One threadgroup at a time: its threads are coroutines that a worker switches between at barriers and SIMD operations.

use std::cell::Cell;
use std::collections::VecDeque;
use std::ffi::c_char;

use corosensei::stack::DefaultStack;
use corosensei::trap::CoroutineTrapHandler;
use corosensei::{Coroutine, CoroutineResult, Yielder};

use super::super::fault::{FaultKind, Place};
use super::abi::{EntryFn, MslThread};
use super::check::Check;
use super::geometry::Job;
use super::groupmem::GroupMemory;

/// Room of a thread's stack. Kernels keep tiles in private arrays, but Metal gives them no more than a few KiB either.
const STACK: usize = 256 << 10;

thread_local! {
    /// The worker whose kernel runs on this system thread; null between kernels.
    static CURRENT: Cell<*mut Worker> = const { Cell::new(std::ptr::null_mut()) };
}

/// The worker that a call from kernel code belongs to; null outside of kernels.
pub(super) fn current() -> *mut Worker {
    CURRENT.with(Cell::get)
}

/// What a thread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Not started, running, or ready to go on.
    Nothing,
    /// At a threadgroup barrier.
    Barrier,
    /// At a SIMD operation.
    Simd,
    /// It has returned.
    Done,
}

/// A thread of the running threadgroup.
pub(super) struct Thread {
    pub(super) msl: MslThread,
    pub(super) wait: Wait,
    strand: usize,
    /// What it waits at: for barriers the memory flags, for SIMD operations kind and size.
    pub(super) flags: u32,
    pub(super) size: u32,
    pub(super) input: *const u8,
    pub(super) place: (*const c_char, u32),
    /// Blocks of code that it has run through.
    pub(super) steps: u64,
}

/// The lanes of a SIMD group and what they exchange.
#[derive(Default)]
pub(super) struct Simd {
    pub(super) live: u32,
    pub(super) arrived: u32,
    /// Who took part in the last exchange, and what they brought.
    pub(super) mask: u32,
    pub(super) slots: Vec<u8>,
}

/// A coroutine that runs threads, one after another; a thread that waits keeps it until it has returned.
struct Strand {
    coroutine: Option<Coroutine<(), (), ()>>,
    trap: CoroutineTrapHandler<()>,
    yielder: *const Yielder<(), ()>,
    top: usize,
}

/// How a threadgroup ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// All threads returned.
    Whole,
    /// A fault ended it.
    Aborted,
}

/// Why the kernel died, as a signal handler left it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crash {
    pub(super) kind: FaultKind,
    pub(super) address: usize,
    pub(super) pc: usize,
    pub(super) frame: usize,
}

/// Runs threadgroups. Its strands, and so their stacks, are kept from launch to launch.
pub(super) struct Worker {
    strands: Vec<Strand>,
    idle: Vec<usize>,
    pub(super) threads: Vec<Thread>,
    fresh: VecDeque<u32>,
    ready: VecDeque<u32>,
    entry: Option<EntryFn>,
    pub(super) thread: u32,
    strand: usize,
    pub(super) live: u32,
    pub(super) waiting: u32,
    pub(super) simd: Vec<Simd>,
    pub(super) memory: GroupMemory,
    pub(super) check: Option<Box<Check>>,
    pub(super) crash: Option<Crash>,
    /// A fault of a run without checks.
    pub(super) failed: Option<(FaultKind, Option<Place>, String)>,
    pub(super) abort: bool,
}

// SAFETY: strands hold suspended coroutines that keep no address of thread-local storage; everything else is addresses that the
// launch keeps alive. One system thread uses a worker at a time.
unsafe impl Send for Worker {}

impl Worker {
    /// A worker without strands; they come as threads wait.
    pub(super) fn new() -> Box<Worker> {
        Box::new(Worker {
            strands: Vec::new(),
            idle: Vec::new(),
            threads: Vec::new(),
            fresh: VecDeque::new(),
            ready: VecDeque::new(),
            entry: None,
            thread: 0,
            strand: 0,
            live: 0,
            waiting: 0,
            simd: Vec::new(),
            memory: GroupMemory::default(),
            check: None,
            crash: None,
            failed: None,
            abort: false,
        })
    }

    /// Runs threadgroup `index` of `job`.
    ///
    /// # Errors
    /// No memory for a stack.
    pub(super) fn run_group(&mut self, job: &Job, index: u64) -> std::io::Result<Ended> {
        self.set_up(job, job.geometry.position(index));
        self.memory.start_group();
        if let Some(check) = &mut self.check {
            check.start_group(index);
        }
        CURRENT.with(|c| c.set(self));
        let result = self.schedule();
        CURRENT.with(|c| c.set(std::ptr::null_mut()));
        let ended = result?;
        if ended == Ended::Aborted {
            self.reset_strands();
        }
        Ok(ended)
    }

    fn set_up(&mut self, job: &Job, group: [u32; 3]) {
        let geometry = &job.geometry;
        let shape = geometry.threads_at(group);
        let count: u32 = shape.iter().product();
        let whole: u32 = geometry.threads.iter().product();
        self.entry = Some(job.entry);
        self.abort = false;
        self.crash = None;
        self.live = count;
        self.waiting = 0;
        self.ready.clear();
        self.fresh.clear();
        self.fresh.extend(0..count);
        let simds = count.div_ceil(32);
        self.simd.resize_with(simds as usize, Simd::default);
        for (i, simd) in self.simd.iter_mut().enumerate() {
            let lanes = (count - 32 * i as u32).min(32);
            simd.live = if lanes == 32 { u32::MAX } else { (1 << lanes) - 1 };
            simd.arrived = 0;
        }
        let arguments = self.memory.arguments();
        self.threads.clear();
        self.threads.extend((0..count).map(|i| {
            let position = [i % shape[0], i / shape[0] % shape[1], i / shape[0] / shape[1]];
            let msl = MslThread {
                buffers: job.buffers.as_ptr(),
                threadgroup: arguments,
                thread_position_in_grid: std::array::from_fn(|d| group[d] * geometry.threads[d] + position[d]),
                threadgroup_position_in_grid: group,
                thread_position_in_threadgroup: position,
                threads_per_grid: geometry.grid,
                threadgroups_per_grid: geometry.groups,
                threads_per_threadgroup: shape,
                dispatch_threads_per_threadgroup: geometry.threads,
                thread_index_in_threadgroup: i,
                thread_index_in_simdgroup: i % 32,
                simdgroup_index_in_threadgroup: i / 32,
                simdgroups_per_threadgroup: simds,
                dispatch_simdgroups_per_threadgroup: whole.div_ceil(32),
                threads_per_simdgroup: 32,
            };
            let nothing = std::ptr::null();
            Thread {
                msl,
                wait: Wait::Nothing,
                strand: 0,
                flags: 0,
                size: 0,
                input: nothing,
                place: (nothing.cast(), 0),
                steps: 0,
            }
        }));
    }

    /// Lets threads run until all have returned, or none can go on.
    fn schedule(&mut self) -> std::io::Result<Ended> {
        loop {
            let strand = match self.next() {
                Some(strand) => strand?,
                None if self.live == 0 => return Ok(Ended::Whole),
                None => {
                    super::diagnose::stalled(self);
                    return Ok(Ended::Aborted);
                }
            };
            self.strand = strand;
            let mut coroutine = match self.strands[strand].coroutine.take() {
                Some(coroutine) => coroutine,
                None => return Err(std::io::Error::other("a strand of the emulator is gone")),
            };
            let result = coroutine.resume(());
            let done = matches!(result, CoroutineResult::Return(()));
            self.strands[strand].coroutine = Some(coroutine);
            if done {
                super::diagnose::crashed(self);
                self.abort = true;
            }
            if self.abort {
                return Ok(Ended::Aborted);
            }
        }
    }

    /// The strand to go on with: of a thread that may, or one for a thread that has not started.
    fn next(&mut self) -> Option<std::io::Result<usize>> {
        let shuffle = self.check.as_mut().and_then(|c| c.shuffle());
        if let Some(random) = shuffle {
            let total = self.ready.len() + self.fresh.len();
            let at = (random % total.max(1) as u64) as usize;
            if at < self.ready.len() {
                self.ready.swap(0, at);
            } else if at < total {
                self.fresh.swap(0, at - self.ready.len());
                return Some(self.idle_strand());
            }
        }
        if let Some(thread) = self.ready.pop_front() {
            self.thread = thread;
            return Some(Ok(self.threads[thread as usize].strand));
        }
        (!self.fresh.is_empty()).then(|| self.idle_strand())
    }

    fn idle_strand(&mut self) -> std::io::Result<usize> {
        if let Some(strand) = self.idle.pop() {
            return Ok(strand);
        }
        let at = self.strands.len();
        let stack = DefaultStack::new(STACK)?;
        let strand = self.weave(stack, at);
        self.strands.push(strand);
        Ok(at)
    }

    /// A coroutine on `stack` that runs threads as strand number `at`.
    fn weave(&mut self, stack: DefaultStack, at: usize) -> Strand {
        use corosensei::stack::Stack;
        let top = stack.base().get();
        let worker: *mut Worker = self;
        let coroutine = Coroutine::with_stack(stack, move |yielder, ()| {
            // SAFETY: the worker is boxed and outlives its strands; while a strand runs, nothing else uses it.
            unsafe { (&mut *worker).strands[at].yielder = yielder };
            loop {
                // SAFETY: as above; the borrow ends before the kernel runs.
                while let Some((entry, thread)) = unsafe { (*worker).start(at) } {
                    // SAFETY: the entry was compiled for this table of buffers; what it does to them is its own matter.
                    unsafe { entry(thread) };
                    // SAFETY: as above.
                    if unsafe { (*worker).finish() } {
                        break;
                    }
                }
                // SAFETY: as above.
                unsafe { (*worker).idle.push(at) };
                yielder.suspend(());
            }
        });
        let trap = coroutine.trap_handler();
        Strand { coroutine: Some(coroutine), trap, yielder: std::ptr::null(), top }
    }

    /// Takes the next thread that has not started.
    fn start(&mut self, strand: usize) -> Option<(EntryFn, *const MslThread)> {
        let thread = self.fresh.pop_front()?;
        self.thread = thread;
        let state = &mut self.threads[thread as usize];
        state.strand = strand;
        Some((self.entry?, &raw const state.msl))
    }

    /// Notes that the running thread has returned. True where another may have its turn now.
    fn finish(&mut self) -> bool {
        let (thread, lane) = (self.thread as usize, self.thread % 32);
        self.threads[thread].wait = Wait::Done;
        self.live -= 1;
        let simd = &mut self.simd[thread / 32];
        simd.live &= !(1 << lane);
        if simd.live != 0 && simd.arrived == simd.live {
            super::hooks::complete_simd(self, thread / 32, None);
        }
        // Hardware lets the others pass once a thread has gone; a checked run reports it when nothing else can go on.
        if self.check.is_none() && self.waiting > 0 && self.waiting == self.live {
            super::hooks::release_barrier(self, None);
        }
        self.abort || self.check.as_ref().is_some_and(|c| c.shuffles())
    }

    /// Makes a waiting thread go on in its turn; `running` goes on already.
    pub(super) fn wake(&mut self, thread: u32, running: Option<u32>) {
        self.threads[thread as usize].wait = Wait::Nothing;
        if running != Some(thread) {
            self.ready.push_back(thread);
        }
    }

    /// Puts the running thread at the end of those that may go on.
    pub(super) fn queue_up(&mut self) {
        self.ready.push_back(self.thread);
    }

    /// Top of the stack that kernel code runs on now.
    pub(super) fn stack_top(&self) -> usize {
        self.strands.get(self.strand).map_or(0, |s| s.top)
    }

    /// What ends the running coroutine from a signal handler.
    pub(super) fn trap_handler(&self) -> Option<CoroutineTrapHandler<()>> {
        self.strands.get(self.strand).map(|s| s.trap)
    }

    /// Gives every strand that stopped in the middle of a kernel a new coroutine on its old stack.
    fn reset_strands(&mut self) {
        self.idle.clear();
        for at in 0..self.strands.len() {
            if let Some(mut coroutine) = self.strands[at].coroutine.take() {
                // SAFETY: on the stack are frames of kernels, which have nothing to drop, and of the loop in `weave`.
                unsafe { coroutine.force_reset() };
                let stack = coroutine.into_stack();
                self.strands[at] = self.weave(stack, at);
            }
            self.idle.push(at);
        }
        self.idle.reverse();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        for strand in &mut self.strands {
            if let Some(coroutine) = &mut strand.coroutine {
                // SAFETY: as in `reset_strands`.
                unsafe { coroutine.force_reset() };
            }
        }
    }
}

/// Gives control back to the worker until the running thread is resumed.
///
/// # Safety
/// Called from kernel code that `worker` runs, with no borrow of it alive.
pub(super) unsafe fn suspend(worker: *mut Worker) {
    // SAFETY: the yielder belongs to the strand that is running, and lives on its stack.
    unsafe {
        let yielder = {
            let w = &*worker;
            w.strands[w.strand].yielder
        };
        (*yielder).suspend(());
    }
}
