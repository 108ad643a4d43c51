//! The CPU as a device: native kernels on a pool of pinned threads.

mod buffer;
mod condition;
mod features;
#[cfg(feature = "libraries")]
mod library;
#[cfg(not(feature = "libraries"))]
#[path = "no_library.rs"]
mod library;
pub(crate) mod pool;
mod program;
mod queue;

use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use metallic_kernels::contract::{Limits, Target};

pub use buffer::Memory;
pub use pool::Pinning;

use crate::{Buffer, Condition, Device, Error, Queue, Record};

const NAME: &str = "cpu";
const MAX_THREADS: usize = 1024;

/// How to set the CPU device up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Workers; `None` takes every core this process may use.
    pub threads: Option<usize>,
    /// Whether workers stay on their cores.
    pub pinning: Pinning,
    /// Features to treat as absent, e.g. `amx-bf16`; a prefix such as `amx` or `avx512` refuses all that begin with it.
    pub without: Vec<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options { threads: None, pinning: Pinning::Cores, without: Vec::new() }
    }
}

/// The CPU.
pub struct Cpu {
    limits: Limits,
    pool: Arc<pool::Pool>,
    weights: Mutex<buffer::Arena>,
    described: String,
}

impl Cpu {
    /// Detects features and starts the pool.
    ///
    /// # Errors
    /// An unknown feature name, a thread count out of range, or threads the system refuses.
    pub fn new(options: &Options) -> Result<Cpu, Error> {
        let features = features::detect(&options.without)?;
        let threads = options.threads.unwrap_or_else(features::default_threads);
        if !(1..=MAX_THREADS).contains(&threads) {
            return Err(Error::Threads { got: threads, max: MAX_THREADS });
        }
        let pool = Arc::new(pool::Pool::new(threads, options.pinning)?);
        let described = format!("{}, {threads} threads, {}", features::brand(), features.join(" "));
        let mut limits = Limits { targets: vec![Target::Cpu], features, max_threads: threads, threadgroup_bytes: 0 };
        library::allow(&mut limits);
        let weights = Mutex::new(buffer::Arena::new().map_err(|source| no_memory(0, source))?);
        Ok(Cpu { limits, pool, weights, described })
    }
}

fn no_memory(bytes: usize, source: std::io::Error) -> Error {
    Error::Memory { device: NAME.to_owned(), bytes, source }
}

fn memory(bytes: usize) -> Result<Memory, Error> {
    Memory::zeroed(bytes).map_err(|source| no_memory(bytes, source))
}

impl Device for Cpu {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self) -> String {
        self.described.clone()
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn alloc(&self, bytes: usize) -> Result<Buffer, Error> {
        Ok(Buffer::new(memory(bytes)?))
    }

    fn alloc_weight(&self, bytes: usize) -> Result<Buffer, Error> {
        let mut arena = self.weights.lock().unwrap_or_else(|e| e.into_inner());
        let memory = arena.take(bytes).map_err(|source| no_memory(bytes, source))?;
        Ok(Buffer::new(memory))
    }

    unsafe fn adopt(&self, bytes: &[u8], owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer, Error> {
        // SAFETY: the caller's promise.
        Ok(Buffer::new(unsafe { Memory::shared(bytes, owner) }))
    }

    fn condition(&self) -> Option<Condition> {
        condition::now()
    }

    fn cache_bytes(&self) -> Option<u64> {
        condition::cache_bytes()
    }

    fn queue(&self, records: &[Record]) -> Result<Box<dyn Queue>, Error> {
        Ok(Box::new(queue::CpuQueue::new(self.pool.clone(), records)?))
    }

    fn parallel(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        let next = AtomicUsize::new(0);
        let whole = self.pool.run(&|_, _| {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    break;
                }
                job(part);
            }
        });
        if whole { Ok(()) } else { Err(Error::Part { device: NAME.to_owned() }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_part_is_an_error_and_the_device_goes_on() {
        let cpu = Cpu::new(&Options { threads: Some(3), pinning: Pinning::Free, without: Vec::new() }).unwrap();
        let bad = cpu.parallel(20, &|part| assert_ne!(part, 7, "planted"));
        assert!(matches!(bad, Err(Error::Part { .. })));
        let sum = AtomicUsize::new(0);
        cpu.parallel(20, &|part| {
            sum.fetch_add(part, Ordering::Relaxed);
        })
        .unwrap();
        assert_eq!(sum.into_inner(), 190);
    }
}
