//! cuBLAS: `cublasGemmEx`, and `cublasGemmStridedBatchedEx` for several problems.

use std::ffi::{c_char, c_int, c_longlong, c_void};
use std::sync::{Arc, Mutex};

use libloading::Library;

use super::{Context, Error, Product, Status, Stream, Workspace, check, lock};

type Raw = *mut c_void;

/// Names, types and numbers are those of `cublas_api.h`; operations, types and algorithms are enums there.
pub(super) struct Api {
    status_name: unsafe extern "C" fn(Status) -> *const c_char,
    property: unsafe extern "C" fn(c_int, *mut c_int) -> Status,
    create: unsafe extern "C" fn(*mut Raw) -> Status,
    destroy: unsafe extern "C" fn(Raw) -> Status,
    set_stream: unsafe extern "C" fn(Raw, *mut c_void) -> Status,
    set_workspace: unsafe extern "C" fn(Raw, *mut c_void, usize) -> Status,
    gemm: Gemm,
    gemm_batched: GemmBatched,
    /// The functions lie in it.
    _library: Library,
}

/// handle, operations of A and B, m, n, k, alpha, A with type and stride of columns, B so, beta, C so, type of sums, algorithm.
type Gemm = unsafe extern "C" fn(
    Raw,
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
) -> Status;

/// As [`Gemm`], with the stride of problems behind that of columns, and their count behind C.
type GemmBatched = unsafe extern "C" fn(
    Raw,
    c_int,
    c_int,
    c_int,
    c_int,
    c_int,
    *const c_void,
    *const c_void,
    c_int,
    c_int,
    c_longlong,
    *const c_void,
    c_int,
    c_int,
    c_longlong,
    *const c_void,
    *mut c_void,
    c_int,
    c_int,
    c_longlong,
    c_int,
    c_int,
    c_int,
) -> Status;

/// CUBLAS_COMPUTE_32F.
pub(super) const COMPUTE_32F: c_int = 68;
/// CUBLAS_GEMM_DEFAULT.
const DEFAULT: c_int = -1;

/// CUBLAS_OP_N, CUBLAS_OP_T.
pub(super) fn operation(transposed: bool) -> c_int {
    c_int::from(transposed)
}

impl Api {
    /// # Safety
    /// The library is cuBLAS.
    pub unsafe fn of(library: Library) -> Result<Api, libloading::Error> {
        // SAFETY: the caller's promise; the types are those of its header.
        unsafe {
            Ok(Api {
                status_name: *library.get(b"cublasGetStatusName")?,
                property: *library.get(b"cublasGetProperty")?,
                create: *library.get(b"cublasCreate_v2")?,
                destroy: *library.get(b"cublasDestroy_v2")?,
                set_stream: *library.get(b"cublasSetStream_v2")?,
                set_workspace: *library.get(b"cublasSetWorkspace_v2")?,
                gemm: *library.get(b"cublasGemmEx")?,
                gemm_batched: *library.get(b"cublasGemmStridedBatchedEx")?,
                _library: library,
            })
        }
    }

    /// Major, minor and patch, with dots.
    pub fn version(&self) -> String {
        // MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL of `library_types.h`.
        let part = |which| {
            let mut value = 0;
            // SAFETY: one integer to write.
            let status = unsafe { (self.property)(which, &mut value) };
            if status == 0 { value.to_string() } else { "?".to_owned() }
        };
        [0, 1, 2].map(part).join(".")
    }

    fn check(&self, call: &'static str, status: Status) -> Result<(), Error> {
        check(call, self.status_name, status)
    }
}

/// cuBLAS on a device's stream.
pub(super) struct Cublas {
    /// One call at a time: the handle has one workspace.
    handle: Mutex<Handle>,
    _workspace: Workspace,
}

struct Handle {
    raw: Raw,
    api: Arc<Api>,
    context: Arc<Context>,
}

// SAFETY: a handle may be used from any thread in its context, one at a time.
unsafe impl Send for Handle {}

impl Cublas {
    /// Makes a handle that works on `stream`.
    pub fn open(api: &Arc<Api>, context: &Arc<Context>, stream: &Stream) -> Result<Cublas, Error> {
        let workspace = Workspace::new(context)?;
        let mut handle = Handle { raw: std::ptr::null_mut(), api: api.clone(), context: context.clone() };
        // SAFETY: the context is current. A workspace belongs to the stream that was set before it.
        unsafe {
            api.check("cublasCreate", (api.create)(&mut handle.raw))?;
            api.check("cublasSetStream", (api.set_stream)(handle.raw, stream.raw().cast()))?;
            let memory = workspace.address as *mut c_void;
            api.check("cublasSetWorkspace", (api.set_workspace)(handle.raw, memory, Workspace::BYTES))?;
        }
        Ok(Cublas { handle: Mutex::new(handle), _workspace: workspace })
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if !self.raw.is_null() && self.context.bind().is_ok() {
            // SAFETY: made by cublasCreate, and used no more.
            unsafe { (self.api.destroy)(self.raw) };
        }
    }
}

/// Products through cuBLAS's own choice of algorithm.
pub(super) struct Call(Arc<Cublas>);

impl Call {
    pub fn new(library: Arc<Cublas>) -> Call {
        Call(library)
    }

    /// The call that a product takes.
    pub fn entry(product: &Product) -> &'static str {
        if product.batch == 1 { "cublasGemmEx" } else { "cublasGemmStridedBatchedEx" }
    }

    /// Gives the product, which has no bias, to the stream, with the result at `y`.
    ///
    /// # Safety
    /// Operands are as large as the product says, and live until the stream has run it.
    pub unsafe fn run(&self, p: &Product, y: u64) -> Result<(), Error> {
        let handle = lock(&self.0.handle);
        let (api, kind) = (&*handle.api, p.kind as c_int);
        let (alpha, beta) = (std::ptr::from_ref(&p.alpha).cast(), std::ptr::from_ref(&p.beta).cast());
        let (w, x) = (p.w.address as *const c_void, p.x.address as *const c_void);
        let (op_w, op_x) = (operation(p.w.transposed), operation(p.x.transposed));
        let y = y as *mut c_void;
        // SAFETY: the caller's promise; factors are read before the call returns.
        let status = unsafe {
            if p.batch == 1 {
                (api.gemm)(
                    handle.raw,
                    op_w,
                    op_x,
                    p.n,
                    p.m,
                    p.k,
                    alpha,
                    w,
                    kind,
                    p.w.ld,
                    x,
                    kind,
                    p.x.ld,
                    beta,
                    y,
                    kind,
                    p.y.ld,
                    COMPUTE_32F,
                    DEFAULT,
                )
            } else {
                (api.gemm_batched)(
                    handle.raw,
                    op_w,
                    op_x,
                    p.n,
                    p.m,
                    p.k,
                    alpha,
                    w,
                    kind,
                    p.w.ld,
                    p.w.stride,
                    x,
                    kind,
                    p.x.ld,
                    p.x.stride,
                    beta,
                    y,
                    kind,
                    p.y.ld,
                    p.y.stride,
                    p.batch,
                    COMPUTE_32F,
                    DEFAULT,
                )
            }
        };
        api.check(Call::entry(p), status)
    }
}
