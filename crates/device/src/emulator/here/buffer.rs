//! Emulated memory: checked buffers with a shadow, or plain host memory.

use std::cell::UnsafeCell;
use std::io;

use super::arena::Arena;
use super::shadow::{Region, Space};
use crate::Error;

/// A buffer of a checked emulator.
pub struct Memory {
    region: Box<UnsafeCell<Region>>,
    len: usize,
}

// SAFETY: a region is touched between launches by whoever holds the buffer, and during one by its only worker; plans see to it
// that these do not meet, as on every device.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

/// Contents of a buffer at one time, with what is known of them.
pub(super) struct Snapshot {
    pub(super) bytes: Vec<u8>,
    states: Option<Vec<u8>>,
}

impl Memory {
    /// Zeroed memory.
    ///
    /// # Errors
    /// The system's, where it has no `bytes` to give.
    pub(super) fn zeroed(bytes: usize) -> io::Result<Memory> {
        let placed = Arena::get()?.place(bytes)?;
        let region = Box::new(UnsafeCell::new(Region::new(placed, bytes, Space::Device)));
        let memory = Memory { region, len: bytes };
        // SAFETY: nobody else has the region yet.
        unsafe { (*memory.region.get()).placed.announce(memory.region.get()) };
        Ok(memory)
    }

    /// Bytes of `start..end` that nothing has written since it was poisoned.
    pub fn unwritten(&self, start: usize, end: usize) -> Vec<usize> {
        // SAFETY: between launches.
        unsafe { self.region() }.unwritten(start, end).collect()
    }

    pub(super) fn address(&self) -> *mut u8 {
        // SAFETY: reads a number that does not change.
        unsafe { (*self.region.get()).placed.address() as *mut u8 }
    }

    /// The region, to change it.
    ///
    /// # Safety
    /// Between launches, or by the worker of the one that runs.
    #[allow(clippy::mut_from_ref)]
    pub(super) unsafe fn region(&self) -> &mut Region {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.region.get() }
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let mut bytes = vec![0; self.len];
        // SAFETY: between launches; both are `len` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(self.address(), bytes.as_mut_ptr(), self.len);
            Snapshot { bytes, states: self.region().states(0, self.len) }
        }
    }

    pub(super) fn restore(&self, to: &Snapshot) {
        // SAFETY: between launches; both are `len` bytes.
        unsafe {
            std::ptr::copy_nonoverlapping(to.bytes.as_ptr(), self.address(), self.len.min(to.bytes.len()));
            if let Some(states) = &to.states {
                self.region().set_states(0, states);
            }
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the last owner; the region leaves the arena before it goes.
        unsafe { self.region() }.placed.announce(std::ptr::null_mut());
    }
}

impl crate::Memory for Memory {
    fn len(&self) -> usize {
        self.len
    }

    fn write(&self, offset: usize, data: &[u8]) -> Result<(), Error> {
        assert!(offset.checked_add(data.len()).is_some_and(|end| end <= self.len), "write outside of a buffer");
        // SAFETY: the range is inside; callers write between launches.
        unsafe {
            std::ptr::copy_nonoverlapping(data.as_ptr(), self.address().add(offset), data.len());
            self.region().mark_written(offset, data.len());
        }
        Ok(())
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), Error> {
        assert!(offset.checked_add(out.len()).is_some_and(|end| end <= self.len), "read outside of a buffer");
        // SAFETY: the range is inside; callers read between launches.
        unsafe { std::ptr::copy_nonoverlapping(self.address().add(offset), out.as_mut_ptr(), out.len()) }
        Ok(())
    }

    fn poison(&self) -> Result<(), Error> {
        // SAFETY: between launches; the memory is `len` bytes.
        unsafe {
            std::ptr::write_bytes(self.address(), 0xff, self.len);
            self.region().set_initialised(0, self.len, false);
        }
        Ok(())
    }

    fn host(&self) -> Option<*mut u8> {
        Some(self.address())
    }
}
