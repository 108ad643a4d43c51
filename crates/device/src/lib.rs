//! Devices: memory, programs, and queues that replay a list of launches.
//!
//! Every device is a folder of the same four files: `mod` (what it is), `buffer` (its memory), `program` (from variant
//! to something runnable) and `queue` (a resolved plan, replayed every step). Only this crate has GPU FFI.

pub mod cache;
pub mod cpu;
pub mod cuda;
pub mod emulator;
mod error;
pub mod metal;

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use metallic_kernels::contract::{Key, Limits, Op, Params, Variant};

pub use error::Error;

/// Bytes that a device's kernels work on.
pub trait Memory: Send + Sync + Any {
    /// Length in bytes.
    fn len(&self) -> usize;

    /// True for no bytes.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Copies `data` to byte `offset`, between runs.
    ///
    /// # Panics
    /// Where the range is not inside.
    ///
    /// # Errors
    /// A copy that the platform refuses.
    fn write(&self, offset: usize, data: &[u8]) -> Result<(), Error>;

    /// Copies from byte `offset` into `out`, between runs.
    ///
    /// # Panics
    /// Where the range is not inside.
    ///
    /// # Errors
    /// A copy that the platform refuses.
    fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), Error>;

    /// Fills it with bytes that are NaN in every float type, between runs. A device that checks accesses counts it as unwritten.
    ///
    /// # Errors
    /// As [`Memory::write`].
    fn poison(&self) -> Result<(), Error> {
        self.write(0, &vec![0xff; self.len()])
    }

    /// Address of the first byte, where the host reaches this memory directly.
    fn host(&self) -> Option<*mut u8>;
}

/// Memory of a device; clones share it.
#[derive(Clone)]
pub struct Buffer(Arc<dyn Memory>);

impl Buffer {
    /// A buffer of this memory.
    pub fn new(memory: impl Memory) -> Buffer {
        Buffer(Arc::new(memory))
    }

    /// Length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for a buffer of no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// As [`Memory::write`].
    ///
    /// # Errors
    /// As there.
    pub fn write(&self, offset: usize, data: &[u8]) -> Result<(), Error> {
        self.0.write(offset, data)
    }

    /// As [`Memory::read`].
    ///
    /// # Errors
    /// As there.
    pub fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), Error> {
        self.0.read(offset, out)
    }

    /// As [`Memory::poison`].
    ///
    /// # Errors
    /// As there.
    pub fn poison(&self) -> Result<(), Error> {
        self.0.poison()
    }

    /// As [`Memory::host`].
    pub fn host(&self) -> Option<*mut u8> {
        self.0.host()
    }

    /// The memory behind it, where it is of type `M`.
    pub fn memory<M: Memory>(&self) -> Option<&M> {
        let memory: &dyn Any = &*self.0;
        memory.downcast_ref()
    }

    /// A part of this buffer, as an operand.
    ///
    /// # Panics
    /// Where it is not inside: kernels trust this check.
    pub fn slice(&self, offset: usize, len: usize) -> Binding {
        assert!(offset.checked_add(len).is_some_and(|end| end <= self.len()), "operand outside of its buffer");
        Binding { buffer: Some(self.clone()), offset, len }
    }

    /// All of this buffer, as an operand.
    pub fn whole(&self) -> Binding {
        self.slice(0, self.len())
    }
}

/// An operand of a launch: a part of a buffer, or nothing.
#[derive(Clone, Default)]
pub struct Binding {
    /// The buffer; `None` for an absent optional operand.
    pub buffer: Option<Buffer>,
    /// First byte.
    pub offset: usize,
    /// Bytes.
    pub len: usize,
}

/// Which of a step's row counts a launch follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rows {
    /// One row per token of the batch.
    Tokens,
    /// One row per token whose logits are wanted.
    Outputs,
}

/// Row counts of one step, each at most what the plan was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRows {
    /// Tokens in the batch.
    pub tokens: usize,
    /// Rows of logits.
    pub outputs: usize,
}

impl StepRows {
    /// The count for `rows`.
    pub fn of(&self, rows: Rows) -> usize {
        match rows {
            Rows::Tokens => self.tokens,
            Rows::Outputs => self.outputs,
        }
    }
}

/// A launch with every choice made, as a plan records it and a device resolves it.
#[derive(Clone)]
pub struct Record {
    /// The op.
    pub op: &'static Op,
    /// The chosen variant.
    pub variant: Arc<Variant>,
    /// The problem; its `m` is the most rows a step may have.
    pub key: Key,
    /// Arguments.
    pub params: Params,
    /// Operands in the op's order.
    pub operands: Vec<Binding>,
    /// Row count it follows.
    pub rows: Rows,
}

