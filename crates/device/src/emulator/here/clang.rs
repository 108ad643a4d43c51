//! The C++ compiler that kernels are built with: where it is found, how it is called, and the cache of what it made.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::{env, fs, io};

use crate::cache::{Cache, Key};

/// What instruments and hooks the code of a checked build; appended to the lowered text.
const SHIM: &str = include_str!("shim.cpp");

/// Why a kernel could not be built.
#[derive(Debug, thiserror::Error)]
pub enum ClangError {
    /// No compiler on this machine.
    #[error("{0}")]
    Missing(String),
    /// The compiler says no.
    #[error("{log}")]
    Rejected {
        /// Its words, with places in the user's file.
        log: String,
    },
    /// A file of the build could not be written or read, or the compiler could not be started.
    #[error("cannot {what} {}: {source}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On which file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

/// How a kernel is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Build {
    /// Every access, division and step is told to the emulator.
    Checked,
    /// As fast as this processor runs it.
    Fast,
}

/// A clang that works.
#[derive(Clone, Debug)]
pub struct Clang {
    command: Vec<OsString>,
    version: String,
}

/// How to get a compiler, for refusals.
const INSTALL: &str = "install clang 14 or newer (apt install clang, dnf install clang, brew install llvm) or, without root, \
                       pip install ziglang; or name one with METALLIC_CLANG";

impl Clang {
    /// The compiler of this machine: `METALLIC_CLANG`, else clang++ or clang++-N on the PATH, else the `ziglang` wheel.
    ///
    /// # Errors
    /// [`ClangError::Missing`], which says what to install.
    pub fn find() -> Result<Clang, ClangError> {
        static FOUND: OnceLock<Option<Clang>> = OnceLock::new();
        if let Some(named) = env::var_os("METALLIC_CLANG").filter(|n| !n.is_empty()) {
            // A path may hold spaces; otherwise they separate a command from its arguments.
            let whole = Path::new(&named).exists().then(|| vec![named.clone()]);
            let words = || named.to_string_lossy().split_whitespace().map(OsString::from).collect();
            return Clang::probe(whole.unwrap_or_else(words)).ok_or_else(|| {
                ClangError::Missing(format!(
                    "METALLIC_CLANG is {named:?}, which is not a clang that runs; unset it, or {INSTALL}"
                ))
            });
        }
        FOUND
            .get_or_init(|| {
                let numbered = (14..=30).rev().map(|n| vec![OsString::from(format!("clang++-{n}"))]);
                let python = ["python3", "python"].map(|p| [p, "-m", "ziglang", "c++"].map(OsString::from).to_vec());
                std::iter::once(vec![OsString::from("clang++")]).chain(numbered).chain(python).find_map(Clang::probe)
            })
            .clone()
            .ok_or_else(|| ClangError::Missing(format!("no clang on this machine; {INSTALL}")))
    }

    fn probe(command: Vec<OsString>) -> Option<Clang> {
        let (program, arguments) = command.split_first()?;
        let out = Command::new(program).args(arguments).arg("--version").output().ok()?;
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        (out.status.success() && text.contains("clang"))
            .then(|| Clang { command, version: text.lines().next().unwrap_or_default().to_owned() })
    }

