//! The compilers that lowered text is for: clang, and NVRTC where this machine has it.

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use libloading::Library;

/// Checks host text with clang. `Err` holds the compiler's messages; `None` means that there is no clang.
pub fn host(text: &str) -> Option<Result<(), String>> {
    let compiler = std::env::var("METALLIC_CLANG").unwrap_or_else(|_| "clang++".into());
    let mut child = Command::new(&compiler)
        .args([
            "-std=c++17",
            "-fsigned-char",
            "-fsyntax-only",
            "-Wno-everything",
            "-fno-caret-diagnostics",
            "-x",
            "c++",
            "-",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take()?.write_all(text.as_bytes()).ok()?;
    let output = child.wait_with_output().ok()?;
    let messages = String::from_utf8_lossy(&output.stderr).into_owned();
    Some(if output.status.success() { Ok(()) } else { Err(messages) })
}

type Status = c_int;

/// NVRTC, loaded.
pub struct Nvrtc {
    library: Library,
}

/// Where the library may lie besides the loader's own paths.
fn places() -> Vec<PathBuf> {
    let mut list: Vec<PathBuf> = std::env::var_os("METALLIC_NVRTC").map(PathBuf::from).into_iter().collect();
    list.extend(["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"].map(PathBuf::from));
    list.push("/usr/local/cuda/lib64/libnvrtc.so".into());
    list
}

impl Nvrtc {
    pub fn load() -> Option<Nvrtc> {
        places().into_iter().find_map(|path| {
            // The part that NVRTC loads by itself lies beside it, where no path of the loader leads.
            if let Some(folder) = path.parent().filter(|f| f.is_dir()) {
                for file in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                    let name = file.file_name().to_string_lossy().into_owned();
                    if name.starts_with("libnvrtc-builtins.so") {
                        // SAFETY: the library's initializers do nothing that this process depends on.
                        std::mem::forget(unsafe { Library::new(file.path()) });
                    }
                }
            }
            // SAFETY: as above.
            let library = unsafe { Library::new(&path) }.ok()?;
            Some(Nvrtc { library })
        })
    }

    /// Compiles CUDA text for `sm_90a`. `Err` holds the compiler's messages.
    pub fn compile(&self, text: &str) -> Result<(), String> {
        self.ptx(text, "sm_90a").map(drop)
    }

    /// The PTX of CUDA text for `architecture`. `Err` holds the compiler's messages.
    pub fn ptx(&self, text: &str, architecture: &str) -> Result<String, String> {
        let text = CString::new(text).map_err(|e| e.to_string())?;
        let architecture = format!("-arch={architecture}");
        let options = ["-std=c++17", "-default-device", &architecture].map(|o| CString::new(o).unwrap_or_default());
        let pointers: Vec<*const c_char> = options.iter().map(|o| o.as_ptr()).collect();
        let mut program: *mut c_void = std::ptr::null_mut();
        // SAFETY: the signatures are those of nvrtc.h; every pointer lives through its call.
        unsafe {
            let create: libloading::Symbol<
                unsafe extern "C" fn(
                    *mut *mut c_void,
                    *const c_char,
                    *const c_char,
                    c_int,
                    *const *const c_char,
                    *const *const c_char,
                ) -> Status,
            > = self.library.get(b"nvrtcCreateProgram\0").map_err(|e| e.to_string())?;
            let compile: libloading::Symbol<unsafe extern "C" fn(*mut c_void, c_int, *const *const c_char) -> Status> =
                self.library.get(b"nvrtcCompileProgram\0").map_err(|e| e.to_string())?;
            let log_size: libloading::Symbol<unsafe extern "C" fn(*mut c_void, *mut usize) -> Status> =
                self.library.get(b"nvrtcGetProgramLogSize\0").map_err(|e| e.to_string())?;
            let log: libloading::Symbol<unsafe extern "C" fn(*mut c_void, *mut c_char) -> Status> =
                self.library.get(b"nvrtcGetProgramLog\0").map_err(|e| e.to_string())?;
            let ptx_size: libloading::Symbol<unsafe extern "C" fn(*mut c_void, *mut usize) -> Status> =
                self.library.get(b"nvrtcGetPTXSize\0").map_err(|e| e.to_string())?;
            let ptx: libloading::Symbol<unsafe extern "C" fn(*mut c_void, *mut c_char) -> Status> =
                self.library.get(b"nvrtcGetPTX\0").map_err(|e| e.to_string())?;
            let destroy: libloading::Symbol<unsafe extern "C" fn(*mut *mut c_void) -> Status> =
                self.library.get(b"nvrtcDestroyProgram\0").map_err(|e| e.to_string())?;
            let name = c"lowered.cu";
            if create(&mut program, text.as_ptr(), name.as_ptr(), 0, std::ptr::null(), std::ptr::null()) != 0 {
                return Err("nvrtcCreateProgram failed".into());
            }
            let status = compile(program, pointers.len() as c_int, pointers.as_ptr());
            let (text_size, get_text) = if status == 0 { (&ptx_size, &ptx) } else { (&log_size, &log) };
            let mut size = 0;
            text_size(program, &mut size);
            let mut out = vec![0u8; size.max(1)];
            get_text(program, out.as_mut_ptr().cast());
            destroy(&mut program);
            let out = CStr::from_bytes_until_nul(&out).map_err(|e| e.to_string())?.to_string_lossy().into_owned();
            if status == 0 { Ok(out) } else { Err(out) }
        }
    }
}
