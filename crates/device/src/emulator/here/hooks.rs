//! What compiled kernels call: barriers, exchanges, threadgroup memory, and the instrumentation of checked builds.

use std::ffi::{CStr, c_char, c_void};

use super::super::fault::FaultKind;
use super::abi::{ATOMIC_LOAD, MEM_DEVICE, MEM_THREADGROUP, MslThread, SCOPE_SIMDGROUP, SIMD_BARRIER, SIMD_MATRIX};
use super::check::{Access, bytes, place};
use super::diagnose;
use super::groupmem::{Declared, Refused};
use super::worker::{Wait, Worker, current, suspend};

/// A zero page for what must be given and does not exist.
static NOWHERE: [u128; 8] = [0; 8];

/// Ends the running threadgroup: control does not come back to the thread.
///
/// # Safety
/// As [`suspend`].
unsafe fn end(worker: *mut Worker) {
    // SAFETY: the caller's promise; the scheduler looks at `abort` before it resumes anything.
    unsafe {
        (*worker).abort = true;
        suspend(worker);
    }
}

pub(super) unsafe extern "C" fn this() -> *const MslThread {
    // SAFETY: called from kernel code, so there is a worker with a running thread.
    let worker = unsafe { &*current() };
    &raw const worker.threads[worker.thread as usize].msl
}

pub(super) unsafe extern "C" fn barrier(scope: u32, flags: u32, file: *const c_char, line: u32) {
    let worker = current();
    // SAFETY: called from kernel code, so there is a worker; borrows end before control is given back.
    unsafe {
        if scope == SCOPE_SIMDGROUP {
            arrive(worker, (SIMD_BARRIER, flags), std::ptr::null(), (file, line));
            return;
        }
        let w = &mut *worker;
        let thread = &mut w.threads[w.thread as usize];
        thread.wait = Wait::Barrier;
        thread.flags = flags;
        thread.place = (file, line);
        w.waiting += 1;
        let all = if w.check.is_some() { w.threads.len() as u32 } else { w.live };
        if w.waiting < all {
            suspend(worker);
        } else {
            let last = goes_on(w);
            if !release_barrier(w, last) {
                end(worker);
            } else if last.is_none() {
                suspend(worker);
            }
        }
    }
}

/// The thread that arrives last goes on at once, which saves a switch; in a checked run all go on in their order.
fn goes_on(w: &Worker) -> Option<u32> {
    w.check.is_none().then_some(w.thread)
}

/// Lets every thread that waits at the barrier go on, `last` being awake already. False where they wait at different ones.
pub(super) fn release_barrier(w: &mut Worker, last: Option<u32>) -> bool {
    let mut flags = u32::MAX;
    if w.check.is_some() {
        if !diagnose::same_barrier(w) {
            return false;
        }
        flags = w.threads.iter().fold(u32::MAX, |f, t| f & t.flags);
    }
    w.waiting = 0;
    for thread in 0..w.threads.len() {
        if w.threads[thread].wait == Wait::Barrier {
            w.wake(thread as u32, last);
        }
    }
    if let Some(check) = &mut w.check {
        check.time += 1;
        check.any_barrier = check.time;
        for (at, flag) in [MEM_DEVICE, MEM_THREADGROUP].into_iter().enumerate() {
            if flags & flag != 0 {
                check.order.barrier[at] = check.time;
            }
        }
    }
    true
}

/// The running thread arrives at a SIMD operation, and comes back when all lanes have.
///
/// # Safety
/// Called from kernel code that `worker` runs; `input` is null or the bytes that the operation's size says.
unsafe fn arrive(worker: *mut Worker, (kind, size): (u32, u32), input: *const u8, place: (*const c_char, u32)) {
    // SAFETY: the caller's promise; borrows end before control is given back.
    unsafe {
        let w = &mut *worker;
        let index = w.thread as usize;
        let thread = &mut w.threads[index];
        thread.wait = Wait::Simd;
        thread.flags = kind;
        thread.size = size;
        thread.input = input;
        thread.place = place;
        let simd = &mut w.simd[index / 32];
        simd.arrived |= 1 << (index % 32);
        if simd.arrived != simd.live {
            suspend(worker);
            return;
        }
        let last = goes_on(w);
        if !complete_simd(w, index / 32, last) {
            end(worker);
        } else if last.is_none() {
            suspend(worker);
        }
    }
}

