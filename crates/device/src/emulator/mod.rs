//! The emulator: kernels in the Metal Shading Language on any CPU, with checks or fast.
//!
//! Each thread of a threadgroup is a coroutine; barriers and SIMD operations are where a worker switches between them. In a
//! checked run one worker runs everything in an order that a seed decides, and every access of kernel code is tested against a
//! shadow of the memory it goes to. A fast run has no checks and a worker on every core.

mod fault;

pub use fault::{Fault, FaultKind, Faults, Other, Place, Spot, ThreadAt};

/// Name of the device.
const NAME: &str = "emulator";

/// Bytes of threadgroup memory, as on Apple's GPUs.
pub const THREADGROUP_BYTES: usize = 32 << 10;

/// Threads of a threadgroup at most, as on Apple's GPUs.
pub const MAX_THREADS: u32 = 1024;

/// How kernels run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Every access tested; the same faults in every run.
    Checked,
    /// Nothing tested, on so many threads; `None` for one a core.
    Fast(Option<usize>),
}

#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod here;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub use here::*;

#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
mod absent;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
pub use absent::*;
