//! The device: its limits, its one command queue, and what must stay resident.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use metallic_kernels::contract::{Limits, Target};
use objc2::rc::{Retained, autoreleasepool};
use objc2::runtime::{NSObjectProtocol, ProtocolObject};
use objc2::sel;
use objc2_foundation::{NSArray, NSError, NSString};
use objc2_metal::{
    MTLAllocation, MTLBlitCommandEncoder, MTLBuffer, MTLCommandBuffer, MTLCommandBufferDescriptor,
    MTLCommandBufferEncoderInfo, MTLCommandBufferEncoderInfoErrorKey, MTLCommandBufferErrorOption,
    MTLCommandBufferStatus, MTLCommandEncoder, MTLCommandEncoderErrorState, MTLCommandQueue,
    MTLCreateSystemDefaultDevice, MTLDevice, MTLGPUFamily, MTLResidencySet, MTLResidencySetDescriptor,
    MTLResourceOptions,
};

use super::buffer::{Arena, Memory};
use super::mps;
use super::program::Programs;
use super::queue::MetalQueue;
use super::{NAME, Options};
use crate::{Buffer, Device, Error, Queue, Record};

// MTLCreateSystemDefaultDevice finds no device in a program that does not link CoreGraphics.
#[cfg_attr(target_vendor = "apple", link(name = "CoreGraphics", kind = "framework"))]
unsafe extern "C" {}

/// A Metal object that several threads may hold.
pub(super) struct Held<T: ?Sized>(pub Retained<ProtocolObject<T>>);

// SAFETY: Metal's devices, queues, libraries, pipelines, buffers, heaps and sets may be used from any thread; what is not safe
// to use from two at once (residency sets, indirect command buffers) is held behind a lock or an exclusive borrow.
unsafe impl<T: ?Sized> Send for Held<T> {}
// SAFETY: as above.
unsafe impl<T: ?Sized> Sync for Held<T> {}

/// The error of a call that gives `nil` and no reason.
pub(super) fn refused(call: impl Into<String>) -> Error {
    failed(call, "Metal gave nothing back and no reason")
}

/// The error of a call, with its reason.
pub(super) fn failed(call: impl Into<String>, reason: impl Into<String>) -> Error {
    Error::Call { device: NAME.to_owned(), call: call.into(), reason: reason.into() }
}

/// What an `NSError` says.
pub(super) fn reason(error: &NSError) -> String {
    error.localizedDescription().to_string()
}

pub(super) fn no_memory(bytes: usize) -> Error {
    Error::Memory { device: NAME.to_owned(), bytes, source: io::Error::from(io::ErrorKind::OutOfMemory) }
}

/// Takes a lock; what it guards is whole even where a thread panicked with it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Residency {
    set: Held<dyn MTLResidencySet>,
    changed: bool,
}

/// What buffers, programs and queues share.
pub(super) struct Context {
    pub device: Held<dyn MTLDevice>,
    queue: Held<dyn MTLCommandQueue>,
    residency: Option<Mutex<Residency>>,
}

impl Context {
    fn new() -> Result<Context, Error> {
        let device = MTLCreateSystemDefaultDevice().ok_or_else(|| Error::Unavailable {
            device: NAME.to_owned(),
            reason: "MTLCreateSystemDefaultDevice found no GPU that Metal can use".to_owned(),
        })?;
        let queue = device.newCommandQueue().ok_or_else(|| refused("newCommandQueue"))?;
        let residency = residency(&device)?.map(|set| {
            queue.addResidencySet(&set);
            Mutex::new(Residency { set: Held(set), changed: false })
        });
        Ok(Context { device: Held(device), queue: Held(queue), residency })
    }

    /// Whether the device belongs to `family`.
    pub fn is(&self, family: MTLGPUFamily) -> bool {
        self.device.0.supportsFamily(family)
    }

    /// True where a set on the queue keeps memory resident; else encoders must name what they use.
    pub fn keeps_resident(&self) -> bool {
        self.residency.is_some()
    }

