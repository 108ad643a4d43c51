//! Loaded kernels.

use std::ffi::{CString, c_int};
use std::sync::Arc;

use cudarc::driver::sys::{self, CUfunction_attribute_enum as Attribute};

use super::driver::{Context, call};
use super::error::{Error, Place};
use super::packed::{Arg, Field, Packed};

/// A kernel on a device, ready to be launched; clones share it.
#[derive(Clone)]
pub struct Kernel(Arc<Loaded>);

struct Loaded {
    module: Module,
    function: sys::CUfunction,
    place: Place,
    max_threads: usize,
    registers: usize,
    shared: usize,
    local: usize,
}

// SAFETY: a function handle may be launched from any thread in its context.
unsafe impl Send for Loaded {}
// SAFETY: as above.
unsafe impl Sync for Loaded {}

impl Kernel {
    /// Loads `entry` out of a cubin.
    pub(super) fn load(context: &Arc<Context>, cubin: &[u8], entry: &str, place: Place) -> Result<Kernel, Error> {
        context.bind()?;
        let name = CString::new(entry)
            .map_err(|_| Error::Launch { place: place.clone(), reason: "its name holds a zero byte".to_owned() })?;
        let load = || -> Result<Loaded, Error> {
            let mut module = Module { raw: std::ptr::null_mut(), context: context.clone() };
            let mut function = std::ptr::null_mut();
            // SAFETY: NVRTC made the cubin, or the cache gave back just what it made.
            unsafe {
                call!(cuModuleLoadData(&mut module.raw, cubin.as_ptr().cast()))?;
                call!(cuModuleGetFunction(&mut function, module.raw, name.as_ptr()))?;
            }
            let ask = |what| -> Result<usize, Error> {
                let mut value: c_int = 0;
                // SAFETY: the function was just found.
                unsafe { call!(cuFuncGetAttribute(&mut value, what, function)) }?;
                Ok(value.max(0) as usize)
            };
            Ok(Loaded {
                max_threads: ask(Attribute::CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK)?,
                registers: ask(Attribute::CU_FUNC_ATTRIBUTE_NUM_REGS)?,
                shared: ask(Attribute::CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES)?,
                local: ask(Attribute::CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES)?,
                place: place.clone(),
                module,
                function,
            })
        };
        load().map(|l| Kernel(Arc::new(l))).map_err(|e| e.of(&place))
    }

    /// What errors call it.
    pub fn place(&self) -> &Place {
        &self.0.place
    }

    /// Its name in the program that it was loaded from.
    pub fn entry(&self) -> &str {
        match &self.0.place {
            Place::Kernel { entry, .. } | Place::Line { entry, .. } => entry,
            Place::Nowhere | Place::Among { .. } => "",
        }
    }

    /// Registers a thread.
    pub fn registers(&self) -> usize {
        self.0.registers
    }

    /// Bytes of local memory a thread: spills, and arrays that are indexed at run time.
    pub fn local(&self) -> usize {
        self.0.local
    }

    /// Threads of a block at most.
    pub fn max_threads(&self) -> usize {
        self.0.max_threads
    }

    pub(super) fn function(&self) -> sys::CUfunction {
        self.0.function
    }

    pub(super) fn context(&self) -> &Arc<Context> {
        &self.0.module.context
    }

    /// Allows `bytes` of dynamic shared memory a block; without this, 48 KiB in all are allowed.
    pub(super) fn allow_shared(&self, bytes: u32) -> Result<(), Error> {
        if bytes as usize + self.0.shared <= 48 << 10 {
            return Ok(());
        }
        let what = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        // SAFETY: the function lives.
        unsafe { call!(cuFuncSetAttribute(self.0.function, what, bytes as c_int)) }.map_err(|e| e.of(&self.0.place))
    }
}

/// Where a function's first `count` parameters lie. Asking for more than there are is an error of the driver, which tools that watch
/// its calls report.
fn fields(function: sys::CUfunction, count: usize) -> Result<Vec<Field>, Error> {
    let (mut offset, mut size) = (0, 0);
    let ask = |i| {
        // SAFETY: the function lives.
        unsafe { call!(cuFuncGetParamInfo(function, i, &mut offset, &mut size)) }.map(|()| Field { offset, size })
    };
    (0..count).map(ask).collect()
}

struct Module {
    raw: sys::CUmodule,
    context: Arc<Context>,
}

impl Drop for Module {
    fn drop(&mut self) {
        if !self.raw.is_null() && self.context.bind().is_ok() {
            // SAFETY: made by cuModuleLoadData; launches keep their kernels, and so their modules.
            let _ = unsafe { call!(cuModuleUnload(self.raw)) };
        }
    }
}

/// How a kernel is launched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub threads: [u32; 3],
    /// Bytes of dynamic shared memory of a block.
    pub shared: u32,
    /// Whether it may begin before the launch ahead of it ends.
    pub overlap: Overlap,
}