/// The state that a device is in; what it does not tell is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Condition {
    /// Clock of what computes, in MHz.
    pub clock: Option<u32>,
    /// Clock of the memory, in MHz.
    pub memory_clock: Option<u32>,
    /// Degrees Celsius.
    pub temperature: Option<u32>,
    /// Watts drawn.
    pub power: Option<f32>,
}

/// A device that runs kernels.
pub trait Device: Send + Sync {
    /// Short name, e.g. `cpu`.
    fn name(&self) -> &str;

    /// One line for people: processor, threads, features.
    fn describe(&self) -> String;

    /// What dispatch may count on.
    fn limits(&self) -> &Limits;

    /// Zeroed memory of `bytes`.
    ///
    /// # Errors
    /// [`Error::Memory`] where the system refuses.
    fn alloc(&self, bytes: usize) -> Result<Buffer, Error>;

    /// Zeroed memory for a weight: many of them live as long as the model, so a device may place them side by side.
    ///
    /// # Errors
    /// As [`Device::alloc`].
    fn alloc_weight(&self, bytes: usize) -> Result<Buffer, Error> {
        self.alloc(bytes)
    }

    /// A weight that stays as it lies in `bytes`, which `owner` keeps alive. A device that reaches host memory shares it; others
    /// copy it.
    ///
    /// # Safety
    /// `bytes` stays valid and unwritten while `owner` lives, and no kernel gets the buffer as an output.
    ///
    /// # Errors
    /// As [`Device::alloc`].
    unsafe fn adopt(&self, bytes: &[u8], owner: Arc<dyn Any + Send + Sync>) -> Result<Buffer, Error> {
        drop(owner);
        let buffer = self.alloc_weight(bytes.len())?;
        buffer.write(0, bytes)?;
        Ok(buffer)
    }

    /// What measured times depend on and the device tells of itself, now; `None` where it tells nothing.
    fn condition(&self) -> Option<Condition> {
        None
    }

    /// Bytes of the last cache before memory, as far as it is known: data past several times this is not found in it.
    fn cache_bytes(&self) -> Option<u64> {
        None
    }

    /// Compiles the programs of these variants ahead, on all threads where the device can: queues find them ready. What does not
    /// compile is told by [`Device::queue`].
    fn prepare(&self, variants: &[(&'static Op, Arc<Variant>)]) {
        let _ = variants;
    }

    /// Resolves launches into something that replays them in order.
    ///
    /// # Errors
    /// An entry that does not exist, or no memory for scratch.
    fn queue(&self, records: &[Record]) -> Result<Box<dyn Queue>, Error>;

    /// Runs `job(part)` for every part below `parts`, on the threads that serve this device. For loading, not for kernels. A
    /// job must not call into the device: its threads are taken.
    ///
    /// # Errors
    /// [`Error::Part`] where a job panicked; other parts may not have run then.
    fn parallel(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) -> Result<(), Error>;
}

/// A resolved plan.
pub trait Queue: Send {
    /// Runs every launch once, in order, and waits for the end.
    ///
    /// # Panics
    /// Where `rows` are more than a launch was recorded for.
    ///
    /// # Errors
    /// [`Error::Panicked`] where a kernel did.
    fn run(&mut self, rows: StepRows) -> Result<(), Error>;

    /// Runs every launch once and adds the seconds that each took to `seconds` (one entry per record).
    ///
    /// # Errors
    /// As [`Queue::run`].
    fn profile(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), Error>;

    /// Runs every launch `times` times over, waits for the end, and tells how long that took. What is measured is what
    /// [`Queue::run`] does: a device that captures graphs replays its graph.
    ///
    /// # Panics
    /// As [`Queue::run`].
    ///
    /// # Errors
    /// As [`Queue::run`].
    fn time(&mut self, rows: StepRows, times: usize) -> Result<Timing, Error> {
        let start = Instant::now();
        for _ in 0..times {
            self.run(rows)?;
        }
        Ok(Timing { device: None, host: start.elapsed().as_secs_f64() })
    }

    /// What this queue runs, one entry a record, as resolved and not as asked for; empty where the device does not tell.
    fn launched(&self) -> Vec<Launched> {
        Vec::new()
    }
}

/// How long a replay took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timing {
    /// Seconds by the device's own clock, from the start of the first launch to the end of the last; `None` where it has none.
    pub device: Option<f64>,
    /// Seconds by the host's clock, from the call to its return.
    pub host: f64,
}

/// A launch as a device resolved it. Where a library runs it, the entry is the call that is made, and threadgroups and threads, which the
/// library does not tell, are 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Launched {
    /// `family/name` of the variant.
    pub variant: String,
    /// The entry that runs.
    pub entry: String,
    /// Threadgroups along x, y and z; workers of the pool on a CPU.
    pub grid: [u32; 3],
    /// Threads of a threadgroup along x, y and z; 1 on a CPU.
    pub threads: [u32; 3],
}
