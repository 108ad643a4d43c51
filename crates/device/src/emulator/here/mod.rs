//! The emulator where it runs: Linux on x86-64 and arm64.

mod abi;
mod arena;
mod buffer;
mod check;
mod clang;
mod diagnose;
mod geometry;
mod groupmem;
mod hooks;
mod launch;
mod program;
mod queue;
mod results;
mod shadow;
mod signals;
mod symbol;
mod worker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use metallic_kernels::contract::{Limits, Target, source};
use metallic_msl::{ConstantKey, IncludeForm, Included, ParseOptions, Unit, Value};

pub use buffer::Memory;
pub use clang::{Build, Clang, ClangError};
pub use launch::{Grid, Launch, Schedules};
pub use program::{Argument, ArgumentKind, Program, ProgramError, Text};

use super::{Faults, MAX_THREADS, Mode, NAME, THREADGROUP_BYTES};
use crate::cpu::pool::{Pinning, Pool};
use crate::{Buffer, Device, Error, Queue, Record};
use launch::Runner;

/// Metal version that sources are read as: bfloat is there.
const METAL_VERSION: u32 = 310;

/// The emulator.
pub struct Emulator {
    mode: Mode,
    limits: Limits,
    clang: Clang,
    shared: Arc<Shared>,
    /// Programs of variants, by source, entry and knobs.
    programs: Mutex<HashMap<String, Arc<Program>>>,
}

struct Shared {
    runner: Runner,
}

impl Emulator {
    /// An emulator, where there is a clang to compile kernels with.
    ///
    /// # Errors
    /// [`Error::Unavailable`], which says what to install; threads that the system does not start.
    pub fn new(mode: Mode) -> Result<Emulator, Error> {
        let clang = Clang::find().map_err(|e| Error::Unavailable { device: NAME.to_owned(), reason: e.to_string() })?;
        let runner = match mode {
            Mode::Checked => Runner::checked(),
            Mode::Fast(threads) => {
                let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
                Runner::fast(Pool::new(threads.unwrap_or(cores).max(1), Pinning::Free)?)
            }
        };
        let limits = Limits {
            targets: vec![Target::Msl],
            features: Vec::new(),
            max_threads: MAX_THREADS as usize,
            threadgroup_bytes: THREADGROUP_BYTES,
        };
        Ok(Emulator { mode, limits, clang, shared: Arc::new(Shared { runner }), programs: Mutex::default() })
    }

    /// How it runs kernels.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    fn build(&self) -> Build {
        match self.mode {
            Mode::Checked => Build::Checked,
            Mode::Fast(_) => Build::Fast,
        }
    }

    /// Compiles `entry` of `unit` with these values of function constants.
    ///
    /// # Errors
    /// No such entry, or a source that the front end or clang does not take.
    pub fn compile(
        &self,
        unit: &Unit,
        entry: &str,
        constants: &[(ConstantKey, Value)],
    ) -> Result<Program, ProgramError> {
        Program::new(unit, entry, constants, self.build())
    }

    /// Compiles a kernel that is C++ already.
    ///
    /// # Errors
    /// A text that clang does not take.
    pub fn compile_text(&self, text: Text<'_>) -> Result<Program, ProgramError> {
        Program::from_text(text, self.build())
    }

    /// Runs one dispatch. Checked: gives every fault found, under the first schedule that shows any.
    ///
    /// # Errors
    /// What is no fault of the kernel's: no memory, or memory of another device.
    pub fn launch(&self, program: &Program, launch: &Launch, schedules: &Schedules) -> Result<Faults, Error> {
        self.shared.runner.run(program, launch, schedules)
    }

    /// Memory that counts as unwritten, and holds NaN in every float type. Without checks it is only filled.
    ///
    /// # Errors
    /// As [`Device::alloc`].
    pub fn alloc_output(&self, bytes: usize) -> Result<Buffer, Error> {
        let buffer = self.alloc(bytes)?;
        buffer.poison()?;
        Ok(buffer)
    }

    /// The program of a record's variant, compiled once.
    fn program(&self, record: &Record) -> Result<Arc<Program>, Error> {
        let variant = &record.variant;
        let failed =
            |log: String| Error::Compile { device: NAME.to_owned(), op: record.op.name, variant: variant.id(), log };
        let text = variant.text().map_err(|e| failed(e.to_string()))?;
        let name = format!("{} {} {:?}", text.path, variant.entry, text.macros);
        let mut programs = self.programs.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(program) = programs.get(&name) {
            return Ok(program.clone());
        }
        let macros: Vec<_> = text.macros.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let loader = |name: &str, _: IncludeForm, from: &str| {
            source::include(from, name).map(|(name, text)| Included { name, text: text.into_owned() })
        };
        let options = ParseOptions { defines: &macros, loader: &loader, metal_version: METAL_VERSION };
        let unit = Unit::parse(&text.path, &text.text, &options).map_err(|e| failed(e.to_string()))?;
        let knobs = unit.function_constants().iter().filter_map(|c| Some((c, *variant.knobs.get(&c.name)?)));
        let constants: Vec<_> =
            knobs.map(|(c, v)| (ConstantKey::Name(c.name.clone()), value(&c.type_text, v))).collect();
        let program = self.compile(&unit, &variant.entry, &constants).map_err(|e| failed(e.to_string()))?;
        let program = Arc::new(program);
        programs.insert(name, program.clone());
        Ok(program)
    }
}

/// A knob as the value of a function constant.
fn value(kind: &str, v: i64) -> Value {
    match kind {
        "bool" => Value::Bool(v != 0),
        "float" | "half" | "bfloat" => Value::Float(v as f64),
        "uint" | "ushort" | "uchar" | "ulong" | "size_t" => Value::Uint(v.max(0) as u64),
        _ => Value::Int(v),
    }
}

impl Device for Emulator {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self) -> String {
        let how = match self.mode {
            Mode::Checked => "every access checked".to_owned(),
            Mode::Fast(_) => {
                let threads = self.shared.runner.pool().map_or(1, Pool::workers);
                format!("unchecked, {threads} threads")
            }
        };
        format!("Metal kernels on the CPU, {how}; {}", self.clang.version())
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn alloc(&self, bytes: usize) -> Result<Buffer, Error> {
        let failed = |source| Error::Memory { device: NAME.to_owned(), bytes, source };
        match self.mode {
            Mode::Checked => Memory::zeroed(bytes).map(Buffer::new).map_err(failed),
            Mode::Fast(_) => crate::cpu::Memory::zeroed(bytes).map(Buffer::new).map_err(failed),
        }
    }

    unsafe fn adopt(&self, bytes: &[u8], owner: Arc<dyn std::any::Any + Send + Sync>) -> Result<Buffer, Error> {
        match self.mode {
            // SAFETY: the caller's promise.
            Mode::Fast(_) => Ok(Buffer::new(unsafe { crate::cpu::Memory::shared(bytes, owner) })),
            Mode::Checked => {
                drop(owner);
                let buffer = self.alloc(bytes.len())?;
                buffer.write(0, bytes)?;
                Ok(buffer)
            }
        }
    }

    fn queue(&self, records: &[Record]) -> Result<Box<dyn Queue>, Error> {
        Ok(Box::new(queue::EmulatorQueue::new(self, records)?))
    }

    fn parallel(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(part) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|p| *p < parts) {
                job(part);
            }
        };
        let done = match self.shared.runner.pool() {
            Some(pool) => pool.run(&|_, _| work()),
            None => std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_ok(),
        };
        done.then_some(()).ok_or_else(|| Error::Part { device: NAME.to_owned() })
    }
}
