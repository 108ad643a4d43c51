//! What can go wrong on a device.

use crate::emulator;

/// What can go wrong on a device.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gave no memory.
    #[error("{device}: cannot allocate {bytes} bytes: {source}")]
    Memory {
        /// Device asked.
        device: String,
        /// Size asked for.
        bytes: usize,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The variant's entry does not exist on this device.
    #[error("{device}: {op} variant {variant} names entry {entry:?}, which does not exist")]
    Entry {
        /// Device asked.
        device: String,
        /// The op.
        op: &'static str,
        /// The variant.
        variant: String,
        /// The entry that is missing.
        entry: String,
    },
    /// A thread could not be started or pinned.
    #[error("{device}: cannot start worker {worker}: {source}")]
    Thread {
        /// Device asked.
        device: String,
        /// Number of the worker.
        worker: usize,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A kernel panicked; the queue did not finish.
    #[error("{device}: a kernel panicked during {op}; results of this step are not valid")]
    Panicked {
        /// Device.
        device: String,
        /// Op of the launch that panicked.
        op: &'static str,
    },
    /// The device cannot be had on this machine.
    #[error("{device} is not available: {reason}")]
    Unavailable {
        /// Device asked for.
        device: String,
        /// What is missing, and what to do about it.
        reason: String,
    },
    /// An operand lies in memory that the device does not reach.
    #[error("{device}: operand {operand} of {op} lies in another device's memory")]
    Foreign {
        /// Device of the launch.
        device: String,
        /// The op.
        op: &'static str,
        /// Number of the operand.
        operand: usize,
    },
    /// A kernel's source does not compile for the device.
    #[error("{device}: {op} variant {variant} does not compile:\n{log}")]
    Compile {
        /// Device of the launch.
        device: String,
        /// The op.
        op: &'static str,
        /// The variant.
        variant: String,
        /// What the compiler says, with places in the kernel's own file.
        log: String,
    },
    /// A call of the platform's interface failed.
    #[error("{device}: {call} failed: {reason}")]
    Call {
        /// Device.
        device: String,
        /// Name of the call, and what it was for.
        call: String,
        /// The platform's reason.
        reason: String,
    },
    /// Checked emulation found what is wrong with a kernel.
    #[error("{device}: {op} variant {variant}:\n{faults}")]
    Faults {
        /// Device.
        device: String,
        /// Op of the launch.
        op: &'static str,
        /// The variant.
        variant: String,
        /// What was found.
        faults: Box<emulator::Faults>,
    },
    /// A vendor's library has no algorithm with the number that the variant's knobs name: a search over the numbers ends here.
    #[error("{device}: {op} variant {variant} asks for algorithm {asked}; the library has {count} for this problem")]
    NoAlgorithm {
        /// Device.
        device: String,
        /// Op of the launch.
        op: &'static str,
        /// The variant.
        variant: String,
        /// Its number, from 0.
        asked: usize,
        /// How many there are.
        count: usize,
    },
    /// A part of [`crate::Device::parallel`] panicked.
    #[error("{device}: a thread panicked; what it was working on is not whole")]
    Part {
        /// Device.
        device: String,
    },
    /// A CPU feature name that is not known.
    #[error("unknown CPU feature {name:?}; known: {known}; avx512 and amx stand for all of theirs")]
    Feature {
        /// What was asked for.
        name: String,
        /// All names.
        known: String,
    },
    /// Fewer than one thread asked for, or too many.
    #[error("{got} threads asked for; at least 1 and at most {max} are possible")]
    Threads {
        /// Asked for.
        got: usize,
        /// Possible.
        max: usize,
    },
}
