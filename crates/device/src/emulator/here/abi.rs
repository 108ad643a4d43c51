//! The C side of a kernel: the thread it runs as and the tables of calls it makes, mirrored from the support library's
//! `host_abi.h` and from `shim.cpp`.

use std::ffi::{c_char, c_void};

/// One thread of a dispatch, as lowered text reads it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct MslThread {
    pub(super) buffers: *const *mut c_void,
    pub(super) threadgroup: *const *mut c_void,
    pub(super) thread_position_in_grid: [u32; 3],
    pub(super) threadgroup_position_in_grid: [u32; 3],
    pub(super) thread_position_in_threadgroup: [u32; 3],
    pub(super) threads_per_grid: [u32; 3],
    pub(super) threadgroups_per_grid: [u32; 3],
    pub(super) threads_per_threadgroup: [u32; 3],
    pub(super) dispatch_threads_per_threadgroup: [u32; 3],
    pub(super) thread_index_in_threadgroup: u32,
    pub(super) thread_index_in_simdgroup: u32,
    pub(super) simdgroup_index_in_threadgroup: u32,
    pub(super) simdgroups_per_threadgroup: u32,
    pub(super) dispatch_simdgroups_per_threadgroup: u32,
    pub(super) threads_per_simdgroup: u32,
}

/// A compiled kernel.
pub(super) type EntryFn = unsafe extern "C" fn(*const MslThread);

/// Calls of the support library.
#[repr(C)]
pub(super) struct MslRuntime {
    pub(super) this: unsafe extern "C" fn() -> *const MslThread,
    pub(super) barrier: unsafe extern "C" fn(u32, u32, *const c_char, u32),
    pub(super) exchange: unsafe extern "C" fn(u32, *const c_void, u32, *mut c_void, *const c_char, u32) -> u32,
    pub(super) threadgroup_alloc: unsafe extern "C" fn(u32, u32, u32, *const c_char, *const c_char, u32) -> *mut c_void,
    pub(super) atomic: unsafe extern "C" fn(*const c_void, u32, u32, *const c_char, u32),
    pub(super) trap: unsafe extern "C" fn(*const c_char, *const c_char, u32),
}

/// Calls of the instrumentation.
#[repr(C)]
pub(super) struct MslChecks {
    pub(super) access: unsafe extern "C" fn(usize, usize, u32, usize, usize),
    pub(super) copy: unsafe extern "C" fn(usize, usize, usize, usize, usize),
    pub(super) step: unsafe extern "C" fn(usize, usize),
    pub(super) arithmetic: unsafe extern "C" fn(usize, usize),
    pub(super) bounds: unsafe extern "C" fn(usize, usize, usize),
    pub(super) alignment: unsafe extern "C" fn(usize, usize, u32, usize, usize),
}

/// `MSL_SCOPE_SIMDGROUP`.
pub(super) const SCOPE_SIMDGROUP: u32 = 0;
/// `MSL_MEM_DEVICE`.
pub(super) const MEM_DEVICE: u32 = 1;
/// `MSL_MEM_THREADGROUP`.
pub(super) const MEM_THREADGROUP: u32 = 2;
/// `MSL_SIMD_MATRIX`.
pub(super) const SIMD_MATRIX: u32 = 4;
/// Our own kind of exchange, for `simdgroup_barrier`.
pub(super) const SIMD_BARRIER: u32 = u32::MAX;
/// `MSL_ATOMIC_LOAD`.
pub(super) const ATOMIC_LOAD: u32 = 0;

/// What an exchange of `kind` is called in reports.
pub(super) fn exchange_name(kind: u32) -> &'static str {
    match kind {
        0 => "a SIMD reduction",
        1 => "a SIMD prefix operation",
        2 => "a SIMD shuffle",
        3 => "a SIMD vote",
        SIMD_MATRIX => "a simdgroup_matrix operation",
        5 => "a quad reduction",
        6 => "a quad prefix operation",
        SIMD_BARRIER => "simdgroup_barrier",
        _ => "a SIMD function",
    }
}

pub(super) static RUNTIME: MslRuntime = MslRuntime {
    this: super::hooks::this,
    barrier: super::hooks::barrier,
    exchange: super::hooks::exchange,
    threadgroup_alloc: super::hooks::threadgroup_alloc,
    atomic: super::hooks::atomic,
    trap: super::hooks::trap,
};

pub(super) static CHECKS: MslChecks = MslChecks {
    access: super::hooks::access,
    copy: super::hooks::copy,
    step: super::hooks::step,
    arithmetic: super::hooks::arithmetic,
    bounds: super::hooks::bounds,
    alignment: super::hooks::alignment,
};
