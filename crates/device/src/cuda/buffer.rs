//! Device memory from the driver's pool, and the pinned memory that copies go through.

use std::sync::Arc;

use super::driver::{Context, call};
use super::error::Error;
use super::stream::{Event, Stream};
use super::{Shared, lock};

/// Memory of a CUDA device.
pub struct Memory {
    shared: Arc<Shared>,
    address: u64,
    len: usize,
}

impl Memory {
    /// Zeroed memory; the driver's pool aligns it to 256 bytes at least.
    pub(super) fn zeroed(shared: &Arc<Shared>, len: usize) -> Result<Memory, Error> {
        let mut memory = Memory { shared: shared.clone(), address: 0, len };
        if len == 0 {
            return Ok(memory);
        }
        shared.context.bind()?;
        let stream = shared.stream.raw();
        // SAFETY: the context is current; the bytes that are set were just given.
        unsafe {
            call!(cuMemAllocAsync(&mut memory.address, len, stream))?;
            call!(cuMemsetD8Async(memory.address, 0, len, stream))?;
        }
        Ok(memory)
    }

    /// Address of the first byte, on the device.
    pub fn address(&self) -> u64 {
        self.address
    }

    /// True where it belongs to the device of `shared`.
    pub(super) fn is_of(&self, shared: &Arc<Shared>) -> bool {
        Arc::ptr_eq(&self.shared, shared)
    }

    fn inside(&self, offset: usize, len: usize) -> bool {
        offset.checked_add(len).is_some_and(|end| end <= self.len)
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.address != 0 && self.shared.context.bind().is_ok() {
            // SAFETY: from cuMemAllocAsync; the stream orders it after what still uses it.
            let _ = unsafe { call!(cuMemFreeAsync(self.address, self.shared.stream.raw())) };
        }
    }
}

impl crate::Memory for Memory {
    fn len(&self) -> usize {
        self.len
    }

    fn write(&self, offset: usize, data: &[u8]) -> Result<(), crate::Error> {
        assert!(self.inside(offset, data.len()), "write outside of a buffer");
        self.shared
            .staged(|s, stream| s.write(stream, self.address + offset as u64, data))
            .map_err(|e| e.during("a copy to the device"))
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), crate::Error> {
        assert!(self.inside(offset, out.len()), "read outside of a buffer");
        self.shared
            .staged(|s, stream| s.read(stream, self.address + offset as u64, out))
            .map_err(|e| e.during("a copy from the device"))
    }

    fn poison(&self) -> Result<(), crate::Error> {
        let fill = || -> Result<(), Error> {
            if self.len == 0 {
                return Ok(());
            }
            self.shared.context.bind()?;
            // SAFETY: all of the memory, and nothing else.
            unsafe { call!(cuMemsetD8Async(self.address, 0xff, self.len, self.shared.stream.raw())) }?;
            self.shared.stream.wait()
        };
        fill().map_err(|e| e.during("filling memory"))
    }

    fn host(&self) -> Option<*mut u8> {
        None
    }
}

/// Two halves of pinned memory: while the device copies one, the host fills the other.
pub(super) struct Staging {
    halves: [Half; 2],
}

struct Half {
    bytes: Pinned,
    /// When the device is done with it.
    done: Event,
}

const HALF: usize = 4 << 20;

impl Staging {
    pub fn new(context: &Arc<Context>) -> Result<Staging, Error> {
        let half = || Ok::<_, Error>(Half { bytes: Pinned::new(context, HALF)?, done: Event::new(context)? });
        Ok(Staging { halves: [half()?, half()?] })
    }

    /// Copies `data` to `address`, and waits until it is there.
    fn write(&mut self, stream: &Stream, address: u64, data: &[u8]) -> Result<(), Error> {
        for (i, part) in data.chunks(HALF).enumerate() {
            let half = &mut self.halves[i % 2];
            half.done.wait()?;
            half.bytes.0[..part.len()].copy_from_slice(part);
            let to = address + (i * HALF) as u64;
            // SAFETY: the caller checked the range on the device; the half is not touched until `done`.
            unsafe { call!(cuMemcpyHtoDAsync_v2(to, half.bytes.0.as_ptr().cast(), part.len(), stream.raw())) }?;
            stream.record(&half.done)?;
        }
        stream.wait()
    }

    /// Copies from `address` to `out`.
    fn read(&mut self, stream: &Stream, address: u64, out: &mut [u8]) -> Result<(), Error> {
        let mut started: Option<(usize, &mut [u8])> = None;
        for (i, part) in out.chunks_mut(HALF).enumerate() {
            let half = &mut self.halves[i % 2];
            let from = address + (i * HALF) as u64;
            // SAFETY: the caller checked the range on the device; the half was copied out before its turn came again.
            unsafe { call!(cuMemcpyDtoHAsync_v2(half.bytes.0.as_mut_ptr().cast(), from, part.len(), stream.raw())) }?;
            stream.record(&half.done)?;
            if let Some((before, part)) = started.replace((i % 2, part)) {
                self.take(before, part)?;
            }
        }
        match started {
            Some((last, part)) => self.take(last, part),
            None => Ok(()),
        }
    }

    fn take(&self, half: usize, out: &mut [u8]) -> Result<(), Error> {
        let half = &self.halves[half];
        half.done.wait()?;
        out.copy_from_slice(&half.bytes.0[..out.len()]);
        Ok(())
    }
}

/// Host memory that the device copies from and to at full speed.
struct Pinned(&'static mut [u8], Arc<Context>);

impl Pinned {
    fn new(context: &Arc<Context>, len: usize) -> Result<Pinned, Error> {
        let mut at = std::ptr::null_mut();
        // SAFETY: the context is current; what is given is zeroed before it becomes a slice, and freed on drop alone.
        let bytes = unsafe {
            call!(cuMemHostAlloc(&mut at, len, 0))?;
            at.cast::<u8>().write_bytes(0, len);
            std::slice::from_raw_parts_mut(at.cast::<u8>(), len)
        };
        Ok(Pinned(bytes, context.clone()))
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        let _ = self.1.bind();
        // SAFETY: from cuMemHostAlloc, and used no more.
        let _ = unsafe { call!(cuMemFreeHost(self.0.as_mut_ptr().cast())) };
    }
}

impl Shared {
    /// Runs `copy` with the staging memory, one at a time.
    fn staged(&self, copy: impl FnOnce(&mut Staging, &Stream) -> Result<(), Error>) -> Result<(), Error> {
        self.context.bind()?;
        let mut slot = lock(&self.staging);
        if slot.is_none() {
            *slot = Some(Staging::new(&self.context)?);
        }
        match slot.as_mut() {
            Some(staging) => copy(staging, &self.stream),
            None => Ok(()),
        }
    }
}
