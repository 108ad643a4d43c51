//! What can go wrong on a CUDA device.

use std::fmt;

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
    /// A call of the driver failed.
    #[error("{call} failed with {code}{place}")]
    Call {
        /// The call's name, as NVIDIA documents it.
        call: &'static str,
        /// Its result.
        code: Code,
        /// What it was about.
        place: Place,
    },
    /// A call of the run-time compiler failed, apart from what is wrong with a program.
    #[error("{call} failed with {code}{place}")]
    Compiler {
        /// The call's name.
        call: &'static str,
        /// Its result.
        code: String,
        /// What it was about.
        place: Place,
    },
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
    /// The launch cannot be made from the variant.
    #[error("{place}: {reason}")]
    Launch {
        /// The kernel.
        place: Place,
        /// What is wrong.
        reason: String,
    },
}

impl Error {
    /// The same error, said of `place` where it named none.
    pub(super) fn of(self, place: &Place) -> Error {
        match self {
            Error::Call { call, code, place: Place::Nowhere } => Error::Call { call, code, place: place.clone() },
            Error::Compiler { call, code, place: Place::Nowhere } => {
                Error::Compiler { call, code, place: place.clone() }
            }
            other => other,
        }
    }
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
            Place::Kernel { entry, file } => write!(f, ": kernel {entry} of {file}"),
            Place::Line { entry, file, line } => write!(f, "{file}:{line}: kernel {entry}"),
        }
    }
}

fn more(log: &str) -> String {
    let errors = log.lines().filter(|l| l.contains("error")).count();
    if errors > 1 { format!(" (and {} more)", errors - 1) } else { String::new() }
}
