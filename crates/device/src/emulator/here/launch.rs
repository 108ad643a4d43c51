//! One dispatch: its bindings tested, its threadgroups run, under one schedule or several.

use std::ffi::c_void;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::fault::{Fault, FaultKind, Faults, Place};
use super::super::{MAX_THREADS, NAME, THREADGROUP_BYTES};
use super::arena::Arena;
use super::buffer::{Memory, Snapshot};
use super::check::{Check, Setup, bytes};
use super::geometry::{Geometry, Job};
use super::groupmem::Refused;
use super::program::{Argument, ArgumentKind, Program};
use super::results::{differing, unwritten, written};
use super::shadow::{Time, Window};
use super::signals;
use super::worker::{Ended, Worker};
use crate::cpu::pool::Pool;
use crate::{Binding, Error};

/// How many threads run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grid {
    /// So many whole threadgroups, as `dispatchThreadgroups` takes it.
    Groups([u32; 3]),
    /// So many threads, as `dispatchThreads` takes it: the last threadgroups may be smaller.
    Threads([u32; 3]),
}

/// One dispatch.
#[derive(Clone)]
pub struct Launch {
    /// How many threads run.
    pub grid: Grid,
    /// Threads of a threadgroup.
    pub threads: [u32; 3],
    /// Buffers by index; bytes set inline are buffers here too.
    pub buffers: Vec<(u32, Binding)>,
    /// Lengths of threadgroup arguments by index, in bytes.
    pub threadgroup: Vec<(u32, usize)>,
    /// Indices of buffers that the kernel must write wholly.
    pub outputs: Vec<u32>,
}

/// Under which orders of threads a checked launch runs.
#[derive(Clone, Debug)]
pub struct Schedules {
    /// Seeds in order; 0 is the natural order. All must give the same results.
    pub seeds: Vec<u64>,
    /// Blocks of code that a thread may run through before it counts as endless.
    pub steps: u64,
}

impl Default for Schedules {
    fn default() -> Self {
        Schedules { seeds: vec![0], steps: 1 << 27 }
    }
}

/// What runs launches: one worker with checks, or as many as there are threads without.
pub(super) struct Runner {
    workers: Vec<Mutex<Box<Worker>>>,
    pool: Option<Pool>,
    /// Time of the checks, which goes on from launch to launch.
    time: Mutex<Time>,
}

impl Runner {
    /// One worker on the caller's thread, with checks.
    pub(super) fn checked() -> Runner {
        signals::install();
        Runner { workers: vec![Mutex::new(Worker::new())], pool: None, time: Mutex::new(1) }
    }

    /// A worker on every thread of `pool`.
    pub(super) fn fast(pool: Pool) -> Runner {
        signals::install();
        let workers = (0..pool.workers()).map(|_| Mutex::new(Worker::new())).collect();
        Runner { workers, pool: Some(pool), time: Mutex::new(1) }
    }

    pub(super) fn pool(&self) -> Option<&Pool> {
        self.pool.as_ref()
    }

    /// Runs a dispatch and gives the faults found.
    ///
    /// # Errors
    /// What is no fault of the kernel's: no memory, or memory of another device.
    pub(super) fn run(&self, program: &Program, launch: &Launch, schedules: &Schedules) -> Result<Faults, Error> {
        let geometry = geometry(launch);
        let mut faults = Faults::default();
        if let Some(fault) = refuse(program, launch, &geometry) {
            faults.add(fault);
            return Ok(faults);
        }
        match &self.pool {
            Some(pool) => self.run_fast(pool, program, launch, geometry),
            None => self.run_schedules(program, launch, geometry, schedules),
        }
    }

