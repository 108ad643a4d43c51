//! NVRTC, the compiler from CUDA C++ to machine code, loaded from wherever this machine has it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use libloading::Library;

use super::driver::reason;
use super::error::{Error, Place};
use super::locate::{MAJORS, candidates};

type Status = c_int;
type Raw = *mut c_void;

/// A program to compile.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// File that messages name where the text has no `#line`.
    pub file: &'a str,
    /// What messages call the kernel.
    pub entry: &'a str,
    /// Its name in the text, where it is `extern "C"`.
    pub symbol: &'a str,
    /// The text.
    pub text: &'a str,
    /// Compiler options besides the architecture, e.g. `-DTG=256`.
    pub options: &'a [String],
    /// Architecture, e.g. `sm_90a`.
    pub arch: &'a str,
}

impl Source<'_> {
    /// This program, for errors.
    pub fn place(&self) -> Place {
        Place::Kernel { entry: self.entry.to_owned(), file: self.file.to_owned() }
    }
}

/// Machine code, and what the compiler said about it.
#[derive(Clone, Debug)]
pub struct Output {
    /// The cubin.
    pub cubin: Vec<u8>,
    /// Warnings; empty where there are none.
    pub log: String,
}

/// The loaded compiler.
pub struct Nvrtc {
    path: PathBuf,
    version: (i32, i32),
    include: Vec<PathBuf>,
    calls: Calls,
    _builtins: Option<Library>,
    /// The functions of `calls` lie in it.
    _library: Library,
}

struct Calls {
    error_string: unsafe extern "C" fn(Status) -> *const c_char,
    create: unsafe extern "C" fn(
        *mut Raw,
        *const c_char,
        *const c_char,
        c_int,
        *const *const c_char,
        *const *const c_char,
    ) -> Status,
    destroy: unsafe extern "C" fn(*mut Raw) -> Status,
    compile: unsafe extern "C" fn(Raw, c_int, *const *const c_char) -> Status,
    cubin_size: unsafe extern "C" fn(Raw, *mut usize) -> Status,
    cubin: unsafe extern "C" fn(Raw, *mut c_char) -> Status,
    log_size: unsafe extern "C" fn(Raw, *mut usize) -> Status,
    log: unsafe extern "C" fn(Raw, *mut c_char) -> Status,
    version: unsafe extern "C" fn(*mut c_int, *mut c_int) -> Status,
}

/// Why a file is no compiler.
#[derive(Debug, thiserror::Error)]
enum NoNvrtc {
    #[error("{}", reason(.0))]
    Load(#[from] libloading::Error),
    #[error("nvrtcVersion failed with {0}")]
    Version(String),
}

/// NVRTC_ERROR_COMPILATION.
const COMPILATION: Status = 6;

impl Nvrtc {
    /// Loads the compiler: the library that `METALLIC_NVRTC` names where that is set, else the first that the system's loader
    /// or a toolkit's usual folder has.
    ///
    /// # Errors
    /// [`Error::NoCompiler`] where there is none.
    pub fn load() -> Result<Nvrtc, Error> {
        let chosen = std::env::var_os("METALLIC_NVRTC").filter(|v| !v.is_empty()).map(PathBuf::from);
        Nvrtc::first_of(&chosen.map_or_else(|| candidates(&MAJORS.map(name)), |path| vec![path]))
    }

    /// Loads the first of `paths` that is a compiler.
    ///
    /// # Errors
    /// [`Error::NoCompiler`] where none is.
    pub fn first_of(paths: &[PathBuf]) -> Result<Nvrtc, Error> {
        let mut reason = "no library was looked for".to_owned();
        for path in paths {
            match Nvrtc::open(path) {
                Ok(found) => return Ok(found),
                Err(why) => reason = why.to_string(),
            }
        }
        let tried = match paths {
            [one] => format!("{} cannot be loaded", one.display()),
            _ => format!("{} is not in the loader's path nor in a toolkit's folder", name(MAJORS[0])),
        };
        Err(Error::NoCompiler { tried, reason })
    }

    fn open(path: &Path) -> Result<Nvrtc, NoNvrtc> {
        // SAFETY: loading runs the library's own initialisers; it is NVIDIA's compiler or what the user named as that.
        let library = unsafe { Library::new(path) }?;
        // SAFETY: each name has the type that NVIDIA's nvrtc.h gives it.
        let calls = unsafe { Calls::of(&library) }?;
        let mut version = (0, 0);
        // SAFETY: two integers to write.
        let status = unsafe { (calls.version)(&mut version.0, &mut version.1) };
        if status != 0 {
            return Err(NoNvrtc::Version(calls.name(status)));
        }
        let path = loaded_from(calls.version as *const c_void).unwrap_or_else(|| path.to_owned());
        let include = headers(&path);
        Ok(Nvrtc { _builtins: builtins(&path, version), include, path, version, calls, _library: library })
    }

    /// Major and minor version.
    pub fn version(&self) -> (i32, i32) {
        self.version
    }

