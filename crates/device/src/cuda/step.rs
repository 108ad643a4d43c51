//! A record with nothing left to look up: a kernel's launch, or a library's call.

use std::sync::Arc;

use metallic_kernels::contract::{Op, Target, Variant};
use metallic_msl::Param;

use super::buffer::Memory;
use super::error::{Error, NoLibrary, Place};
use super::kernel::{Kernel, Launch, Overlap, Shape};
use super::packed::Arg;
use super::program::Program;
use super::stream::Stream;
use super::{NAME, Shared, library, lock};
use crate::{Launched, Record, Rows};

/// What a queue gives to the stream for a record.
pub(super) enum Step {
    /// A kernel of ours.
    Kernel(Launch),
    /// A vendor's.
    Library(Box<library::Call>),
}

impl Step {
    /// Gives it to `stream`, the device's own, and does not wait. The context must be current.
    ///
    /// # Safety
    /// The memory at its addresses lives until the stream has run it, and is as large as the op's shapes demand.
    pub unsafe fn run(&self, stream: &Stream, overlap: Overlap) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe {
            match self {
                Step::Kernel(launch) => launch.run(stream, overlap),
                Step::Library(call) => call.run(),
            }
        }
    }

    /// The launch, where a kernel of ours is.
    pub fn kernel(&self) -> Option<&Launch> {
        match self {
            Step::Kernel(launch) => Some(launch),
            Step::Library(_) => None,
        }
    }

    /// What errors call it.
    pub fn place(&self) -> &Place {
        match self {
            Step::Kernel(launch) => launch.kernel().place(),
            Step::Library(call) => call.place(),
        }
    }

    /// What runs for `record`.
    pub fn launched(&self, record: &Record) -> Launched {
        let (entry, grid, threads) = match self {
            Step::Kernel(launch) => (launch.kernel().entry(), launch.shape().grid, launch.shape().threads),
            Step::Library(call) => (call.entry(), [0; 3], [0; 3]),
        };
        Launched { variant: record.variant.id(), entry: entry.to_owned(), grid, threads }
    }
}

/// A kernel with what its program takes.
#[derive(Clone)]
pub(super) struct Resolved {
    kernel: Kernel,
    params: Option<Arc<[Param]>>,
    overlap: Overlap,
}

impl Resolved {
    /// The kernel of `variant`, made where it is not known yet.
    pub(super) fn of(shared: &Shared, op: &Op, variant: &Variant) -> Result<Resolved, Error> {
        let name = Resolved::name(op, variant);
        if let Some(known) = lock(&shared.kernels).get(&name) {
            return Ok(known.clone());
        }
        let program = Program::of(op, variant, shared.info.capability)?;
        let kernel = shared.kernel(&program.source(&shared.arch))?;
        let made = Resolved { kernel, params: program.params.map(Arc::from), overlap: program.overlap };
        lock(&shared.kernels).insert(name, made.clone());
        Ok(made)
    }

    /// What tells kernels apart.
    pub(super) fn name(op: &Op, variant: &Variant) -> String {
        let Variant { source, entry, knobs, .. } = variant;
        format!("{} {source} {entry} {knobs:?}", op.name)
    }
}

/// Bytes of a queue's own memory: the two row counts, and from `ABSENT` on zeros for absent operands.
pub(super) const COUNTS: usize = 256;
const ABSENT: u64 = 128;

/// Where a row count lies among a queue's own.
pub(super) fn offset(rows: Rows) -> u64 {
    match rows {
        Rows::Tokens => 0,
        Rows::Outputs => 4,
    }
}

/// The step of a record, whose row count lies in `counts`, behind that of another.
pub(super) fn prepare(
    shared: &Arc<Shared>,
    counts: &Memory,
    behind: Option<&Record>,
    record: &Record,
) -> Result<Step, crate::Error> {
    let foreign = |operand| crate::Error::Foreign { device: NAME.to_owned(), op: record.op.name, operand };
    let mut addresses = Vec::with_capacity(record.operands.len());
    for (i, b) in record.operands.iter().enumerate() {
        addresses.push(match &b.buffer {
            None => counts.address() + ABSENT,
            Some(buffer) => {
                let memory = buffer.memory::<Memory>().filter(|m| m.is_of(shared)).ok_or_else(|| foreign(i))?;
                memory.address() + b.offset as u64
            }
        });
    }
    let make = || -> Result<Step, Error> {
        if record.variant.target() == Target::Library {
            let absent = || NoLibrary {
                library: "library of the vendor's",
                reason: "the device was opened without them".to_owned(),
            };
            let libraries = shared.libraries.as_ref().ok_or_else(absent)?;
            return libraries.call(shared, record, &addresses).map(|call| Step::Library(Box::new(call)));
        }
        let resolved = Resolved::of(shared, record.op, &record.variant)?;
        let bytes: &[u8; 128] = record.params.get();
        let operands = addresses.len();
        let params = Arg::Bytes(&bytes[..record.op.params.bytes.min(bytes.len())]);
        let rows = Arg::Address(counts.address() + offset(record.rows));
        let refuse = |reason: String| Error::Launch { place: resolved.kernel.place().clone(), reason };
        let args = match &resolved.params {
            None => addresses.iter().map(|&a| Arg::Address(a)).chain([params, rows]).collect(),
            Some(list) => list
                .iter()
                .map(|p| match *p {
                    Param::Inline { index, .. } if index as usize == operands => Ok(params),
                    Param::Buffer { index } if index as usize == operands + 1 => Ok(rows),
                    Param::Buffer { index } if (index as usize) < operands => {
                        Ok(Arg::Address(addresses[index as usize]))
                    }
                    other => Err(refuse(format!("{other:?} is none of the op's {operands} operands"))),
                })
                .collect::<Result<Vec<_>, _>>()?,
        };
        // A library may end with what is no kernel, and so nothing that a launch can overlap with.
        let overlap = match behind {
            Some(other) if other.variant.target() == Target::Library => Overlap::Serial,
            _ => resolved.overlap,
        };
        let geometry = record.variant.geometry(&record.key)?;
        let shape = Shape { grid: geometry.grid, threads: geometry.threads, shared: 0, overlap };
        Launch::new(&resolved.kernel, shape, &args).map(Step::Kernel)
    };
    make().map_err(|e| e.preparing(record))
}
