//! Kernel libraries for a build script: which ones a folder of kernels holds, and their binaries from Apple's compiler.
//!
//! A library is a `.metal` file, or a folder whose `kernel.sources` names the files that are stitched into one. It is compiled once for
//! every set of knobs that `variants.json` lists for it. The same list gives the table of texts, of which devices compile what
//! they need at run time, and the table of binaries.

mod discover;
mod table;
mod xcrun;

use std::io;
use std::path::{Path, PathBuf};

pub use discover::{Knobs, Library, libraries};
pub use table::Mode;
pub use xcrun::Xcrun;

/// Why a build cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder that cannot be read or written.
    #[error("{path}: {source}")]
    File {
        /// Where.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A `variants.json` that does not parse.
    #[error("{path}: {source}")]
    Variants {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A `kernel.sources` that names no file.
    #[error("{path}: names no source; write one path a line")]
    NoSource {
        /// The manifest.
        path: PathBuf,
    },
    /// A `kernel.sources` that names a file which is not there.
    #[error("{path}:{line}: {part:?} does not exist")]
    Part {
        /// The manifest.
        path: PathBuf,
        /// Line of it, from 1.
        line: usize,
        /// As it was written.
        part: String,
    },
    /// No compiler.
    #[error(
        "cannot start xcrun for {library}: {source}\nfeature built_kernels compiles kernels with Apple's compiler, which comes with \
         Xcode; on other systems leave it off, and kernels are compiled at run time (feature src_kernels, the default)"
    )]
    NoCompiler {
        /// The library that it was needed for.
        library: String,
        /// The system's reason.
        source: io::Error,
    },
    /// The compiler or the linker refused.
    #[error("{library}: {command} failed ({status})\n{stderr}")]
    Refused {
        /// The library.
        library: String,
        /// The whole command.
        command: String,
        /// How it ended.
        status: std::process::ExitStatus,
        /// What it said.
        stderr: String,
    },
    /// The linker ended well, but left nothing.
    #[error("{library}: {command} left {path} {what}")]
    Hollow {
        /// The library.
        library: String,
        /// The whole command.
        command: String,
        /// The file.
        path: PathBuf,
        /// `missing` or `empty`.
        what: &'static str,
    },
}

impl Error {
    fn file(path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        |source| Error::File { path, source }
    }
}

/// Finds the libraries below `root`, builds them where `mode` asks for it, and writes their table as Rust to `libraries.rs` in
/// `out`. Gives the files and folders that the table depends on.
///
/// # Errors
/// The first thing that stands against it.
pub fn write(root: &Path, out: &Path, mode: &Mode) -> Result<Vec<PathBuf>, Error> {
    let libraries = libraries(root)?;
    let text = table::text(&libraries, root, out, mode)?;
    let path = out.join("libraries.rs");
    std::fs::write(&path, text).map_err(Error::file(&path))?;
    Ok(discover::inputs(root, &libraries, mode))
}

/// As [`write()`], for the end of a build script of the package that lies in `root`: tells cargo what to watch, and turns an error into
/// one of the build.
pub fn run(root: &Path) {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    let built = std::env::var_os("CARGO_FEATURE_BUILT_KERNELS").is_some();
    let mode = if built { Mode::Built(Xcrun::default()) } else { Mode::Text };
    match write(root, &out, &mode) {
        Ok(inputs) => inputs.iter().for_each(|path| println!("cargo::rerun-if-changed={}", path.display())),
        Err(e) => e.to_string().lines().for_each(|line| println!("cargo::error={line}")),
    }
}