    /// The library's file, as far as the system tells it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Compiles for an architecture, to machine code.
    ///
    /// # Errors
    /// [`Error::Program`] with the first error's file and line; [`Error::Compiler`] where the compiler itself fails.
    pub fn compile(&self, source: &Source<'_>) -> Result<Output, Error> {
        let c = &self.calls;
        let fail = |call, status| Error::Compiler { call, code: c.name(status), place: source.place() };
        let inner = |_| Error::Launch { place: source.place(), reason: "its text holds a zero byte".to_owned() };
        let text = CString::new(source.text).map_err(inner)?;
        let file = CString::new(source.file).map_err(inner)?;
        let options =
            self.options(source).into_iter().map(CString::new).collect::<Result<Vec<_>, _>>().map_err(inner)?;
        let pointers: Vec<_> = options.iter().map(|o| o.as_ptr()).collect();
        let mut program = Program { calls: c, raw: std::ptr::null_mut() };
        let none = std::ptr::null();
        // SAFETY: strings end in zero and outlive the calls; sizes are those that NVRTC gave.
        unsafe {
            check((c.create)(&mut program.raw, text.as_ptr(), file.as_ptr(), 0, none, none))
                .map_err(|s| fail("nvrtcCreateProgram", s))?;
            let done = check((c.compile)(program.raw, pointers.len() as c_int, pointers.as_ptr()));
            let log = program.text(c.log_size, c.log).map_err(|s| fail("nvrtcGetProgramLog", s))?;
            let log = String::from_utf8_lossy(&log).trim_end_matches('\0').trim_end().to_owned();
            match done {
                Err(COMPILATION) => return Err(rejected(source, log)),
                Err(status) => {
                    let code = format!("{} {log}", c.name(status));
                    return Err(Error::Compiler { call: "nvrtcCompileProgram", code, place: source.place() });
                }
                Ok(()) => {}
            }
            let cubin = program.text(c.cubin_size, c.cubin).map_err(|s| fail("nvrtcGetCUBIN", s))?;
            Ok(Output { cubin, log })
        }
    }

    /// Every option that `source` is compiled with.
    pub fn options(&self, source: &Source<'_>) -> Vec<String> {
        let mut all = vec![
            format!("--gpu-architecture={}", source.arch),
            "--std=c++17".to_owned(),
            "--generate-line-info".to_owned(),
        ];
        // Lowered texts hold all they need, and so what they compile to does not depend on where a toolkit lies.
        if source.text.contains("#include") {
            all.extend(self.include.iter().map(|p| format!("--include-path={}", p.display())));
        }
        all.extend_from_slice(source.options);
        all
    }
}

impl Calls {
    /// # Safety
    /// `library` is NVRTC.
    unsafe fn of(library: &Library) -> Result<Calls, libloading::Error> {
        // SAFETY: the caller's promise; the types are those of nvrtc.h.
        unsafe {
            Ok(Calls {
                error_string: *library.get(b"nvrtcGetErrorString")?,
                create: *library.get(b"nvrtcCreateProgram")?,
                destroy: *library.get(b"nvrtcDestroyProgram")?,
                compile: *library.get(b"nvrtcCompileProgram")?,
                cubin_size: *library.get(b"nvrtcGetCUBINSize")?,
                cubin: *library.get(b"nvrtcGetCUBIN")?,
                log_size: *library.get(b"nvrtcGetProgramLogSize")?,
                log: *library.get(b"nvrtcGetProgramLog")?,
                version: *library.get(b"nvrtcVersion")?,
            })
        }
    }

    fn name(&self, status: Status) -> String {
        // SAFETY: NVRTC answers any number with a string that lives as long as the library.
        unsafe { CStr::from_ptr((self.error_string)(status)) }.to_string_lossy().into_owned()
    }
}

/// A program of NVRTC's, destroyed when it goes.
struct Program<'a> {
    calls: &'a Calls,
    raw: Raw,
}

impl Program<'_> {
    /// # Safety
    /// `size` and `get` are a pair of NVRTC's calls, and the program exists.
    unsafe fn text(
        &self,
        size: unsafe extern "C" fn(Raw, *mut usize) -> Status,
        get: unsafe extern "C" fn(Raw, *mut c_char) -> Status,
    ) -> Result<Vec<u8>, Status> {
        let mut len = 0;
        // SAFETY: the caller's promise, and as many bytes as NVRTC asked for.
        unsafe {
            check(size(self.raw, &mut len))?;
            let mut bytes = vec![0u8; len];
            check(get(self.raw, bytes.as_mut_ptr().cast()))?;
            Ok(bytes)
        }
    }
}

impl Drop for Program<'_> {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: made by nvrtcCreateProgram, and used no more.
            unsafe { (self.calls.destroy)(&mut self.raw) };
        }
    }
}

fn check(status: Status) -> Result<(), Status> {
    if status == 0 { Ok(()) } else { Err(status) }
}

