//! From a kernel to code that runs here: lowered, compiled, loaded.

use std::ffi::CString;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;
use std::sync::Mutex;

use libloading::Library;
use metallic_msl::{Access, AddressSpace, ArgKind, ConstantKey, Indirection, LowerOptions, Param, Target, Unit, Value};

use super::super::fault::Place;
use super::abi::{CHECKS, EntryFn, MslChecks, MslRuntime, RUNTIME};
use super::clang::{Build, Clang, ClangError};
use super::symbol::Sites;

/// Why a kernel cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ProgramError {
    /// The front end does not take it.
    #[error("{0}")]
    Source(#[from] metallic_msl::Error),
    /// The file has no such kernel.
    #[error("there is no kernel {wanted:?}; the file has {known}")]
    Entry {
        /// What was asked for.
        wanted: String,
        /// What there is.
        known: String,
    },
    /// The C++ compiler is missing or does not take it.
    #[error("{0}")]
    Compile(#[from] ClangError),
    /// What was compiled cannot be loaded.
    #[error("cannot load a compiled kernel: {0}")]
    Load(String),
}

/// What a kernel needs at one index.
#[derive(Clone, Debug)]
pub struct Argument {
    /// Buffer or threadgroup index.
    pub index: u32,
    /// Its name in the source.
    pub name: String,
    /// Where it is declared.
    pub place: Option<Place>,
    /// Whether it is threadgroup memory.
    pub kind: ArgumentKind,
    /// Bytes of one element, where known.
    pub element: Option<usize>,
}

/// The kinds of argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArgumentKind {
    /// A buffer that the kernel writes, or may write.
    Writable,
    /// A buffer that it only reads: any number of elements.
    ReadOnly,
    /// One element that it only reads.
    Reference,
    /// Threadgroup memory of a length that the host sets.
    Threadgroup,
}

/// A kernel that is ready to run.
pub struct Program {
    pub(super) name: String,
    pub(super) place: Option<Place>,
    pub(super) arguments: Vec<Argument>,
    pub(super) max_threads: Option<u32>,
    pub(super) module: Module,
}

/// A kernel in C++, as the front end lowers it.
pub struct Text<'a> {
    /// The whole C++ text.
    pub text: &'a str,
    /// Name of the entry in it.
    pub symbol: &'a str,
    /// Name of the kernel, for reports.
    pub name: &'a str,
    /// Where it is declared.
    pub place: Option<Place>,
    /// What it needs.
    pub arguments: Vec<Argument>,
    /// The most threads that its threadgroups may have.
    pub max_threads: Option<u32>,
}

impl Program {
    /// Compiles `entry` of `unit` with these values of function constants.
    ///
    /// # Errors
    /// No such entry, a source that the front end or clang does not take, no clang.
    pub(super) fn new(
        unit: &Unit,
        entry: &str,
        constants: &[(ConstantKey, Value)],
        build: Build,
    ) -> Result<Program, ProgramError> {
        let Some(declared) = unit.entry(entry) else {
            let known: Vec<_> = unit.entries().iter().map(|e| e.name.as_str()).collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            return Err(ProgramError::Entry { wanted: entry.to_owned(), known });
        };
        let lowered = unit.lower(Target::Host, &LowerOptions { entry, constants, inline_buffers: &[] })?;
        let place = |p: &metallic_msl::Place| Some(Place { file: p.file.to_string(), line: p.line });
        let needed = |wanted: &ArgKind| {
            lowered.params.iter().any(|p| match (p, wanted) {
                (Param::Buffer { index } | Param::Inline { index, .. }, ArgKind::Buffer(b)) => *index == b.index,
                (Param::Threadgroup { index, .. }, ArgKind::Threadgroup { index: i, .. }) => index == i,
                _ => false,
            })
        };
        let arguments = declared.args.iter().filter(|a| needed(&a.kind)).filter_map(|a| {
            let (index, kind, element) = match &a.kind {
                ArgKind::Buffer(b) => {
                    let reads = b.access == Access::Read || b.space == AddressSpace::Constant;
                    let kind = match (reads, b.by == Indirection::Reference) {
                        (true, true) => ArgumentKind::Reference,
                        (true, false) => ArgumentKind::ReadOnly,
                        (false, _) => ArgumentKind::Writable,
                    };
                    (b.index, kind, b.element.size)
                }
                ArgKind::Threadgroup { index, element } => (*index, ArgumentKind::Threadgroup, element.size),
                ArgKind::Builtin { .. } | ArgKind::Unsupported { .. } => return None,
            };
            Some(Argument { index, name: a.name.clone(), place: place(&a.place), kind, element })
        });
        let text = Text {
            text: &lowered.text,
            symbol: &lowered.symbol,
            name: entry,
            place: place(&declared.place),
            arguments: arguments.collect(),
            max_threads: lowered.max_threads.or(declared.max_threads),
        };
        Program::from_text(text, build)
    }