/// Gathers what the lanes of a SIMD group brought and wakes them, `last` being awake already. False where they are at different
/// operations.
pub(super) fn complete_simd(w: &mut Worker, group: usize, last: Option<u32>) -> bool {
    if w.check.is_some() && !diagnose::same_operation(w, group) {
        w.abort = true;
        return false;
    }
    let first = 32 * group;
    let Worker { simd, threads, .. } = &mut *w;
    let simd = &mut simd[group];
    let mask = std::mem::take(&mut simd.arrived);
    simd.mask = mask;
    let lanes = || (0..32u32).filter(move |l| mask >> l & 1 != 0);
    let Some(leader) = lanes().next() else { return true };
    let (kind, size) = (threads[first + leader as usize].flags, threads[first + leader as usize].size as usize);
    if kind != SIMD_BARRIER {
        simd.slots.clear();
        simd.slots.resize(32 * size, 0);
        for lane in lanes() {
            let thread = &threads[first + lane as usize];
            if thread.size as usize == size && !thread.input.is_null() {
                // SAFETY: the lane waits in `exchange`, whose caller keeps `size` bytes there until it returns.
                let brought = unsafe { std::slice::from_raw_parts(thread.input, size) };
                simd.slots[lane as usize * size..][..size].copy_from_slice(brought);
            }
        }
    }
    if let Some(check) = &mut w.check {
        check.time += 1;
        let flags = if kind == SIMD_BARRIER { size as u32 } else { MEM_DEVICE | MEM_THREADGROUP };
        for (at, flag) in [MEM_DEVICE, MEM_THREADGROUP].into_iter().enumerate() {
            if flags & flag != 0 {
                check.order.simd[group & 31][at] = check.time;
            }
        }
    }
    for lane in lanes() {
        w.wake(first as u32 + lane, last);
    }
    true
}

pub(super) unsafe extern "C" fn exchange(
    kind: u32,
    input: *const c_void,
    size: u32,
    out: *mut c_void,
    file: *const c_char,
    line: u32,
) -> u32 {
    let worker = current();
    // SAFETY: called from kernel code, so there is a worker; `out` has room for 32 values by the table's contract.
    unsafe {
        arrive(worker, (kind, size), input.cast(), (file, line));
        let w = &*worker;
        let (simd, mask) = (&w.simd[w.thread as usize / 32], w.simd[w.thread as usize / 32].mask);
        std::ptr::copy_nonoverlapping(simd.slots.as_ptr(), out.cast(), simd.slots.len().min(32 * size as usize));
        if kind == SIMD_MATRIX && mask != u32::MAX {
            diagnose::partial_matrix(worker, (file, line));
            end(worker);
        }
        mask
    }
}

pub(super) unsafe extern "C" fn threadgroup_alloc(
    id: u32,
    size: u32,
    align: u32,
    name: *const c_char,
    file: *const c_char,
    line: u32,
) -> *mut c_void {
    let worker = current();
    // SAFETY: called from kernel code, so there is a worker; `name` is a C string by the table's contract.
    unsafe {
        let w = &mut *worker;
        let declared = Declared::Variable(id);
        if let Some(known) = w.memory.known(declared, size as usize) {
            return known.cast();
        }
        let name = if name.is_null() { "".into() } else { CStr::from_ptr(name).to_string_lossy() };
        let title = format!("threadgroup variable {name:?}");
        match w.memory.block(declared, size as usize, align as usize, &title) {
            Ok(address) => address.cast(),
            Err(refused) => {
                let cause = match refused {
                    Refused::Limit(total) => {
                        format!("{title} brings threadgroup memory to {}, more than the device has", bytes(total))
                    }
                    Refused::System(e) => format!("{title}: {e}"),
                };
                diagnose::at_place(w, FaultKind::ThreadgroupMemory, place(file, line), cause);
                if let Some(check) = &mut w.check {
                    check.stop = true;
                }
                end(worker);
                NOWHERE.as_ptr().cast_mut().cast()
            }
        }
    }
}

pub(super) unsafe extern "C" fn atomic(address: *const c_void, size: u32, kind: u32, file: *const c_char, line: u32) {
    let worker = current();
    // SAFETY: called from kernel code, so there is a worker; borrows end before control is given back.
    unsafe {
        let w = &mut *worker;
        let Some(check) = &mut w.check else { return };
        let (address, size) = (address as usize, size as usize);
        let site = check.told(file, line);
        // Another thread may be first: under a seed, the order at atomics is a matter of chance.
        if check.shuffle().is_some_and(|r| r % 4 == 0) {
            w.queue_up();
            suspend(worker);
        }
        let w = &mut *worker;
        let thread = w.thread;
        let Some(check) = &mut w.check else { return };
        if !check.arena.contains(address) {
            return;
        }
        let access = |write| Access { address, bytes: size, write, atomic: true, site, thread };
        if address % size.max(1) != 0 {
            check.misaligned(access(false), size);
        }
        let fine = (kind != 1).then(|| check.access(access(false))) != Some(false)
            && (kind == ATOMIC_LOAD || check.access(access(true)));
        if let Some(check) = &mut w.check {
            check.expect_atomic(address, size, site);
        }
        if !fine {
            end(worker);
        }
    }
}