    fn run_schedules(
        &self,
        program: &Program,
        launch: &Launch,
        geometry: Geometry,
        schedules: &Schedules,
    ) -> Result<Faults, Error> {
        let written: Vec<_> = written(program, launch);
        let before: Vec<Snapshot> = match schedules.seeds.len() {
            0 | 1 => Vec::new(),
            _ => written.iter().map(|w| w.memory.snapshot()).collect(),
        };
        let mut first: Option<(u64, Vec<Snapshot>)> = None;
        for (round, &seed) in schedules.seeds.iter().enumerate() {
            if round > 0 {
                written.iter().zip(&before).for_each(|(w, s)| w.memory.restore(s));
            }
            let mut faults = self.run_checked(program, launch, geometry, (seed, schedules.steps))?;
            if faults.is_empty() {
                unwritten(program, launch, &written, seed).into_iter().for_each(|f| faults.add(f));
            }
            if faults.is_empty() && schedules.seeds.len() > 1 {
                let after: Vec<_> = written.iter().map(|w| w.memory.snapshot()).collect();
                match &first {
                    Some((other, results)) => {
                        let differs = differing(program, &written, (results, *other), (&after, seed));
                        differs.into_iter().for_each(|f| faults.add(f));
                    }
                    None => first = Some((seed, after)),
                }
            }
            if !faults.is_empty() {
                return Ok(faults);
            }
        }
        Ok(Faults::default())
    }

    fn run_checked(
        &self,
        program: &Program,
        launch: &Launch,
        geometry: Geometry,
        (seed, steps): (u64, u64),
    ) -> Result<Faults, Error> {
        let failed = |source: io::Error| Error::Memory { device: NAME.to_owned(), bytes: 0, source };
        let arena = Arena::get().map_err(failed)?;
        signals::prepare_thread();
        let mut worker = self.workers[0].lock().unwrap_or_else(|e| e.into_inner());
        let mut time = self.time.lock().unwrap_or_else(|e| e.into_inner());
        let bound = open_windows(program, launch)?;
        let mut sites = program.module.sites.lock().unwrap_or_else(|e| e.into_inner());
        let Some(taken) = sites.take() else {
            return Err(failed(io::Error::other("another emulator runs this program")));
        };
        let setup = Setup { sites: taken, kernel: program.name.clone(), geometry, seed, steps, time: *time };
        worker.check = Some(Box::new(Check::new(setup, arena)));
        let job = Job { entry: program.module.entry, geometry, buffers: addresses(launch) };
        let result = run_groups(&mut worker, program, launch, &job);
        for memory in bound {
            // SAFETY: the launch is over.
            let region = unsafe { memory.region() };
            region.windows.clear();
            region.shared = false;
        }
        let Some(check) = worker.check.take() else { return Ok(Faults::default()) };
        *time = check.time + 1;
        if *time > Time::MAX / 2 {
            // Older accesses are ordered before any new one; only their memory of it must go.
            *time = 1;
            written(program, launch).iter().for_each(|w| {
                // SAFETY: the launch is over.
                unsafe { w.memory.region() }.forget();
            });
        }
        let Check { sites: taken, faults, .. } = *check;
        *sites = Some(taken);
        result.map_err(failed)?;
        Ok(faults)
    }

    fn run_fast(&self, pool: &Pool, program: &Program, launch: &Launch, geometry: Geometry) -> Result<Faults, Error> {
        let job = Job { entry: program.module.entry, geometry, buffers: addresses(launch) };
        let next = AtomicU64::new(0);
        let total = geometry.count();
        let outcome: Mutex<(Option<io::Error>, Faults)> = Mutex::default();
        // Large enough that taking a piece costs nothing, small enough that all end together.
        let piece = (total / (8 * self.workers.len() as u64)).max(1);
        let work = |index: usize| {
            let Some(worker) = self.workers.get(index) else { return };
            let mut worker = worker.lock().unwrap_or_else(|e| e.into_inner());
            signals::prepare_thread();
            let done = fast_groups(&mut worker, program, launch, &job, &mut || {
                let start = next.fetch_add(piece, Ordering::Relaxed);
                (start < total).then(|| start..(start + piece).min(total))
            });
            let mut outcome = outcome.lock().unwrap_or_else(|e| e.into_inner());
            match done {
                Ok(faults) if faults.is_empty() => return,
                Ok(faults) => outcome.1.merge(faults),
                Err(e) => outcome.0 = Some(e),
            }
            next.store(total, Ordering::Relaxed);
        };
        if total <= 1 {
            work(0);
        } else if !pool.run(&|index, _| work(index)) {
            return Err(Error::Part { device: NAME.to_owned() });
        }
        let (error, faults) = outcome.into_inner().unwrap_or_else(|e| e.into_inner());
        match error {
            Some(source) => Err(Error::Memory { device: NAME.to_owned(), bytes: 0, source }),
            None => Ok(faults),
        }
    }
}