    /// Its own first line about itself.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Builds `text` into a shared library, or finds it in the cache. Gives the library's bytes.
    ///
    /// # Errors
    /// What the compiler says, or a file that cannot be written.
    pub fn build(&self, text: &str, build: Build) -> Result<Vec<u8>, ClangError> {
        let whole = match build {
            Build::Checked => format!("{text}\n#line 1 \"metallic-shim.cpp\"\n{SHIM}"),
            Build::Fast => text.to_owned(),
        };
        let cache = Cache::user("emulator");
        let key = self.key(&whole, build);
        if let Some(library) = cache.as_ref().and_then(|c| c.load(&key)) {
            return Ok(library);
        }
        let io = |what, path: &Path| {
            let path = path.to_owned();
            move |source| ClangError::Io { what, path, source }
        };
        let scratch = Scratch::new().map_err(io("create a folder in", &env::temp_dir()))?;
        let file = |name| scratch.0.join(name);
        let (source, object, linked) = (file("kernel.cpp"), file("kernel.o"), file("kernel.so"));
        fs::write(&source, &whole).map_err(io("write", &source))?;
        let mut compile = self.command();
        compile.args(COMMON).args(match build {
            Build::Checked => CHECKED,
            Build::Fast => FAST,
        });
        self.finish(compile.arg("-c").arg(&source).arg("-o").arg(&object))?;
        let mut link = self.command();
        self.finish(link.args(LINK).arg(&linked).arg(&object).arg("-lm"))?;
        let library = fs::read(&linked).map_err(io("read", &linked))?;
        // A cache that cannot be written costs time, and nothing else.
        if let Some(cache) = cache {
            let _ = cache.store(&key, &library);
        }
        Ok(library)
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]);
        command
    }

    fn finish(&self, command: &mut Command) -> Result<Output, ClangError> {
        let program = PathBuf::from(&self.command[0]);
        let out = command.output().map_err(|source| ClangError::Io { what: "start", path: program, source })?;
        if !out.status.success() {
            return Err(ClangError::Rejected { log: String::from_utf8_lossy(&out.stderr).into_owned() });
        }
        Ok(out)
    }

    fn key(&self, text: &str, build: Build) -> Key {
        let (flags, processor) = match build {
            Build::Checked => (CHECKED, ""),
            Build::Fast => (FAST, host_processor()),
        };
        let fixed = [text, &self.version, std::env::consts::ARCH, processor];
        Key::of(fixed.iter().chain(COMMON).chain(flags).map(|s| s.as_bytes()))
    }
}

const COMMON: &[&str] = &[
    "-x",
    "c++",
    "-std=c++17",
    "-fPIC",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-strict-aliasing",
    "-fno-finite-loops",
    "-fwrapv",
    "-fsigned-char",
    "-ffp-contract=off",
    "-fno-stack-protector",
    "-fstack-clash-protection",
    "-ferror-limit=20",
    "-fno-caret-diagnostics",
    "-w",
];

/// Instrumentation without its runtime: the shim defines what it calls. Measured against ThreadSanitizer's and the coverage
/// callbacks, AddressSanitizer's are the only ones that tell accesses of every size and copies of structs.
const CHECKED: &[&str] = &[
    "-O1",
    "-gline-tables-only",
    "-fdebug-compilation-dir=/metallic-kernel",
    "-fno-omit-frame-pointer",
    "-fno-optimize-sibling-calls",
    "-fsanitize=address,array-bounds,integer-divide-by-zero,alignment",
    "-fsanitize-recover=all",
    "-fsanitize-coverage=bb,no-prune,trace-pc",
    "-mllvm",
    "-asan-instrumentation-with-call-threshold=0",
    "-mllvm",
    "-asan-stack=0",
    "-mllvm",
    "-asan-globals=0",
    "-mllvm",
    "-asan-opt-same-temp=0",
    "-mllvm",
    "-asan-guard-against-version-mismatch=0",
    "-mllvm",
    "-asan-use-after-scope=0",
];

const LINK: &[&str] = &["-shared", "-nostdlib", "-o"];

const FAST: &[&str] = &["-O2", "-march=native", "-gline-tables-only", "-fno-math-errno"];

/// What `-march=native` stands for on this machine, so that a cache shared between machines keeps them apart.
fn host_processor() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let wanted = |l: &&str| l.starts_with("flags") || l.starts_with("Features") || l.starts_with("model name");
        let mut lines: Vec<&str> = text.lines().filter(wanted).collect();
        lines.dedup();
        lines.truncate(2);
        lines.join("\n")
    })
}

/// A folder of one build, gone when it is done.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> io::Result<Scratch> {
        use std::sync::atomic::{AtomicU64, Ordering};
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("metallic-build-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = env::temp_dir().join(name);
        fs::create_dir(&path)?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