    /// Compiles a kernel that is C++ already.
    ///
    /// # Errors
    /// As [`Program::new`].
    pub(super) fn from_text(text: Text<'_>, build: Build) -> Result<Program, ProgramError> {
        let library = Clang::find()?.build(text.text, build)?;
        let module = Module::load(&library, text.symbol, build)?;
        Ok(Program {
            name: text.name.to_owned(),
            place: text.place,
            arguments: text.arguments,
            max_threads: text.max_threads,
            module,
        })
    }

    /// Name of the kernel.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it needs.
    pub fn arguments(&self) -> &[Argument] {
        &self.arguments
    }
}

/// A loaded library. Its file lives in memory alone, for as long as the library does: the loader knows libraries by name.
pub(super) struct Module {
    pub(super) entry: EntryFn,
    /// Taken by the launch that runs.
    pub(super) sites: Mutex<Option<Sites>>,
    #[allow(dead_code)]
    library: Library,
    #[allow(dead_code)]
    file: File,
}

impl Module {
    fn load(bytes: &[u8], symbol: &str, build: Build) -> Result<Module, ProgramError> {
        let failed = |e: &dyn std::fmt::Display| ProgramError::Load(e.to_string());
        // SAFETY: asks for a new file; the name is a C string.
        let fd = unsafe { libc::memfd_create(c"metallic-kernel".as_ptr(), libc::MFD_CLOEXEC) };
        if fd < 0 {
            return Err(failed(&std::io::Error::last_os_error()));
        }
        // SAFETY: the descriptor is new, and owned by nobody else.
        let mut file = unsafe { File::from_raw_fd(fd) };
        file.write_all(bytes).map_err(|e| failed(&e))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        // SAFETY: the library was built here from a kernel; it has no initialisers but the shim's empty one.
        let library = unsafe { Library::new(&path) }.map_err(|e| failed(&e))?;
        let name = CString::new(symbol).map_err(|e| failed(&e))?;
        // SAFETY: types are those of `host_abi.h` and `shim.cpp`, which the library is compiled from.
        unsafe {
            // The instrumentation first: whatever runs after it makes its calls.
            if build == Build::Checked {
                let bind = library
                    .get::<unsafe extern "C" fn(*const MslChecks)>(c"msl_bind_checks".to_bytes_with_nul())
                    .map_err(|e| failed(&e))?;
                bind(&CHECKS);
            }
            let bind = library
                .get::<unsafe extern "C" fn(*const MslRuntime)>(c"msl_bind".to_bytes_with_nul())
                .map_err(|e| failed(&e))?;
            bind(&RUNTIME);
            let entry = *library.get::<EntryFn>(name.as_bytes_with_nul()).map_err(|e| failed(&e))?;
            let sites = Mutex::new(Some(Sites::new(&path, base_of(entry as usize))));
            Ok(Module { entry, sites, library, file })
        }
    }
}

/// Where the library that holds `address` is loaded.
fn base_of(address: usize) -> usize {
    // SAFETY: a zeroed Dl_info is valid, and is only written.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        libc::dladdr(address as *const _, &mut info);
        info.dli_fbase as usize
    }
}
