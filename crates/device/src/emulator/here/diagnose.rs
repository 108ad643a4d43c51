//! From a threadgroup that cannot go on to a fault that says why.

use std::ffi::{CStr, c_char};

use super::super::fault::{Fault, FaultKind, Other, Place};
use super::abi::exchange_name;
use super::check::{Access, Check, place};
use super::worker::{Wait, Worker};

type CPlace = (*const c_char, u32);

/// Reports a fault of the running thread at a place that the support library told.
pub(super) fn at_place(w: &mut Worker, kind: FaultKind, place: Option<Place>, cause: String) {
    let thread = w.thread;
    at_thread(w, thread, kind, place, cause, None);
}

fn at_thread(w: &mut Worker, thread: u32, kind: FaultKind, place: Option<Place>, cause: String, other: Option<Other>) {
    match &mut w.check {
        Some(check) => {
            let fault = check.fault(kind, 0, thread, cause);
            check.faults.add(Fault { place, other, ..fault });
        }
        None => w.failed = Some((kind, place, cause)),
    }
}

/// Whether two places that the support library told are one.
fn same(a: CPlace, b: CPlace) -> bool {
    // SAFETY: places are null or C strings of the library.
    let text = |p: CPlace| (!p.0.is_null()).then(|| unsafe { CStr::from_ptr(p.0) });
    a == b || (a.1 == b.1 && text(a) == text(b))
}

fn told(at: CPlace) -> Option<Place> {
    // SAFETY: places are null or C strings of the library.
    unsafe { place(at.0, at.1) }
}

fn words(at: CPlace) -> String {
    told(at).map_or("an unknown place".to_owned(), |p| p.to_string())
}

/// The second party of a fault of divergence.
fn other(w: &Worker, thread: usize, access: &'static str) -> Option<Other> {
    let check = w.check.as_ref()?;
    let at = w.threads[thread].place;
    Some(Other { access, place: told(at), thread: check.geometry.thread(check.group(), thread as u32) })
}

/// Whether all threads that wait at a barrier wait at the same one; reports it where not.
pub(super) fn same_barrier(w: &mut Worker) -> bool {
    let mut waiting = (0..w.threads.len()).filter(|&t| w.threads[t].wait == Wait::Barrier);
    let Some(first) = waiting.next() else { return true };
    let Some(second) = waiting.find(|&t| !same(w.threads[t].place, w.threads[first].place)) else { return true };
    let (a, b) = (w.threads[first].place, w.threads[second].place);
    let cause = format!("threads of one threadgroup wait at different barriers, here and at {}", words(b));
    let other = other(w, second, "waits at a barrier");
    at_thread(w, first as u32, FaultKind::DivergentBarrier, told(a), cause, other);
    false
}

/// Whether all lanes of a SIMD group that wait are at the same operation; reports it where not.
pub(super) fn same_operation(w: &mut Worker, group: usize) -> bool {
    let lanes = 32 * group..(32 * group + 32).min(w.threads.len());
    let mut waiting = lanes.filter(|&t| w.threads[t].wait == Wait::Simd);
    let Some(first) = waiting.next() else { return true };
    let differs = |t: usize| {
        let (a, b) = (&w.threads[t], &w.threads[first]);
        a.flags != b.flags || a.size != b.size || !same(a.place, b.place)
    };
    let Some(second) = waiting.find(|&t| differs(t)) else { return true };
    let (a, b) = (&w.threads[first], &w.threads[second]);
    let (here, there) = (exchange_name(a.flags), exchange_name(b.flags));
    let cause =
        format!("lanes of one SIMD group are at different SIMD functions: {here} here, {there} at {}", words(b.place));
    let place = told(a.place);
    let other = other(w, second, "waits at a SIMD function");
    at_thread(w, first as u32, FaultKind::DivergentSimd, place, cause, other);
    false
}

/// Reports why no thread of the threadgroup can go on.
pub(super) fn stalled(w: &mut Worker) {
    let simd = w.threads.iter().position(|t| t.wait == Wait::Simd);
    if let Some(first) = simd {
        let start = first / 32 * 32;
        let lanes = start..(start + 32).min(w.threads.len());
        let here = lanes.clone().filter(|&t| w.threads[t].wait == Wait::Simd).count();
        let elsewhere = lanes.clone().find(|&t| w.threads[t].wait == Wait::Barrier);
        let name = exchange_name(w.threads[first].flags);
        let place = told(w.threads[first].place);
        let (cause, other) = match elsewhere {
            Some(t) => (
                format!(
                    "{here} lanes of a SIMD group are at {name} while others wait at the barrier at {}",
                    words(w.threads[t].place)
                ),
                other(w, t, "waits at a barrier"),
            ),
            None => (format!("{here} lanes of a SIMD group are at {name} and the others do not come"), None),
        };
        at_thread(w, first as u32, FaultKind::DivergentSimd, place, cause, other);
        return;
    }
    if !same_barrier(w) {
        return;
    }
    let waiting = w.threads.iter().filter(|t| t.wait == Wait::Barrier).count();
    let done = w.threads.iter().filter(|t| t.wait == Wait::Done).count();
    let Some(first) = w.threads.iter().position(|t| t.wait == Wait::Barrier) else { return };
    let gone = w.threads.iter().position(|t| t.wait == Wait::Done);
    let place = told(w.threads[first].place);
    let cause = format!(
        "{waiting} threads wait at this barrier, and {done} of their threadgroup have returned without it: every thread must \
         execute it"
    );
    let other = gone.and_then(|t| other(w, t, "has returned")).map(|o| Other { place: None, ..o });
    at_thread(w, first as u32, FaultKind::DivergentBarrier, place, cause, other);
}

/// Reports a matrix operation that lanes are missing from.
///
/// # Safety
/// `worker` is running the thread that calls.
pub(super) unsafe fn partial_matrix(worker: *mut Worker, at: CPlace) {
    // SAFETY: the caller's promise.
    let w = unsafe { &mut *worker };
    let mask = w.simd[w.thread as usize / 32].mask;
    let cause =
        format!("a simdgroup_matrix operation needs all 32 lanes of its SIMD group; {} take part", mask.count_ones());
    at_place(w, FaultKind::DivergentSimd, told(at), cause);
}

/// Reports an access through a null pointer: a buffer that is not bound.
pub(super) fn null(check: &mut Check, a: Access) {
    let verb = if a.write { "writes" } else { "reads" };
    let cause = format!("{verb} through a null pointer: a buffer that is not bound, or a pointer without a value");
    let fault = check.fault(FaultKind::Unbound, a.site, a.thread, cause);
    check.faults.add(fault);
}

/// Reports the signal that ended the running thread.
pub(super) fn crashed(w: &mut Worker) {
    let (thread, top) = (w.thread, w.stack_top());
    let Some(crash) = w.crash.take() else { return };
    let cause = match crash.kind {
        FaultKind::StackOverflow => "the thread's stack is used up".to_owned(),
        FaultKind::DivideByZero => "divides an integer by zero, or the least one by -1".to_owned(),
        _ => format!("the kernel died at an access to address {:#x}", crash.address),
    };
    match &mut w.check {
        Some(check) => {
            // SAFETY: the frame pointer is that of kernel code whose stack has not been reused; addresses beyond the stack
            // are not followed.
            let site = unsafe { check.sites.site_of_frame(crash.pc, crash.frame, top) };
            let fault = check.fault(crash.kind, site, thread, cause);
            check.faults.add(fault);
        }
        None => w.failed = Some((crash.kind, None, cause)),
    }
}