    /// Memory that the host reaches, zeroed.
    pub fn shared(&self, bytes: usize) -> Result<Held<dyn MTLBuffer>, Error> {
        let options = MTLResourceOptions::StorageModeShared | MTLResourceOptions::HazardTrackingModeUntracked;
        let buffer = self.device.0.newBufferWithLength_options(bytes.max(16), options);
        buffer.map(Held).ok_or_else(|| no_memory(bytes))
    }

    /// Keeps `allocation` resident from the next submission on.
    pub fn enter(&self, allocation: &ProtocolObject<dyn MTLAllocation>) {
        if let Some(residency) = &self.residency {
            let mut residency = lock(residency);
            residency.set.0.addAllocation(allocation);
            residency.changed = true;
        }
    }

    /// Lets `allocation` go.
    pub fn leave(&self, allocation: &ProtocolObject<dyn MTLAllocation>) {
        if let Some(residency) = &self.residency {
            let mut residency = lock(residency);
            residency.set.0.removeAllocation(allocation);
            residency.changed = true;
        }
    }

    /// Encodes one command buffer, runs it and waits for its end. Gives the seconds that the GPU took.
    pub fn submit(
        &self,
        what: &str,
        encode: impl FnOnce(&ProtocolObject<dyn MTLCommandBuffer>) -> Result<(), Error>,
    ) -> Result<f64, Error> {
        if let Some(residency) = &self.residency {
            let mut residency = lock(residency);
            if std::mem::take(&mut residency.changed) {
                residency.set.0.commit();
                residency.set.0.requestResidency();
            }
        }
        autoreleasepool(|_| {
            let descriptor = MTLCommandBufferDescriptor::new();
            // The caller owns every buffer until the wait below is over.
            descriptor.setRetainedReferences(false);
            descriptor.setErrorOptions(MTLCommandBufferErrorOption::EncoderExecutionStatus);
            let commands =
                self.queue.0.commandBufferWithDescriptor(&descriptor).ok_or_else(|| refused("commandBuffer"))?;
            commands.setLabel(Some(&NSString::from_str(what)));
            encode(&commands)?;
            commands.commit();
            commands.waitUntilCompleted();
            if commands.status() == MTLCommandBufferStatus::Completed {
                return Ok(commands.GPUEndTime() - commands.GPUStartTime());
            }
            let why = commands.error().map_or_else(|| "no reason given".to_owned(), |e| fault(&e));
            Err(failed(format!("MTLCommandBuffer of {what}"), why))
        })
    }

    /// As [`Context::submit`], for a copy or a fill.
    pub fn blit(
        &self,
        what: &str,
        encode: impl FnOnce(&ProtocolObject<dyn MTLBlitCommandEncoder>),
    ) -> Result<(), Error> {
        self.submit(what, |commands| {
            let blit = commands.blitCommandEncoder().ok_or_else(|| refused("blitCommandEncoder"))?;
            encode(&blit);
            blit.endEncoding();
            Ok(())
        })?;
        Ok(())
    }
}

fn residency(
    device: &ProtocolObject<dyn MTLDevice>,
) -> Result<Option<Retained<ProtocolObject<dyn MTLResidencySet>>>, Error> {
    if !device.respondsToSelector(sel!(newResidencySetWithDescriptor:error:)) {
        return Ok(None);
    }
    let descriptor = MTLResidencySetDescriptor::new();
    descriptor.setLabel(Some(&NSString::from_str("metallic")));
    let set = device.newResidencySetWithDescriptor_error(&descriptor);
    set.map(Some).map_err(|e| failed("newResidencySetWithDescriptor", reason(&e)))
}

