//! The vendor's matrix product, loaded where it is.

use std::ffi::{c_int, c_longlong, c_void};

use libloading::Library;

use metallic_device::cuda::Stream;

type Handle = *mut c_void;
type Gemm = unsafe extern "C" fn(
    Handle,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const c_void,
    *const c_void,
    c_int,
    c_int,
    *const c_void,
    c_int,
    c_int,
    *const c_void,
    *mut c_void,
    c_int,
    c_int,
    c_int,
    c_int,
) -> c_int;

const TRANSPOSED: c_int = 1;
const PLAIN: c_int = 0;
/// CUDA_R_16F.
const HALF: c_int = 2;
/// CUBLAS_COMPUTE_32F.
const SINGLE: c_int = 68;
/// CUBLAS_GEMM_DEFAULT.
const DEFAULT: c_int = -1;

/// cuBLAS on one stream.
pub struct Cublas {
    handle: Handle,
    gemm: Gemm,
    destroy: unsafe extern "C" fn(Handle) -> c_int,
    /// Its version, as it gives it.
    pub version: c_int,
    _library: Library,
}

impl Cublas {
    /// Loads it, for `stream`, with `workspace` bytes at an address for it to work in.
    pub fn open(stream: &Stream, workspace: (u64, usize)) -> Result<Cublas, String> {
        // SAFETY: NVIDIA's library, and functions of the types that its header gives.
        unsafe {
            let library = Library::new("libcublas.so.13")
                .or_else(|_| Library::new("libcublas.so.12"))
                .map_err(|e| format!("libcublas.so.13 cannot be loaded: {e:?}"))?;
            let get = |e: libloading::Error| e.to_string();
            let create: unsafe extern "C" fn(*mut Handle) -> c_int = *library.get(b"cublasCreate_v2").map_err(get)?;
            let set: unsafe extern "C" fn(Handle, *mut c_void) -> c_int =
                *library.get(b"cublasSetStream_v2").map_err(get)?;
            let space: unsafe extern "C" fn(Handle, *mut c_void, c_longlong) -> c_int =
                *library.get(b"cublasSetWorkspace_v2").map_err(get)?;
            let version: unsafe extern "C" fn(Handle, *mut c_int) -> c_int =
                *library.get(b"cublasGetVersion_v2").map_err(get)?;
            let mut cublas = Cublas {
                handle: std::ptr::null_mut(),
                gemm: *library.get(b"cublasGemmEx").map_err(get)?,
                destroy: *library.get(b"cublasDestroy_v2").map_err(get)?,
                version: 0,
                _library: library,
            };
            check("cublasCreate", create(&mut cublas.handle))?;
            check("cublasSetStream", set(cublas.handle, stream.raw().cast()))?;
            check("cublasSetWorkspace", space(cublas.handle, workspace.0 as *mut c_void, workspace.1 as c_longlong))?;
            check("cublasGetVersion", version(cublas.handle, &mut cublas.version))?;
            Ok(cublas)
        }
    }

    /// y = W x (+ y where `add`), W: (n, k) row-major, all half, sums in float: addresses of device memory.
    ///
    /// # Safety
    /// They have n, n k and k elements, and live until the stream has run it.
    pub unsafe fn matvec(&self, y: u64, w: u64, x: u64, (n, k): (usize, usize)) -> Result<(), String> {
        let (one, zero) = (1.0f32, 0.0f32);
        let scalar = |v: &f32| std::ptr::from_ref(v).cast::<c_void>();
        let (n, k) = (n as c_int, k as c_int);
        // SAFETY: the caller's promise; a row-major (n, k) matrix is a column-major (k, n) one.
        let status = unsafe {
            (self.gemm)(
                self.handle,
                TRANSPOSED,
                PLAIN,
                n,
                1,
                k,
                scalar(&one),
                w as *const c_void,
                HALF,
                k,
                x as *const c_void,
                HALF,
                k,
                scalar(&zero),
                y as *mut c_void,
                HALF,
                n,
                SINGLE,
                DEFAULT,
            )
        };
        check("cublasGemmEx", status)
    }
}

impl Drop for Cublas {
    fn drop(&mut self) {
        if !self.handle.is_null() {
            // SAFETY: made by cublasCreate, and used no more.
            unsafe { (self.destroy)(self.handle) };
        }
    }
}

fn check(call: &str, status: c_int) -> Result<(), String> {
    if status == 0 { Ok(()) } else { Err(format!("{call} failed with {status}")) }
}
