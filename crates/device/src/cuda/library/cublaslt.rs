//! cuBLASLt: `cublasLtMatmul`, with the algorithms that its heuristic lists.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;

use libloading::Library;

use super::cublas::{COMPUTE_32F, operation};
use super::{Context, Error, Matrix, Place, Product, Status, Stream, Workspace, check};

type Raw = *mut c_void;
type Set = unsafe extern "C" fn(Raw, c_int, *const c_void, usize) -> Status;
type Destroy = unsafe extern "C" fn(Raw) -> Status;

/// Names, types and numbers are those of `cublasLt.h`; descriptors are pointers to structs that only the library reads.
pub(super) struct Api {
    status_name: unsafe extern "C" fn(Status) -> *const c_char,
    version: unsafe extern "C" fn() -> usize,
    create: unsafe extern "C" fn(*mut Raw) -> Status,
    destroy: Destroy,
    /// Type of sums, type of factors.
    operation_create: unsafe extern "C" fn(*mut Raw, c_int, c_int) -> Status,
    operation_set: Set,
    operation_destroy: Destroy,
    /// Type, rows, columns, elements from one column to the next.
    layout_create: unsafe extern "C" fn(*mut Raw, c_int, u64, u64, i64) -> Status,
    layout_set: Set,
    layout_destroy: Destroy,
    preference_create: unsafe extern "C" fn(*mut Raw) -> Status,
    preference_set: Set,
    preference_destroy: Destroy,
    /// handle, operation, layouts of A, B, C and D, preference, how many to list, the list, how many there are.
    heuristic: unsafe extern "C" fn(Raw, Raw, Raw, Raw, Raw, Raw, Raw, c_int, *mut Heuristic, *mut c_int) -> Status,
    matmul: Matmul,
    /// The functions lie in it.
    _library: Library,
}

/// handle, operation, alpha, A and its layout, B, beta, C, D, algorithm, workspace and its bytes, stream.
type Matmul = unsafe extern "C" fn(
    Raw,
    Raw,
    *const c_void,
    *const c_void,
    Raw,
    *const c_void,
    Raw,
    *const c_void,
    *const c_void,
    Raw,
    *mut c_void,
    Raw,
    *const Algorithm,
    *mut c_void,
    usize,
    *mut c_void,
) -> Status;

/// `cublasLtMatmulAlgo_t`.
type Algorithm = [u64; 8];

/// `cublasLtMatmulHeuristicResult_t`.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Heuristic {
    algorithm: Algorithm,
    workspace: usize,
    state: Status,
    waves: f32,
    reserved: [c_int; 4],
}

/// CUDA_R_32F.
const SINGLE: c_int = 0;
/// CUBLAS_STATUS_NOT_SUPPORTED, of a heuristic: it knows no algorithm.
const NOT_SUPPORTED: Status = 15;
/// CUBLASLT_EPILOGUE_BIAS.
const EPILOGUE_BIAS: u32 = 4;

/// CUBLASLT_MATMUL_DESC_...
mod operation_is {
    pub const TRANSA: i32 = 3;
    pub const TRANSB: i32 = 4;
    pub const EPILOGUE: i32 = 7;
    pub const BIAS_POINTER: i32 = 8;
}

/// CUBLASLT_MATRIX_LAYOUT_...
mod layout_is {
    pub const BATCH_COUNT: i32 = 5;
    pub const STRIDED_BATCH_OFFSET: i32 = 6;
}

/// CUBLASLT_MATMUL_PREF_...
mod preference_is {
    pub const MAX_WORKSPACE_BYTES: i32 = 1;
    /// Of A; those of B, C and D follow.
    pub const MIN_ALIGNMENT_A_BYTES: i32 = 5;
}

impl Api {
    /// # Safety
    /// The library is cuBLASLt.
    pub unsafe fn of(library: Library) -> Result<Api, libloading::Error> {
        // SAFETY: the caller's promise; the types are those of its header.
        unsafe {
            Ok(Api {
                status_name: *library.get(b"cublasLtGetStatusName")?,
                version: *library.get(b"cublasLtGetVersion")?,
                create: *library.get(b"cublasLtCreate")?,
                destroy: *library.get(b"cublasLtDestroy")?,
                operation_create: *library.get(b"cublasLtMatmulDescCreate")?,
                operation_set: *library.get(b"cublasLtMatmulDescSetAttribute")?,
                operation_destroy: *library.get(b"cublasLtMatmulDescDestroy")?,
                layout_create: *library.get(b"cublasLtMatrixLayoutCreate")?,
                layout_set: *library.get(b"cublasLtMatrixLayoutSetAttribute")?,
                layout_destroy: *library.get(b"cublasLtMatrixLayoutDestroy")?,
                preference_create: *library.get(b"cublasLtMatmulPreferenceCreate")?,
                preference_set: *library.get(b"cublasLtMatmulPreferenceSetAttribute")?,
                preference_destroy: *library.get(b"cublasLtMatmulPreferenceDestroy")?,
                heuristic: *library.get(b"cublasLtMatmulAlgoGetHeuristic")?,
                matmul: *library.get(b"cublasLtMatmul")?,
                _library: library,
            })
        }
    }