/// The first error of a log, at its place: `file(12): error: what`.
fn rejected(source: &Source<'_>, log: String) -> Error {
    let first = log.lines().find_map(|line| {
        let (place, message) = line.split_once(": error").or_else(|| line.split_once(": catastrophic error"))?;
        let (file, number) = place.strip_suffix(')')?.rsplit_once('(')?;
        let message = message.split_once(": ").map_or(message, |(_, m)| m);
        Some((file.to_owned(), number.parse().ok()?, message.trim().to_owned()))
    });
    let entry = source.entry.to_owned();
    let (place, message) = match first {
        Some((file, line, message)) => (Place::Line { entry, file, line }, message),
        None => (source.place(), log.lines().next().unwrap_or("rejected without a word").to_owned()),
    };
    Error::Program { place, message, log }
}

fn name(major: u32) -> String {
    if cfg!(target_os = "windows") { format!("nvrtc64_{major}0_0.dll") } else { format!("libnvrtc.so.{major}") }
}

/// The file that a loaded function comes from.
#[cfg(unix)]
fn loaded_from(function: *const c_void) -> Option<PathBuf> {
    use std::os::unix::ffi::OsStrExt;
    // SAFETY: an all-zero Dl_info is valid, and dladdr only writes it.
    let info = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        (libc::dladdr(function, &mut info) != 0 && !info.dli_fname.is_null()).then_some(info)?
    };
    // SAFETY: a string of the loader's, which lives as long as the library is loaded.
    let name = unsafe { CStr::from_ptr(info.dli_fname) };
    Some(PathBuf::from(std::ffi::OsStr::from_bytes(name.to_bytes())))
}

#[cfg(not(unix))]
fn loaded_from(_: *const c_void) -> Option<PathBuf> {
    None
}

/// A part of NVRTC that it loads by name alone, and finds where it is loaded already: from the wheels' folder, which is not in
/// the loader's path, it finds it only so. Absent where it has another name; compiling then says what is missing.
fn builtins(library: &Path, (major, minor): (i32, i32)) -> Option<Library> {
    let path = library.parent()?.join(format!("libnvrtc-builtins.so.{major}.{minor}"));
    // SAFETY: a library of data and a few functions, NVIDIA's as NVRTC itself.
    path.is_file().then(|| unsafe { Library::new(&path) })?.ok()
}

/// The toolkit's headers, where they lie beside the library as NVIDIA's packages have them.
fn headers(library: &Path) -> Vec<PathBuf> {
    let beside = library.canonicalize().ok().and_then(|p| Some(p.parent()?.parent()?.join("include")));
    let homes =
        ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(std::env::var_os).map(|h| PathBuf::from(h).join("include"));
    let usual = PathBuf::from("/usr/local/cuda/include");
    let mut all = beside.into_iter().chain(homes).chain([usual]);
    let found = all.find(|p| p.join("cuda_fp16.h").is_file());
    // From CUDA 13 on, what those headers include lies in a folder of its own.
    found.into_iter().flat_map(|p| [p.join("cccl"), p]).filter(|p| p.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::{Nvrtc, Source};
    use crate::cuda::{Error, Place};

    /// The compiler, or a loud word that this test did not run.
    fn nvrtc() -> Option<Nvrtc> {
        Nvrtc::load().inspect_err(|why| eprintln!("REFUSED: {why}")).ok()
    }

    fn source<'a>(text: &'a str, options: &'a [String]) -> Source<'a> {
        Source { file: "twice.cu", entry: "twice", symbol: "twice", text, options, arch: "sm_90a" }
    }

    const TWICE: &str = "extern \"C\" __global__ void twice(float *y) { y[threadIdx.x] *= FACTOR; }";

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let path = PathBuf::from("/nowhere/libnvrtc.so.13");
        let Err(Error::NoCompiler { tried, .. }) = Nvrtc::first_of(std::slice::from_ref(&path)) else {
            panic!("loaded {}", path.display())
        };
        assert!(tried.contains("/nowhere/libnvrtc.so.13"), "{tried}");
    }

    #[test]
    fn text_becomes_machine_code_without_a_gpu() {
        let Some(nvrtc) = nvrtc() else { return };
        let options = ["-DFACTOR=2.0f".to_owned()];
        let out = nvrtc.compile(&source(TWICE, &options)).unwrap();
        assert_eq!(&out.cubin[..4], b"\x7fELF");
        assert!(out.log.is_empty(), "{}", out.log);
    }

    #[test]
    fn an_error_names_the_authors_line() {
        let Some(nvrtc) = nvrtc() else { return };
        let text = format!("#line 41 \"softmax/vec.metal\"\n{TWICE}");
        let Err(Error::Program { place, message, .. }) = nvrtc.compile(&source(&text, &[])) else {
            panic!("compiled without FACTOR")
        };
        let want = Place::Line { entry: "twice".to_owned(), file: "softmax/vec.metal".to_owned(), line: 41 };
        assert_eq!(place, want);
        assert!(message.contains("FACTOR"), "{message}");
    }

    #[test]
    fn an_option_that_does_not_exist_is_the_compilers_error() {
        let Some(nvrtc) = nvrtc() else { return };
        let options = ["--no-such-option".to_owned()];
        let got = nvrtc.compile(&source(TWICE, &options));
        assert!(matches!(got, Err(Error::Compiler { call: "nvrtcCompileProgram", .. })), "{got:?}");
    }
}