fn run_groups(worker: &mut Worker, program: &Program, launch: &Launch, job: &Job) -> io::Result<()> {
    if let Some(fault) = group_arguments(worker, program, launch, true)? {
        if let Some(check) = &mut worker.check {
            check.faults.add(fault);
        }
        return Ok(());
    }
    let mut order: Vec<u64> = (0..job.geometry.count()).collect();
    if let Some(check) = &mut worker.check {
        // Fisher and Yates; without a seed the order stays.
        for i in (1..order.len()).rev() {
            let Some(random) = check.shuffle() else { break };
            order.swap(i, (random % (i as u64 + 1)) as usize);
        }
    }
    for group in order {
        worker.run_group(job, group)?;
        if worker.check.as_ref().is_some_and(|c| c.stop) {
            break;
        }
    }
    Ok(())
}

type Pieces<'a> = &'a mut dyn FnMut() -> Option<std::ops::Range<u64>>;

fn fast_groups(
    worker: &mut Worker,
    program: &Program,
    launch: &Launch,
    job: &Job,
    pieces: Pieces<'_>,
) -> io::Result<Faults> {
    let mut faults = Faults::default();
    if let Some(fault) = group_arguments(worker, program, launch, false)? {
        faults.add(fault);
        return Ok(faults);
    }
    while let Some(piece) = pieces() {
        for group in piece {
            if worker.run_group(job, group)? == Ended::Aborted {
                let unknown = (FaultKind::Crash, None, "the kernel ended for no known reason".to_owned());
                let (kind, place, cause) = worker.failed.take().unwrap_or(unknown);
                let thread = Some(job.geometry.thread(group, worker.thread));
                faults.add(Fault { thread, ..fault(program, kind, place.or(program.place.clone()), cause) });
                return Ok(faults);
            }
        }
    }
    Ok(faults)
}

/// Gives the kernel its threadgroup arguments.
fn group_arguments(
    worker: &mut Worker,
    program: &Program,
    launch: &Launch,
    checked: bool,
) -> io::Result<Option<Fault>> {
    worker.memory.start_launch(THREADGROUP_BYTES, checked);
    for argument in program.arguments.iter().filter(|a| a.kind == ArgumentKind::Threadgroup) {
        let Some((_, length)) = launch.threadgroup.iter().find(|(i, _)| *i == argument.index) else { continue };
        match worker.memory.argument(argument.index, *length, &argument.name) {
            Ok(()) => {}
            Err(Refused::System(e)) => return Err(e),
            Err(Refused::Limit(total)) => {
                let cause = format!(
                    "threadgroup argument {} {:?} brings threadgroup memory to {}; the device has {}",
                    argument.index,
                    argument.name,
                    bytes(total),
                    bytes(THREADGROUP_BYTES),
                );
                return Ok(Some(fault(program, FaultKind::ThreadgroupMemory, argument.place.clone(), cause)));
            }
        }
    }
    Ok(None)
}

fn geometry(launch: &Launch) -> Geometry {
    let threads = launch.threads;
    match launch.grid {
        Grid::Groups(groups) => {
            let grid = std::array::from_fn(|i| groups[i].saturating_mul(threads[i]));
            Geometry { threads, groups, grid }
        }
        Grid::Threads(grid) => {
            let groups = std::array::from_fn(|i| grid[i].div_ceil(threads[i].max(1)));
            Geometry { threads, groups, grid }
        }
    }
}

