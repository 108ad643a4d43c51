//! The driver: its presence, its contexts, and the one place where its results are looked at.

use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;
use std::sync::Arc;

use cudarc::driver::sys::{self, CUdevice_attribute_enum as Attribute, CUresult};

use super::error::{Error, Place};

/// A result that is not success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub(super) CUresult);

impl Code {
    /// True where the device had no memory left.
    pub fn out_of_memory(&self) -> bool {
        self.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} ({})", self.0, self.0 as u32)
    }
}

/// Calls a function of the driver by its name; an error names it.
macro_rules! call {
    ($name:ident($($arg:expr),* $(,)?)) => {
        $crate::cuda::driver::check(stringify!($name), cudarc::driver::sys::$name($($arg),*))
    };
}
pub(super) use call;

pub(super) fn check(call: &'static str, result: CUresult) -> Result<(), Error> {
    match result {
        CUresult::CUDA_SUCCESS => Ok(()),
        code => Err(Error::Call { call, code: Code(code), place: Place::Nowhere }),
    }
}

/// Why a library cannot be loaded, in the system's words.
pub(super) fn reason(why: &libloading::Error) -> String {
    std::error::Error::source(why).map_or_else(|| why.to_string(), ToString::to_string)
}

/// Oldest driver that has every call used here.
const NEEDS: (i32, i32) = (12, 4);

const LIBRARY: &str = if cfg!(target_os = "windows") { "nvcuda.dll" } else { "libcuda.so.1" };

/// Loads and starts the driver, and says which CUDA version it supports.
///
/// # Errors
/// [`Error::NoDriver`], [`Error::OldDriver`], or what the driver says.
pub(super) fn start() -> Result<(i32, i32), Error> {
    // SAFETY: loading runs the initialisers of NVIDIA's driver.
    if let Err(why) = unsafe { libloading::Library::new(LIBRARY) } {
        return Err(Error::NoDriver { library: LIBRARY, reason: reason(&why) });
    }
    let mut version = 0;
    // SAFETY: the driver is there, and cuInit may be called any number of times.
    unsafe {
        match sys::cuInit(0) {
            CUresult::CUDA_ERROR_NO_DEVICE => return Err(Error::NoDevice { asked: 0, count: 0 }),
            other => check("cuInit", other)?,
        }
        call!(cuDriverGetVersion(&mut version))?;
    }
    let has = (version / 1000, version % 1000 / 10);
    if has < NEEDS { Err(Error::OldDriver { has, needs: NEEDS }) } else { Ok(has) }
}

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Info {
    /// Number that the driver gives it.
    pub ordinal: usize,
    /// Name, e.g. `NVIDIA H200`.
    pub name: String,
    /// Compute capability.
    pub capability: (i32, i32),
    /// Streaming multiprocessors.
    pub processors: usize,
    /// Bytes of memory.
    pub memory: usize,
    /// Bytes of second-level cache.
    pub cache: usize,
    /// Threads of a block at most.
    pub max_threads: usize,
    /// Bytes of shared memory of a block at most, where it asks for them.
    pub shared: usize,
    /// CUDA version that the driver supports.
    pub driver: (i32, i32),
}

impl Info {
    /// The architecture that programs are compiled for: the device's own, with the instructions that only it has.
    pub fn arch(&self) -> String {
        let (major, minor) = self.capability;
        let own = if major >= 9 { "a" } else { "" };
        format!("sm_{major}{minor}{own}")
    }