    /// The version as the library gives it: 10000 times the major one, 100 times the minor one, and the patch.
    pub fn version(&self) -> usize {
        // SAFETY: it takes nothing.
        unsafe { (self.version)() }
    }

    fn check(&self, call: &'static str, status: Status) -> Result<(), Error> {
        check(call, self.status_name, status)
    }

    fn operation(&self, p: &Product) -> Result<Descriptor, Error> {
        let mut d = Descriptor { raw: std::ptr::null_mut(), set: self.operation_set, destroy: self.operation_destroy };
        // SAFETY: one pointer to write.
        let status = unsafe { (self.operation_create)(&mut d.raw, COMPUTE_32F, SINGLE) };
        self.check("cublasLtMatmulDescCreate", status)?;
        let set = |status| self.check("cublasLtMatmulDescSetAttribute", status);
        set(d.set(operation_is::TRANSA, &operation(p.w.transposed)))?;
        set(d.set(operation_is::TRANSB, &operation(p.x.transposed)))?;
        if let Some(bias) = p.bias {
            set(d.set(operation_is::EPILOGUE, &EPILOGUE_BIAS))?;
            set(d.set(operation_is::BIAS_POINTER, &bias))?;
        }
        Ok(d)
    }

    fn layout(&self, p: &Product, m: &Matrix) -> Result<Descriptor, Error> {
        let mut d = Descriptor { raw: std::ptr::null_mut(), set: self.layout_set, destroy: self.layout_destroy };
        let (rows, cols) = (m.rows as u64, m.cols as u64);
        // SAFETY: one pointer to write.
        let status = unsafe { (self.layout_create)(&mut d.raw, p.kind as c_int, rows, cols, i64::from(m.ld)) };
        self.check("cublasLtMatrixLayoutCreate", status)?;
        if p.batch != 1 {
            let set = |status| self.check("cublasLtMatrixLayoutSetAttribute", status);
            set(d.set(layout_is::BATCH_COUNT, &p.batch))?;
            set(d.set(layout_is::STRIDED_BATCH_OFFSET, &m.stride))?;
        }
        Ok(d)
    }

    fn preference(&self, p: &Product) -> Result<Descriptor, Error> {
        let mut d =
            Descriptor { raw: std::ptr::null_mut(), set: self.preference_set, destroy: self.preference_destroy };
        // SAFETY: one pointer to write.
        let status = unsafe { (self.preference_create)(&mut d.raw) };
        self.check("cublasLtMatmulPreferenceCreate", status)?;
        let set = |status| self.check("cublasLtMatmulPreferenceSetAttribute", status);
        set(d.set(preference_is::MAX_WORKSPACE_BYTES, &(Workspace::BYTES as u64)))?;
        for (i, m) in [&p.w, &p.x, &p.y, &p.y].into_iter().enumerate() {
            set(d.set(preference_is::MIN_ALIGNMENT_A_BYTES + i as c_int, &alignment(m.address)))?;
        }
        Ok(d)
    }
}

/// Bytes that an address is a multiple of, as far as the library asks.
fn alignment(address: u64) -> u32 {
    1 << address.trailing_zeros().min(8)
}

/// One of the library's descriptors, destroyed when it goes.
struct Descriptor {
    raw: Raw,
    set: Set,
    destroy: Destroy,
}

// SAFETY: a descriptor is plain memory, read by calls and written while it is made alone.
unsafe impl Send for Descriptor {}
// SAFETY: as above.
unsafe impl Sync for Descriptor {}

impl Descriptor {
    /// Sets an attribute, whose type in the library is as large as `T`.
    fn set<T: Copy>(&self, which: c_int, value: &T) -> Status {
        // SAFETY: the descriptor lives, and the library copies as many bytes as the value has.
        unsafe { (self.set)(self.raw, which, std::ptr::from_ref(value).cast(), size_of::<T>()) }
    }
}

impl Drop for Descriptor {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: made by the library, which its owner keeps loaded, and used no more.
            unsafe { (self.destroy)(self.raw) };
        }
    }
}

/// cuBLASLt on a device's stream.
pub(super) struct CublasLt {
    raw: Raw,
    stream: *mut c_void,
    workspace: Workspace,
    context: Arc<Context>,
    api: Arc<Api>,
}

// SAFETY: the library's handle may be used from any number of threads; the stream's is the driver's, which locks it.
unsafe impl Send for CublasLt {}
// SAFETY: as above.
unsafe impl Sync for CublasLt {}