/// What a failed command buffer says, with the encoders that did not finish and the launches that they had signposted.
fn fault(error: &NSError) -> String {
    let mut text = reason(error);
    // SAFETY: the key is a constant of the framework.
    let key = unsafe { MTLCommandBufferEncoderInfoErrorKey };
    let Some(infos) = error.userInfo().objectForKey(key).and_then(|o| o.downcast::<NSArray>().ok()) else {
        return text;
    };
    for info in infos.iter() {
        // SAFETY: Metal documents the elements of this array to be of this protocol.
        let info = unsafe { Retained::cast_unchecked::<ProtocolObject<dyn MTLCommandBufferEncoderInfo>>(info) };
        if info.errorState() == MTLCommandEncoderErrorState::Completed {
            continue;
        }
        let last = info.debugSignposts().iter().last().map_or_else(String::new, |s| format!(", last launch {s}"));
        text += &format!("; encoder {} did not complete{last}", info.label());
    }
    text
}

/// The system's default Metal device.
pub(super) struct Metal {
    context: Arc<Context>,
    programs: Programs,
    weights: Mutex<Arena>,
    limits: Limits,
    options: Options,
    about: String,
}

impl Metal {
    pub fn new(options: Options) -> Result<Metal, Error> {
        let context = Arc::new(Context::new()?);
        let device = &context.device.0;
        let threads = device.maxThreadsPerThreadgroup();
        let (mut targets, mut features) = (vec![Target::Msl], features(&context));
        if options.libraries {
            targets.push(Target::Library);
            features.extend(mps::supports(device).then_some(mps::LIBRARY));
        }
        let limits = Limits {
            targets,
            features,
            max_threads: threads.width,
            threadgroup_bytes: device.maxThreadgroupMemoryLength(),
        };
        let about = format!(
            "{}, {} GiB working set, {} bytes of threadgroup memory, {}",
            device.name(),
            device.recommendedMaxWorkingSetSize() >> 30,
            limits.threadgroup_bytes,
            limits.features.join(" ")
        );
        let programs = Programs::new(context.clone(), options.math);
        Ok(Metal { context, programs, weights: Mutex::default(), limits, options, about })
    }
}

/// Families by the names that variants ask for.
fn features(context: &Context) -> Vec<&'static str> {
    let families = [
        ("apple6", MTLGPUFamily::Apple6),
        ("apple7", MTLGPUFamily::Apple7),
        ("apple8", MTLGPUFamily::Apple8),
        ("apple9", MTLGPUFamily::Apple9),
        ("apple10", MTLGPUFamily::Apple10),
        ("mac2", MTLGPUFamily::Mac2),
        ("metal3", MTLGPUFamily::Metal3),
        ("metal4", MTLGPUFamily::Metal4),
    ];
    let mut names: BTreeSet<_> = families.iter().filter(|(_, f)| context.is(*f)).map(|(name, _)| *name).collect();
    // What Apple's feature tables give these families.
    if names.contains("apple7") || names.contains("metal3") {
        names.insert("simd_reduction");
    }
    if names.contains("apple7") {
        names.insert("simdgroup_matrix");
    }
    if names.contains("apple6") || names.contains("metal3") {
        names.insert("bfloat");
    }
    names.into_iter().collect()
}

impl Device for Metal {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self) -> String {
        self.about.clone()
    }

    fn limits(&self) -> &Limits {
        &self.limits
    }

    fn alloc(&self, bytes: usize) -> Result<Buffer, Error> {
        Ok(Buffer::new(Memory::shared(&self.context, bytes)?))
    }

    fn alloc_weight(&self, bytes: usize) -> Result<Buffer, Error> {
        Ok(Buffer::new(lock(&self.weights).take(&self.context, bytes)?))
    }

    fn queue(&self, records: &[Record]) -> Result<Box<dyn Queue>, Error> {
        Ok(Box::new(MetalQueue::new(&self.context, &self.programs, records, self.options.encoding)?))
    }

    fn parallel(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) -> Result<(), Error> {
        let next = AtomicUsize::new(0);
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(parts);
        let work = || {
            loop {
                let part = next.fetch_add(1, Ordering::Relaxed);
                if part >= parts {
                    break;
                }
                job(part);
            }
        };
        let whole = std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
            all.into_iter().all(|t| t.join().is_ok())
        });
        if whole { Ok(()) } else { Err(Error::Part { device: NAME.to_owned() }) }
    }
}