pub(super) unsafe extern "C" fn trap(message: *const c_char, file: *const c_char, line: u32) {
    let worker = current();
    // SAFETY: called from kernel code, so there is a worker; `message` is a C string by the table's contract.
    unsafe {
        let text = if message.is_null() { "".into() } else { CStr::from_ptr(message).to_string_lossy().into_owned() };
        let lane = text.contains(" reads lane ");
        let kind = if lane { FaultKind::InactiveLane } else { FaultKind::Trap };
        diagnose::at_place(&mut *worker, kind, place(file, line), text);
        end(worker);
    }
}

/// The address below which nothing is ever mapped.
const NULL_PAGE: usize = 1 << 16;

pub(super) unsafe extern "C" fn access(address: usize, size: usize, write: u32, pc: usize, frame: usize) {
    let worker = current();
    // SAFETY: called from kernel code of a checked build; a call outside of a launch has no worker.
    unsafe {
        let Some(w) = worker.as_mut() else { return };
        let (thread, top) = (w.thread, w.stack_top());
        let Some(check) = &mut w.check else { return };
        if !check.arena.contains(address) && address >= NULL_PAGE {
            return;
        }
        let site = check.sites.site(pc, frame, top);
        if check.expected(address, size, site) {
            return;
        }
        let access = Access { address, bytes: size, write: write != 0, atomic: false, site, thread };
        if address < NULL_PAGE {
            diagnose::null(check, access);
        } else if check.access(access) {
            return;
        }
        end(worker);
    }
}

pub(super) unsafe extern "C" fn copy(to: usize, from: usize, size: usize, pc: usize, frame: usize) {
    // SAFETY: as `access`.
    unsafe {
        if size == 0 || to == from {
            return;
        }
        access(from, size, 0, pc, frame);
        access(to, size, 1, pc, frame);
        let Some(check) = current().as_ref().and_then(|w| w.check.as_ref()) else { return };
        if !check.arena.contains(from) || !check.arena.contains(to) {
            return;
        }
        let (source, target) = (check.arena.region(from), check.arena.region(to));
        if source.is_null() || target.is_null() {
            return;
        }
        // What was not written before the copy is not written after it.
        let states = (*source).states(from - (*source).placed.address(), size);
        if let Some(states) = states {
            let start = to - (*target).placed.address();
            (*target).set_states(start, &states);
        }
    }
}

pub(super) unsafe extern "C" fn step(pc: usize, frame: usize) {
    let worker = current();
    // SAFETY: as `access`.
    unsafe {
        let Some(w) = worker.as_mut() else { return };
        let thread = &mut w.threads[w.thread as usize];
        thread.steps += 1;
        let steps = thread.steps;
        let limit = w.check.as_ref().map_or(u64::MAX, |c| c.steps);
        if steps > limit {
            let cause = format!(
                "the thread has run through {limit} blocks of code: a loop does not end, or waits for a threadgroup that \
                 need not run before this one has"
            );
            if let Some(check) = &mut w.check {
                check.stop = true;
            }
            fatal(FaultKind::Endless, cause, pc, frame);
        }
    }
}

pub(super) unsafe extern "C" fn arithmetic(pc: usize, frame: usize) {
    // SAFETY: as `access`.
    unsafe {
        let cause = "divides an integer by zero, or the least one by -1".to_owned();
        fatal(FaultKind::DivideByZero, cause, pc, frame);
    }
}

pub(super) unsafe extern "C" fn bounds(index: usize, pc: usize, frame: usize) {
    // SAFETY: as `access`.
    unsafe {
        let cause = format!("index {} is outside of the array", index as isize);
        fatal(FaultKind::OutOfBounds, cause, pc, frame);
    }
}

pub(super) unsafe extern "C" fn alignment(address: usize, alignment: usize, write: u32, pc: usize, frame: usize) {
    // SAFETY: as `access`.
    unsafe {
        let Some(w) = current().as_mut() else { return };
        let (thread, top) = (w.thread, w.stack_top());
        let Some(check) = &mut w.check else { return };
        let site = check.sites.site(pc, frame, top);
        let access = Access { address, bytes: alignment, write: write != 0, atomic: false, site, thread };
        check.misaligned(access, alignment);
    }
}

/// Reports a fault that the thread cannot go on from, and ends its threadgroup.
///
/// # Safety
/// As `access`.
unsafe fn fatal(kind: FaultKind, cause: String, pc: usize, frame: usize) {
    let worker = current();
    // SAFETY: the caller's promise.
    unsafe {
        let Some(w) = worker.as_mut() else { return };
        let (thread, top) = (w.thread, w.stack_top());
        let Some(check) = &mut w.check else { return };
        let site = check.sites.site(pc, frame, top);
        let fault = check.fault(kind, site, thread, cause);
        check.faults.add(fault);
        end(worker);
    }
}