impl CublasLt {
    /// Makes a handle that works on `stream`.
    pub fn open(api: &Arc<Api>, context: &Arc<Context>, stream: &Stream) -> Result<CublasLt, Error> {
        let mut library = CublasLt {
            raw: std::ptr::null_mut(),
            stream: stream.raw().cast(),
            workspace: Workspace::new(context)?,
            context: context.clone(),
            api: api.clone(),
        };
        // SAFETY: the context is current, and there is one pointer to write.
        api.check("cublasLtCreate", unsafe { (api.create)(&mut library.raw) })?;
        Ok(library)
    }
}

impl Drop for CublasLt {
    fn drop(&mut self) {
        if !self.raw.is_null() && self.context.bind().is_ok() {
            // SAFETY: made by cublasLtCreate, and used no more.
            unsafe { (self.api.destroy)(self.raw) };
        }
    }
}

/// A product with its descriptors and an algorithm.
pub(super) struct Call {
    operation: Descriptor,
    w: Descriptor,
    x: Descriptor,
    y: Descriptor,
    algorithm: Algorithm,
    library: Arc<CublasLt>,
}

/// As many algorithms as a search asks for.
const MOST: usize = 64;

impl Call {
    /// The call that is made.
    pub const ENTRY: &'static str = "cublasLtMatmul";

    /// The product with the library's first choice, or with number `wanted` of those that it lists and can run.
    pub fn new(library: Arc<CublasLt>, p: &Product, wanted: Option<i64>) -> Result<Call, Error> {
        let api = &library.api;
        let (operation, preference) = (api.operation(p)?, api.preference(p)?);
        let (w, x, y) = (api.layout(p, &p.w)?, api.layout(p, &p.x)?, api.layout(p, &p.y)?);
        let mut list = vec![Heuristic::default(); if wanted.is_some() { MOST } else { 1 }];
        let mut count = 0;
        // SAFETY: descriptors live, and the list has room for as many as it says.
        let status = unsafe {
            (api.heuristic)(
                library.raw,
                operation.raw,
                w.raw,
                x.raw,
                y.raw,
                y.raw,
                preference.raw,
                list.len() as c_int,
                list.as_mut_ptr(),
                &mut count,
            )
        };
        if status == NOT_SUPPORTED {
            count = 0;
        } else {
            api.check("cublasLtMatmulAlgoGetHeuristic", status)?;
        }
        list.truncate(count.max(0) as usize);
        list.retain(|h| h.state == 0 && h.workspace <= Workspace::BYTES);
        let asked = usize::try_from(wanted.unwrap_or(0)).unwrap_or(usize::MAX);
        let found = list.get(asked).map(|h| h.algorithm);
        let algorithm = found.ok_or(Error::NoAlgorithm { place: Place::Nowhere, asked, count: list.len() })?;
        Ok(Call { operation, w, x, y, algorithm, library })
    }

    /// Gives the product to the stream, with the result at `y`.
    ///
    /// # Safety
    /// Operands are as large as the product says, and live until the stream has run it.
    pub unsafe fn run(&self, p: &Product, y: u64) -> Result<(), Error> {
        let CublasLt { raw, stream, workspace, api, .. } = &*self.library;
        // SAFETY: the caller's promise; factors are read before the call returns, and the stream orders uses of the workspace.
        let status = unsafe {
            (api.matmul)(
                *raw,
                self.operation.raw,
                std::ptr::from_ref(&p.alpha).cast(),
                p.w.address as *const c_void,
                self.w.raw,
                p.x.address as *const c_void,
                self.x.raw,
                std::ptr::from_ref(&p.beta).cast(),
                y as *const c_void,
                self.y.raw,
                y as *mut c_void,
                self.y.raw,
                &self.algorithm,
                workspace.address as *mut c_void,
                Workspace::BYTES,
                *stream,
            )
        };
        api.check(Call::ENTRY, status)
    }
}

#[cfg(test)]
mod tests {
    use super::{Api, Error, Heuristic, Product, alignment};

    impl Api {
        /// Makes every descriptor of a product, as a call does.
        pub fn takes(&self, p: &Product) -> Result<(), Error> {
            self.operation(p)?;
            self.preference(p)?;
            [&p.w, &p.x, &p.y].into_iter().try_for_each(|m| self.layout(p, m).map(drop))
        }
    }

    #[test]
    fn structs_are_as_large_as_the_header_has_them() {
        assert_eq!(size_of::<Heuristic>(), 8 * 8 + 8 + 4 + 4 + 4 * 4);
    }

    #[test]
    fn alignment_is_that_of_the_address() {
        assert_eq!([0, 256, 512, 768 + 16, 2, 1].map(alignment), [256, 256, 256, 16, 2, 1]);
    }
}
