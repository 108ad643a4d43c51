//! Metal memory: shared with the host for activations, private to the GPU for weights.

use std::ptr::NonNull;
use std::sync::Arc;

use objc2::runtime::ProtocolObject;
use objc2_foundation::NSRange;
use objc2_metal::{
    MTLBlitCommandEncoder, MTLBuffer, MTLDevice, MTLHazardTrackingMode, MTLHeap, MTLHeapDescriptor, MTLResourceOptions,
    MTLStorageMode,
};

use super::device::{Context, Held, no_memory};
use crate::Error;

/// Bytes that one copy to or from private memory moves.
const STAGE: usize = 32 << 20;
/// What the places and sizes of copies and fills are multiples of.
const WORD: usize = 4;

/// A buffer of the Metal device.
pub(super) struct Memory {
    pub buffer: Held<dyn MTLBuffer>,
    len: usize,
    place: Place,
    context: Arc<Context>,
}

enum Place {
    /// In memory that the host reaches as well.
    Shared(NonNull<u8>),
    /// In a heap that only the GPU reaches.
    Private(Arc<Heap>),
}

// SAFETY: the host's address is that of the buffer's contents, which live as long as it does; who may touch them when is
// decided by plans.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeroed memory that the host reaches.
    pub fn shared(context: &Arc<Context>, bytes: usize) -> Result<Memory, Error> {
        let buffer = context.shared(bytes)?;
        context.enter(ProtocolObject::from_ref(&*buffer.0));
        let host = buffer.0.contents().cast();
        Ok(Memory { buffer, len: bytes, place: Place::Shared(host), context: context.clone() })
    }

    /// The heap behind private memory, or the buffer itself: what must be resident.
    pub fn heap(&self) -> Option<&ProtocolObject<dyn MTLHeap>> {
        match &self.place {
            Place::Shared(_) => None,
            Place::Private(heap) => Some(&heap.heap.0),
        }
    }

    fn inside(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }

    /// Copies between private memory and the host, a stage at a time. Metal copies whole words on macOS, so a part that begins or
    /// ends inside of one is fetched before it is overwritten.
    fn staged(&self, offset: usize, len: usize, copy: &mut Copy<'_>) -> Result<(), Error> {
        let stage = self.context.shared(len.min(STAGE) + 2 * WORD)?;
        let host = stage.0.contents().cast::<u8>();
        for start in (0..len).step_by(STAGE) {
            let size = STAGE.min(len - start);
            let head = (offset + start) % WORD;
            let words = Words { stage: &stage.0, at: offset + start - head, len: (head + size).next_multiple_of(WORD) };
            if matches!(copy, Copy::Out(_)) || words.len != size {
                self.fetch(&words)?;
            }
            // SAFETY: the stage holds head + size bytes, and the GPU is done with it.
            let bytes = unsafe { std::slice::from_raw_parts_mut(host.as_ptr().add(head), size) };
            match copy {
                Copy::In(data) => {
                    bytes.copy_from_slice(&data[start..start + size]);
                    self.store(&words)?;
                }
                Copy::Out(data) => data[start..start + size].copy_from_slice(bytes),
            }
        }
        Ok(())
    }

    fn fetch(&self, words: &Words<'_>) -> Result<(), Error> {
        // SAFETY: `words` are inside of this buffer, whose length is whole words, and the stage holds as many.
        self.context.blit("reading a weight", |blit| unsafe {
            blit.copyFromBuffer_sourceOffset_toBuffer_destinationOffset_size(
                &self.buffer.0,
                words.at,
                words.stage,
                0,
                words.len,
            );
        })
    }

    fn store(&self, words: &Words<'_>) -> Result<(), Error> {
        // SAFETY: as in `fetch`.
        self.context.blit("writing a weight", |blit| unsafe {
            blit.copyFromBuffer_sourceOffset_toBuffer_destinationOffset_size(
                words.stage,
                0,
                &self.buffer.0,
                words.at,
                words.len,
            );
        })
    }
}