/// What can be told before anything runs.
fn refuse(program: &Program, launch: &Launch, geometry: &Geometry) -> Option<Fault> {
    let count = geometry.threads.iter().try_fold(1u32, |p, &t| p.checked_mul(t)).unwrap_or(u32::MAX);
    let most = program.max_threads.map_or(MAX_THREADS, |m| m.min(MAX_THREADS));
    let at = program.place.clone();
    if count == 0 || count > most {
        let who = if most < MAX_THREADS { "the kernel" } else { "the device" };
        let cause = format!("a threadgroup of {count} threads; {who} allows 1 to {most}");
        return Some(fault(program, FaultKind::TooManyThreads, at, cause));
    }
    program.arguments.iter().find_map(|a| match a.kind {
        ArgumentKind::Threadgroup => {
            let set = launch.threadgroup.iter().any(|(i, _)| *i == a.index);
            (!set).then(|| {
                let cause = format!("threadgroup argument {} {:?} has no length", a.index, a.name);
                fault(program, FaultKind::Unbound, a.place.clone().or(at.clone()), cause)
            })
        }
        _ => {
            let title = title(a);
            let bound = launch.buffers.iter().find(|(i, _)| *i == a.index);
            let cause = match bound {
                None => format!("{title} is not bound"),
                Some((_, b)) if a.kind == ArgumentKind::Reference && a.element.is_some_and(|e| b.len < e) => {
                    let element = a.element.unwrap_or_default();
                    format!("{title} is bound to {}, and its type has {}", bytes(b.len), bytes(element))
                }
                Some(_) => return None,
            };
            Some(fault(program, FaultKind::Unbound, a.place.clone().or(at.clone()), cause))
        }
    })
}

pub(super) fn fault(program: &Program, kind: FaultKind, place: Option<Place>, cause: String) -> Fault {
    Fault {
        kind,
        kernel: program.name.clone(),
        place,
        thread: None,
        memory: None,
        other: None,
        cause,
        seed: 0,
        count: 1,
    }
}

pub(super) fn title(a: &Argument) -> String {
    format!("buffer {} {:?}", a.index, a.name)
}

fn addresses(launch: &Launch) -> Vec<*mut c_void> {
    let most = launch.buffers.iter().map(|(i, _)| *i as usize + 1).max().unwrap_or(0);
    let mut list = vec![std::ptr::null_mut(); most];
    for (index, binding) in &launch.buffers {
        let base = binding.buffer.as_ref().and_then(|b| b.host());
        list[*index as usize] = base.map_or(std::ptr::null_mut(), |p| p.wrapping_add(binding.offset).cast());
    }
    list
}

/// Tells each bound region what the kernel may access of it.
fn open_windows<'a>(program: &Program, launch: &'a Launch) -> Result<Vec<&'a Memory>, Error> {
    let mut bound = Vec::new();
    // Writable ones first: where two bindings overlap, the kernel may write.
    for writable in [true, false] {
        for argument in program.arguments.iter().filter(|a| a.kind != ArgumentKind::Threadgroup) {
            let is = argument.kind == ArgumentKind::Writable;
            let Some((_, binding)) = launch.buffers.iter().find(|(i, _)| *i == argument.index) else { continue };
            let Some(buffer) = binding.buffer.as_ref().filter(|_| is == writable) else { continue };
            let foreign =
                Error::Foreign { device: NAME.to_owned(), op: "a checked kernel", operand: argument.index as usize };
            let memory: &Memory = buffer.memory().ok_or(foreign)?;
            // SAFETY: the launch has not started.
            let region = unsafe { memory.region() };
            region.shared |= writable;
            region.windows.push(Window {
                start: binding.offset,
                end: binding.offset + binding.len,
                name: title(argument),
                buffer: Some(argument.index),
                writable,
            });
            bound.push(memory);
        }
    }
    Ok(bound)
}