    fn of(ordinal: usize, driver: (i32, i32)) -> Result<(Info, sys::CUdevice), Error> {
        let mut device: sys::CUdevice = 0;
        let mut name = [0 as c_char; 256];
        let mut memory = 0;
        // SAFETY: the driver is started, the ordinal is below its count, and sizes are those of what is written.
        unsafe {
            call!(cuDeviceGet(&mut device, ordinal as c_int))?;
            call!(cuDeviceGetName(name.as_mut_ptr(), name.len() as c_int - 1, device))?;
            call!(cuDeviceTotalMem_v2(&mut memory, device))?;
        }
        let ask = |what: Attribute| -> Result<c_int, Error> {
            let mut value = 0;
            // SAFETY: as above.
            unsafe { call!(cuDeviceGetAttribute(&mut value, what, device)) }?;
            Ok(value)
        };
        let size = |what| ask(what).map(|v| v.max(0) as usize);
        // SAFETY: the driver writes a string that ends in zero, inside of the array.
        let name = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy().into_owned();
        let info = Info {
            ordinal,
            name,
            capability: (
                ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
                ask(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
            ),
            processors: size(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?,
            memory,
            cache: size(Attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?,
            max_threads: size(Attribute::CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
            shared: size(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?,
            driver,
        };
        Ok((info, device))
    }
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Info { name, processors, driver: (major, minor), .. } = self;
        let gib = self.memory >> 30;
        write!(f, "{name}, {}, {processors} multiprocessors, {gib} GiB, driver for CUDA {major}.{minor}", self.arch())
    }
}

/// Every device of this machine.
///
/// # Errors
/// [`Error::NoDriver`] and its like.
pub fn list() -> Result<Vec<Info>, Error> {
    let driver = start()?;
    (0..count()?).map(|i| Info::of(i, driver).map(|(info, _)| info)).collect()
}

fn count() -> Result<usize, Error> {
    let mut count = 0;
    // SAFETY: the driver is started.
    unsafe { call!(cuDeviceGetCount(&mut count)) }?;
    Ok(count.max(0) as usize)
}

/// A device's primary context, which everything on it belongs to.
pub(super) struct Context {
    device: sys::CUdevice,
    raw: sys::CUcontext,
}

// SAFETY: the driver's contexts may be used from any thread that makes them current.
unsafe impl Send for Context {}
// SAFETY: as above.
unsafe impl Sync for Context {}

impl Context {
    /// Opens device `ordinal`.
    pub fn open(ordinal: usize) -> Result<(Arc<Context>, Info), Error> {
        let driver = start()?;
        let count = count()?;
        if ordinal >= count {
            return Err(Error::NoDevice { asked: ordinal, count });
        }
        let (info, device) = Info::of(ordinal, driver)?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the device exists; the reference taken here is given back on drop.
        unsafe { call!(cuDevicePrimaryCtxRetain(&mut raw, device)) }?;
        let context = Arc::new(Context { device, raw });
        context.bind()?;
        Ok((context, info))
    }

    /// Lets the memory pool keep what is freed, instead of giving it back to the system at every wait.
    pub fn keep_memory(&self) -> Result<(), Error> {
        let mut pool = std::ptr::null_mut();
        let mut all = u64::MAX;
        let what = sys::CUmemPool_attribute_enum::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        // SAFETY: the device exists, and the attribute is a number of 64 bits.
        unsafe {
            call!(cuDeviceGetDefaultMemPool(&mut pool, self.device))?;
            call!(cuMemPoolSetAttribute(pool, what, (&raw mut all).cast()))
        }
    }

    /// The device's address on the PCI bus.
    pub fn bus(&self) -> Result<CString, Error> {
        let mut text = [0 as c_char; 64];
        // SAFETY: the device exists; the driver writes a string that ends in zero, inside of the array.
        unsafe {
            call!(cuDeviceGetPCIBusId(text.as_mut_ptr(), text.len() as c_int - 1, self.device))?;
            Ok(CStr::from_ptr(text.as_ptr()).to_owned())
        }
    }

    /// Makes it the calling thread's context, as every other call needs.
    pub fn bind(&self) -> Result<(), Error> {
        // SAFETY: the context lives as long as this.
        unsafe { call!(cuCtxSetCurrent(self.raw)) }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: gives back the reference that `open` took.
        let _ = unsafe { call!(cuDevicePrimaryCtxRelease_v2(self.device)) };
    }
}