/// Whether a launch may begin before the one ahead of it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overlap {
    /// It waits.
    #[default]
    Serial,
    /// It begins as soon as the one ahead allows, and itself waits (`griddepcontrol.wait`) before it touches memory:
    /// programmatic dependent launch, from compute capability 9.0.
    Programmatic,
}

/// A launch with everything prepared: its parameters lie as the driver wants them.
pub struct Launch {
    kernel: Kernel,
    packed: Packed,
    shape: Shape,
    /// As the driver takes it, but for the stream, and for whether the attribute counts.
    config: sys::CUlaunchConfig,
    /// What `config` points to.
    _attribute: Box<sys::CUlaunchAttribute>,
}

// SAFETY: what its pointers point to is its own, on the heap, and written by nobody.
unsafe impl Send for Launch {}
// SAFETY: as above.
unsafe impl Sync for Launch {}

impl Launch {
    /// Prepares a launch of `kernel`.
    ///
    /// # Errors
    /// Arguments that are not those that the kernel takes, and more threads than it can have.
    pub fn new(kernel: &Kernel, shape: Shape, args: &[Arg<'_>]) -> Result<Launch, Error> {
        let place = || kernel.place().clone();
        kernel.context().bind()?;
        let fields = fields(kernel.function(), args.len()).map_err(|_| Error::Arguments {
            place: place(),
            want: "fewer".to_owned(),
            got: format!("{} parameters", args.len()),
        })?;
        let packed =
            Packed::new(&fields, args).map_err(|(want, got)| Error::Arguments { place: place(), want, got })?;
        let threads = shape.threads.iter().map(|&t| t as usize).product::<usize>();
        if threads == 0 || threads > kernel.max_threads() {
            let reason = format!("{threads} threads a block; it can have 1 to {}", kernel.max_threads());
            return Err(Error::Launch { place: place(), reason });
        }
        kernel.allow_shared(shape.shared)?;
        let mut value = sys::CUlaunchAttributeValue { pad: [0; 64] };
        value.programmaticStreamSerializationAllowed = 1;
        let id = sys::CUlaunchAttributeID_enum::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
        let mut attribute = Box::new(sys::CUlaunchAttribute { id, pad: [0; 4], value });
        let Shape { grid, threads, shared, .. } = shape;
        let config = sys::CUlaunchConfig {
            gridDimX: grid[0],
            gridDimY: grid[1],
            gridDimZ: grid[2],
            blockDimX: threads[0],
            blockDimY: threads[1],
            blockDimZ: threads[2],
            sharedMemBytes: shared,
            hStream: std::ptr::null_mut(),
            attrs: &raw mut *attribute,
            numAttrs: 0,
        };
        Ok(Launch { kernel: kernel.clone(), packed, shape, config, _attribute: attribute })
    }

    /// The kernel.
    pub fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// How it is launched.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Whether it may begin before the launch ahead ends, where `overlap` allows that.
    pub(super) fn begins_early(&self, overlap: Overlap) -> bool {
        self.shape.overlap == Overlap::Programmatic && overlap == Overlap::Programmatic
    }

    /// The launch as a node of a graph.
    pub(super) fn node(&self) -> sys::CUgraphNodeParams {
        let c = &self.config;
        let kernel = sys::CUDA_KERNEL_NODE_PARAMS_v3 {
            func: self.kernel.function(),
            gridDimX: c.gridDimX,
            gridDimY: c.gridDimY,
            gridDimZ: c.gridDimZ,
            blockDimX: c.blockDimX,
            blockDimY: c.blockDimY,
            blockDimZ: c.blockDimZ,
            sharedMemBytes: c.sharedMemBytes,
            kernelParams: self.packed.pointers(),
            extra: std::ptr::null_mut(),
            kern: std::ptr::null_mut(),
            ctx: std::ptr::null_mut(),
        };
        let mut of_kind = sys::CUgraphNodeParams_st__bindgen_ty_1 { reserved1: [0; 29] };
        of_kind.kernel = kernel;
        sys::CUgraphNodeParams {
            type_: sys::CUgraphNodeType::CU_GRAPH_NODE_TYPE_KERNEL,
            reserved0: [0; 3],
            __bindgen_anon_1: of_kind,
            reserved2: 0,
        }
    }

    /// Gives the launch to `stream`, and does not wait. The context must be current, as every call of [`super::Cuda`] leaves it.
    ///
    /// # Safety
    /// The memory at its addresses lives until the stream has run it, and is as large as the kernel takes it to be.
    ///
    /// # Errors
    /// What the driver says.
    pub unsafe fn run(&self, stream: &super::Stream, overlap: Overlap) -> Result<(), Error> {
        let early = u32::from(self.begins_early(overlap));
        let config = sys::CUlaunchConfig { hStream: stream.raw(), numAttrs: early, ..self.config };
        let params = self.packed.pointers();
        // SAFETY: parameters lie where the kernel was compiled to find them; the rest is the caller's promise.
        unsafe { call!(cuLaunchKernelEx(&config, self.kernel.function(), params, std::ptr::null_mut())) }
            .map_err(|e| e.of(self.kernel.place()))
    }
}
