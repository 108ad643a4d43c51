//! NVIDIA GPUs: the driver and NVRTC, both loaded at run time, so that nothing of CUDA is needed to build.
//!
//! ```text
//! program   variant -> CUDA C++ (MSL lowered, .cu as it is)        compile   text -> cubin, through the cache
//! kernel    cubin -> a kernel, and launches of it                   queue     records -> one graph, replayed every step
//! step      record -> a launch, or a call of a library              library   the vendor's matrix products
//! ```

mod batch;
mod buffer;
mod compile;
mod driver;
mod error;
mod kernel;
mod library;
mod locate;
mod nvml;
pub mod nvrtc;
mod packed;
mod program;
mod queue;
mod step;
mod stream;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use metallic_kernels::contract::{Limits, Op, Target, Variant};

pub use batch::Batch;
pub use buffer::Memory;
pub use compile::{Built, Compiler, Origin};
pub use driver::{Code, Info, list};
pub use error::{Error, NoLibrary, Place, Unfit};
pub use kernel::{Kernel, Launch, Overlap, Shape};
pub use nvrtc::{Nvrtc, Source};
pub use packed::Arg;
pub use program::{Program, WAIT, assemble};
pub use queue::{CudaQueue, Execution};
pub use stream::{Event, Graph, Stream};

use crate::{Buffer, Condition, Device, Queue, Record};

const NAME: &str = "cuda";

/// How to set a CUDA device up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Number of the device, as the driver counts.
    pub ordinal: usize,
    /// How queues run.
    pub execution: Execution,
    /// Whether variants of the vendor's libraries run here, where the libraries are there. Loading them takes seconds.
    pub libraries: bool,
}

/// An NVIDIA GPU.
pub struct Cuda {
    shared: Arc<Shared>,
    limits: Limits,
    execution: Execution,
}

/// What the device's memory, kernels and queues have in common.
struct Shared {
    /// The vendor's libraries; gone before the stream that they work on.
    libraries: Option<library::Libraries>,
    stream: Stream,
    context: Arc<driver::Context>,
    info: Info,
    arch: String,
    compiler: Compiler,
    /// Kernels by what makes them, for as long as the device is open.
    kernels: Mutex<HashMap<String, step::Resolved>>,
    staging: Mutex<Option<buffer::Staging>>,
    /// What tells the device's state; loaded when first asked.
    nvml: OnceLock<Option<nvml::Nvml>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Architectures that a variant may ask for by name; a device has those up to its own.
const ARCHITECTURES: [(i32, &str); 9] = [
    (70, "sm_70"),
    (75, "sm_75"),
    (80, "sm_80"),
    (86, "sm_86"),
    (89, "sm_89"),
    (90, "sm_90"),
    (100, "sm_100"),
    (103, "sm_103"),
    (120, "sm_120"),
];

impl Cuda {
    /// Opens a device.
    ///
    /// # Errors
    /// [`crate::Error::Unavailable`], which says what is missing: a driver, a device, or the compiler.
    pub fn new(options: &Options) -> Result<Cuda, crate::Error> {
        Cuda::open(options).map_err(|e| e.during("opening the device"))
    }

    fn open(options: &Options) -> Result<Cuda, Error> {
        let (context, info) = driver::Context::open(options.ordinal)?;
        let compiler = Compiler::new()?;
        context.keep_memory()?;
        let capability = info.capability.0 * 10 + info.capability.1;
        let libraries = options.libraries.then(|| library::Libraries::find(compiler.nvrtc().path()));
        let mut targets = vec![Target::Msl, Target::Cuda];
        targets.extend(libraries.as_ref().map(|_| Target::Library));
        let architectures = ARCHITECTURES.iter().filter(|(c, _)| *c <= capability).map(|(_, name)| *name);
        let limits = Limits {
            targets,
            features: architectures.chain(libraries.iter().flat_map(library::Libraries::features)).collect(),
            max_threads: info.max_threads,
            threadgroup_bytes: info.shared,
        };
        let shared = Shared {
            libraries,
            stream: Stream::new(&context)?,
            context,
            arch: info.arch(),
            info,
            compiler,
            kernels: Mutex::default(),
            staging: Mutex::default(),
            nvml: OnceLock::new(),
        };
        Ok(Cuda { shared: Arc::new(shared), limits, execution: options.execution })
    }

    /// What the device is.
    pub fn info(&self) -> &Info {
        &self.shared.info
    }

    /// The stream that everything on this device goes through.
    pub fn stream(&self) -> &Stream {
        &self.shared.stream
    }

    /// The compiler.
    pub fn compiler(&self) -> &Compiler {
        &self.shared.compiler
    }

    /// Architecture that programs are compiled for.
    pub fn arch(&self) -> &str {
        &self.shared.arch
    }

    /// Compiles a program, through the cache, and loads its kernel.
    ///
    /// # Errors
    /// As [`Compiler::build`], and what the driver says.
    pub fn kernel(&self, source: &Source<'_>) -> Result<Kernel, Error> {
        self.shared.kernel(source)
    }

    /// The address of a buffer's first byte; `None` where it is not of this device.
    pub fn address(&self, buffer: &Buffer) -> Option<u64> {
        buffer.memory::<Memory>().filter(|m| m.is_of(&self.shared)).map(Memory::address)
    }

