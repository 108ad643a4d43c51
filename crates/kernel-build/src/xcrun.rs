//! Apple's compiler and linker, reached by `xcrun`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::{Error, Knobs};

/// How Apple's tools are called.
#[derive(Clone, Debug, Default)]
pub struct Xcrun {
    /// Where `xcrun` is looked for; the environment's `PATH` where it is `None`.
    pub path: Option<OsString>,
}

/// One binary to make.
pub(crate) struct Job<'a> {
    /// The library's name, for errors.
    pub library: &'a str,
    /// Its text.
    pub source: &'a Path,
    /// Folders that headers are looked for in, after the source's own.
    pub include: &'a [PathBuf],
    /// Macros.
    pub knobs: &'a Knobs,
    /// Path of the binary without its extension.
    pub stem: &'a Path,
}

impl Xcrun {
    /// Compiles and links one library. Gives the path of the binary.
    pub(crate) fn build(&self, job: &Job<'_>) -> Result<PathBuf, Error> {
        let (air, metallib) = (job.stem.with_extension("air"), job.stem.with_extension("metallib"));
        // Metal 3.1 is the first language with bfloat; arithmetic stays as it is written, as at run time.
        let mut compile = self.tool("metal");
        compile.args(["-std=metal3.1", "-fno-fast-math"]);
        for folder in job.include {
            compile.arg("-I").arg(folder);
        }
        for (name, value) in job.knobs {
            compile.arg(format!("-D{name}={value}"));
        }
        compile.arg("-c").arg(job.source).arg("-o").arg(&air);
        run(job.library, compile)?;
        let mut link = self.tool("metallib");
        link.arg(&air).arg("-o").arg(&metallib);
        // A binary of an earlier build must not pass for this one's.
        let _ = std::fs::remove_file(&metallib);
        let command = format!("{link:?}");
        run(job.library, link)?;
        let what = match std::fs::metadata(&metallib) {
            Ok(file) if file.len() > 0 => return Ok(metallib),
            Ok(_) => "empty",
            Err(_) => "missing",
        };
        Err(Error::Hollow { library: job.library.to_owned(), command, path: metallib, what })
    }

    fn tool(&self, name: &str) -> Command {
        let mut command = Command::new("xcrun");
        if let Some(path) = &self.path {
            command.env("PATH", path);
        }
        command.args(["-sdk", "macosx", name]);
        command
    }
}

fn run(library: &str, mut command: Command) -> Result<(), Error> {
    let started = command.output();
    let Output { status, stderr, .. } =
        started.map_err(|source| Error::NoCompiler { library: library.to_owned(), source })?;
    if status.success() {
        return Ok(());
    }
    let stderr = String::from_utf8_lossy(&stderr).trim_end().to_owned();
    Err(Error::Refused { library: library.to_owned(), command: format!("{command:?}"), status, stderr })
}