/// A part of a private buffer, and the host's memory that it is copied through.
struct Words<'a> {
    stage: &'a ProtocolObject<dyn MTLBuffer>,
    at: usize,
    len: usize,
}

enum Copy<'a> {
    In(&'a [u8]),
    Out(&'a mut [u8]),
}

impl crate::Memory for Memory {
    fn len(&self) -> usize {
        self.len
    }

    fn write(&self, offset: usize, data: &[u8]) -> Result<(), Error> {
        assert!(self.inside(offset, data.len()), "write outside of a buffer");
        match self.place {
            Place::Shared(host) => {
                // SAFETY: the range is inside; callers write between runs, never during one.
                unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), host.as_ptr().add(offset), data.len()) }
                Ok(())
            }
            Place::Private(_) => self.staged(offset, data.len(), &mut Copy::In(data)),
        }
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), Error> {
        assert!(self.inside(offset, out.len()), "read outside of a buffer");
        match self.place {
            Place::Shared(host) => {
                // SAFETY: the range is inside; callers read between runs.
                unsafe { std::ptr::copy_nonoverlapping(host.as_ptr().add(offset), out.as_mut_ptr(), out.len()) }
                Ok(())
            }
            Place::Private(_) => self.staged(offset, out.len(), &mut Copy::Out(out)),
        }
    }

    fn host(&self) -> Option<*mut u8> {
        match self.place {
            Place::Shared(host) => Some(host.as_ptr()),
            Place::Private(_) => None,
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Place::Shared(_) = self.place {
            self.context.leave(ProtocolObject::from_ref(&*self.buffer.0));
        }
    }
}

/// Private memory that many weights share, so that residency is a matter of few objects.
struct Heap {
    heap: Held<dyn MTLHeap>,
    context: Arc<Context>,
}

impl Drop for Heap {
    fn drop(&mut self) {
        self.context.leave(ProtocolObject::from_ref(&*self.heap.0));
    }
}

/// The heap that weights are taken from.
#[derive(Default)]
pub(super) struct Arena {
    heap: Option<Arc<Heap>>,
}

impl Arena {
    const REGION: usize = 256 << 20;

    /// Zeroed private memory.
    pub fn take(&mut self, context: &Arc<Context>, bytes: usize) -> Result<Memory, Error> {
        let options = MTLResourceOptions::StorageModePrivate | MTLResourceOptions::HazardTrackingModeUntracked;
        let padded = bytes.max(16).checked_next_multiple_of(WORD).ok_or_else(|| no_memory(bytes))?;
        let need = context.device.0.heapBufferSizeAndAlignWithLength_options(padded, options);
        let heap = match &self.heap {
            Some(heap) if heap.heap.0.maxAvailableSizeWithAlignment(need.align) >= need.size => heap.clone(),
            _ => {
                let heap = Arc::new(heap(context, need.size.max(Self::REGION))?);
                // A large weight fills its heap; the one before still has room for small ones.
                if need.size < Self::REGION {
                    self.heap = Some(heap.clone());
                }
                heap
            }
        };
        let buffer = heap.heap.0.newBufferWithLength_options(padded, options).ok_or_else(|| no_memory(bytes))?;
        let all = NSRange::new(0, padded);
        context.blit("clearing a weight", |blit| blit.fillBuffer_range_value(&buffer, all, 0))?;
        Ok(Memory { buffer: Held(buffer), len: bytes, place: Place::Private(heap), context: context.clone() })
    }
}

fn heap(context: &Arc<Context>, bytes: usize) -> Result<Heap, Error> {
    let descriptor = MTLHeapDescriptor::new();
    descriptor.setSize(bytes);
    descriptor.setStorageMode(MTLStorageMode::Private);
    descriptor.setHazardTrackingMode(MTLHazardTrackingMode::Untracked);
    let heap = context.device.0.newHeapWithDescriptor(&descriptor).ok_or_else(|| no_memory(bytes))?;
    context.enter(ProtocolObject::from_ref(&*heap));
    Ok(Heap { heap: Held(heap), context: context.clone() })
}