    /// As [`Device::queue`], with what only this device's queues can do.
    ///
    /// # Errors
    /// As there.
    pub fn resolve(&self, records: &[Record]) -> Result<CudaQueue, crate::Error> {
        CudaQueue::new(&self.shared, self.execution, records)
    }
}

impl Shared {
    fn kernel(&self, source: &Source<'_>) -> Result<Kernel, Error> {
        let built = self.compiler.build(source)?;
        Kernel::load(&self.context, &built.cubin, source.symbol, source.place())
    }
}

impl Device for Cuda {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self) -> String {
        let (major, minor) = self.shared.compiler.nvrtc().version();
        let libraries = self.shared.libraries.as_ref().map(|l| format!(", {l}")).unwrap_or_default();
        format!("{}, NVRTC {major}.{minor}{libraries}", self.shared.info)
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn alloc(&self, bytes: usize) -> Result<Buffer, crate::Error> {
        Memory::zeroed(&self.shared, bytes).map(Buffer::new).map_err(|e| match &e {
            Error::Call { code, .. } if code.out_of_memory() => {
                let source = std::io::Error::new(std::io::ErrorKind::OutOfMemory, e.to_string());
                crate::Error::Memory { device: NAME.to_owned(), bytes, source }
            }
            _ => e.during("an allocation"),
        })
    }

    fn condition(&self) -> Option<Condition> {
        let open = || nvml::Nvml::open(&self.shared.context.bus().ok()?);
        self.shared.nvml.get_or_init(open).as_ref().map(nvml::Nvml::condition)
    }

    fn cache_bytes(&self) -> Option<u64> {
        Some(self.shared.info.cache as u64)
    }

    fn prepare(&self, variants: &[(&'static Op, Arc<Variant>)]) {
        let ours = |v: &Variant| matches!(v.target(), Target::Msl | Target::Cuda);
        let mut list: Vec<_> = variants.iter().filter(|(_, v)| ours(v)).collect();
        let mut names = HashSet::new();
        list.retain(|(op, v)| names.insert(step::Resolved::name(op, v)));
        // Whatever fails here fails again, and is told, when a queue asks for it.
        let _ = self.parallel(list.len(), &|i| {
            let _ = step::Resolved::of(&self.shared, list[i].0, &list[i].1);
        });
    }

    fn queue(&self, records: &[Record]) -> Result<Box<dyn Queue>, crate::Error> {
        Ok(Box::new(self.resolve(records)?))
    }

    fn parallel(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) -> Result<(), crate::Error> {
        let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    break;
                }
                if std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job(part))).is_err() {
                    failed.store(true, Ordering::Relaxed);
                }
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, |n| n.get()).min(parts);
        std::thread::scope(|s| {
            for _ in 1..threads {
                s.spawn(work);
            }
            work();
        });
        if failed.into_inner() { Err(crate::Error::Part { device: NAME.to_owned() }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Cuda, Error, Options, list};
    use crate::Device;

    /// Whatever this machine has: devices that open, or one word on what is missing.
    #[test]
    fn a_machine_without_a_gpu_is_told_what_is_missing() {
        match list() {
            Err(why @ (Error::NoDriver { .. } | Error::NoDevice { .. } | Error::OldDriver { .. })) => {
                eprintln!("REFUSED: {why}");
                let opened = Cuda::new(&Options::default()).err();
                assert!(matches!(opened, Some(crate::Error::Unavailable { .. })), "{opened:?}");
                if let Error::NoDriver { library, .. } = why {
                    assert!(opened.is_some_and(|e| e.to_string().contains(library)));
                }
            }
            Err(why) => panic!("{why}"),
            Ok(devices) => {
                let none = Cuda::new(&Options { ordinal: devices.len(), ..Options::default() });
                assert!(matches!(none.err(), Some(crate::Error::Unavailable { .. })));
            }
        }
    }

    #[test]
    fn a_device_tells_its_state() {
        let Ok(cuda) = Cuda::new(&Options::default()).inspect_err(|why| eprintln!("REFUSED: {why}")) else { return };
        assert!(cuda.cache_bytes().is_some_and(|b| b > 1 << 20), "{:?}", cuda.cache_bytes());
        let Some(state) = cuda.condition() else {
            return eprintln!("REFUSED: no libnvidia-ml, or it hides the device");
        };
        eprintln!("{state:?}");
        assert!(state.clock.is_none_or(|mhz| (100..5000).contains(&mhz)));
        assert!(state.memory_clock.is_none_or(|mhz| (100..20_000).contains(&mhz)));
        assert!(state.temperature.is_none_or(|t| (5..110).contains(&t)));
        assert!(state.power.is_none_or(|w| (5.0..2000.0).contains(&w)));
    }

    #[test]
    fn memory_keeps_what_is_written() {
        let Ok(cuda) = Cuda::new(&Options::default()).inspect_err(|why| eprintln!("REFUSED: {why}")) else { return };
        let len = (9 << 20) + 5;
        let buffer = cuda.alloc(len).unwrap();
        let data: Vec<u8> = (0..len - 3).map(|i| (i * 7 + i / 251) as u8).collect();
        let mut got = vec![1; len];
        buffer.read(0, &mut got).unwrap();
        assert!(got.iter().all(|b| *b == 0));
        buffer.write(3, &data).unwrap();
        buffer.read(0, &mut got).unwrap();
        assert_eq!(got[..3], [0; 3]);
        assert!(got[3..] == data);
        let mut part = vec![0; 100];
        buffer.read(5 << 20, &mut part).unwrap();
        assert_eq!(part, data[(5 << 20) - 3..][..100]);
        assert!(cuda.alloc(0).unwrap().is_empty());
        assert!(matches!(cuda.alloc(1 << 50), Err(crate::Error::Memory { .. })));
    }
}
