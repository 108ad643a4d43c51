//! What can go wrong on a CUDA device.

use std::fmt;

use metallic_kernels::DType;

use super::driver::Code;

/// Why there is no CUDA device here, or what went wrong on one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The driver's library is not on this machine.
    #[error("no CUDA driver: {library} cannot be loaded ({reason}); install NVIDIA's driver for this machine's GPU")]
    NoDriver {
        /// Name of the library.
        library: &'static str,
        /// The system's reason.
        reason: String,
    },
    /// The driver is too old.
    #[error("the NVIDIA driver here supports CUDA {}.{}; {}.{} or newer is needed: update the driver", has.0, has.1, needs.0, needs.1)]
    OldDriver {
        /// Version that the driver supports.
        has: (i32, i32),
        /// Oldest version that does.
        needs: (i32, i32),
    },
    /// The driver is there, and sees no such device.
    #[error("CUDA device {asked} does not exist: the driver sees {count}")]
    NoDevice {
        /// Number asked for.
        asked: usize,
        /// Devices seen.
        count: usize,
    },
    /// The run-time compiler is not on this machine.
    #[error(
        "no CUDA run-time compiler: {tried} ({reason}); install the CUDA toolkit or the nvidia-cuda-nvrtc wheel, or name \
         the library in METALLIC_NVRTC"
    )]
    NoCompiler {
        /// What was looked for.
        tried: String,
        /// The system's reason.
        reason: String,
    },
    /// A vendor's library cannot be had.
    #[error(transparent)]
    NoLibrary(#[from] NoLibrary),
    /// A vendor's library cannot run a launch.
    #[error("{place}: {why}")]
    Unfit {
        /// The call.
        place: Place,
        /// Why it cannot.
        why: Unfit,
    },
    /// A call of a vendor's library failed.
    #[error("{call} failed with {status}{}", about(place))]
    Library {
        /// The call's name.
        call: &'static str,
        /// Its result.
        status: String,
        /// What it was about.
        place: Place,
    },
    /// A vendor's library has fewer ways to do this than the one asked for.
    #[error("algorithm {asked} was asked for; there are {count}: {place}")]
    NoAlgorithm {
        /// What was asked for.
        place: Place,
        /// Its number, from 0.
        asked: usize,
        /// How many there are.
        count: usize,
    },
    /// A call of the driver failed.
    #[error("{call} failed with {code}{}", about(place))]
    Call {
        /// The call's name, as NVIDIA documents it.
        call: &'static str,
        /// Its result.
        code: Code,
        /// What it was about.
        place: Place,
    },
    /// A call of the run-time compiler failed, apart from what is wrong with a program.
    #[error("{call} failed with {code}{}", about(place))]
    Compiler {
        /// The call's name.
        call: &'static str,
        /// Its result.
        code: String,
        /// What it was about.
        place: Place,
    },
    /// The kernels folder lacks a source.
    #[error(transparent)]
    Source(#[from] metallic_kernels::contract::SourceError),
    /// The front end does not take a source.
    #[error("{0}")]
    Front(#[from] metallic_msl::Error),
    /// A variant's launch geometry cannot be had.
    #[error(transparent)]
    Geometry(#[from] metallic_kernels::contract::GeometryError),
    /// A program does not compile.
    #[error("{place}: {message}{}", more(log))]
    Program {
        /// The first error's place: file and line of the kernel's author.
        place: Place,
        /// The first error.
        message: String,
        /// Everything that the compiler said.
        log: String,
    },
    /// The kernel compiled, and takes other arguments than the launch has.
    #[error("{place} takes {want}; the launch gives {got}")]
    Arguments {
        /// The kernel.
        place: Place,
        /// What the compiled kernel takes.
        want: String,
        /// What it would get.
        got: String,
    },
    /// The kernel cannot be launched so.
    #[error("{place}: {reason}")]
    Launch {
        /// The kernel.
        place: Place,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// As every device says it, of `what` it was doing.
    pub(super) fn during(self, what: &str) -> crate::Error {
        let device = super::NAME.to_owned();
        match self {
            Error::NoDriver { .. }
            | Error::OldDriver { .. }
            | Error::NoDevice { .. }
            | Error::NoCompiler { .. }
            | Error::NoLibrary(_) => crate::Error::Unavailable { device, reason: self.to_string() },
            other => crate::Error::Call { device, call: what.to_owned(), reason: other.to_string() },
        }
    }

    /// As every device says it, of a launch that cannot be prepared.
    pub(super) fn preparing(self, record: &crate::Record) -> crate::Error {
        let (device, op, variant) = (super::NAME.to_owned(), record.op.name, record.variant.id());
        match self {
            Error::Program { ref log, .. } => {
                crate::Error::Compile { device, op, variant, log: format!("{self}\n{log}") }
            }
            Error::Front(why) => crate::Error::Compile { device, op, variant, log: why.to_string() },
            Error::NoAlgorithm { asked, count, .. } => crate::Error::NoAlgorithm { device, op, variant, asked, count },
            other => other.during(&format!("preparing {op} variant {variant}")),
        }
    }

    /// The same error, said of `place` where it named none.
    pub(super) fn of(self, place: &Place) -> Error {
        match self {
            Error::Call { call, code, place: Place::Nowhere } => Error::Call { call, code, place: place.clone() },
            Error::Compiler { call, code, place: Place::Nowhere } => {
                Error::Compiler { call, code, place: place.clone() }
            }
            Error::Library { call, status, place: Place::Nowhere } => {
                Error::Library { call, status, place: place.clone() }
            }
            Error::NoAlgorithm { asked, count, place: Place::Nowhere } => {
                Error::NoAlgorithm { asked, count, place: place.clone() }
            }
            other => other,
        }
    }
}

/// A vendor's library that is not on this machine, or that the device was opened without.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no {library}: {reason}")]
pub struct NoLibrary {
    /// Name of the library.
    pub library: &'static str,
    /// Why it cannot be had.
    pub reason: String,
}

/// Why a vendor's library cannot run a launch.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// The variant names a library that no CUDA device has.
    #[error("a CUDA device has no such library")]
    Library,
    /// It is no product of matrices.
    #[error("the library multiplies matrices; it does no {op} with {operands} operands")]
    Op {
        /// The op.
        op: &'static str,
        /// Operands of the launch.
        operands: usize,
    },
    /// Operands of different types, or of one that the library does not know.
    #[error("the library takes operands of one type, not {w} weights and {act} activations")]
    Types {
        /// Type of the weights.
        w: DType,
        /// Type of the activations.
        act: DType,
    },
    /// A size or a stride that is too large.
    #[error("{0} is past what the library counts")]
    Size(usize),
    /// A bias, which the library's call does not add.
    #[error("cuBLAS adds no bias")]
    Bias,
}

/// What an error is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Place {
    /// No kernel.
    #[default]
    Nowhere,
    /// A kernel, by its entry, and the file that it is in.
    Kernel {
        /// Entry.
        entry: String,
        /// Its file.
        file: String,
    },
    /// Something among several launches.
    Among {
        /// How many.
        launches: usize,
    },
    /// A line of a file.
    Line {
        /// Entry that was compiled.
        entry: String,
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
    },
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Nowhere => Ok(()),
            Place::Kernel { entry, file } => write!(f, "kernel {entry} of {file}"),
            Place::Among { launches } => write!(f, "one of {launches} launches; Execution::Each tells which"),
            Place::Line { entry, file, line } => write!(f, "{file}:{line}: {entry}"),
        }
    }
}

fn about(place: &Place) -> String {
    if *place == Place::Nowhere { String::new() } else { format!(": {place}") }
}

fn more(log: &str) -> String {
    let errors = log.lines().filter(|l| l.contains("error")).count();
    if errors > 1 { format!(" (and {} more)", errors - 1) } else { String::new() }
}
