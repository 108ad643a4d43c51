//! CPU memory: zeroed anonymous pages, large ones where the system has them, or a part of a mapped file.

use std::any::Any;
use std::io;
use std::sync::Arc;

use memmap2::{MmapMut, MmapOptions};

use crate::Error;

/// Size of a huge page on x86-64 and on most arm64: buffers of at least one start on such a boundary and ask for them, so that
/// weights and activations cost few TLB misses.
#[cfg(target_os = "linux")]
const HUGE: usize = 2 << 20;

/// A region of host memory that kernels reach by address.
pub struct Memory {
    ptr: *mut u8,
    len: usize,
    owner: Owner,
}

enum Owner {
    Nothing,
    Pages(#[allow(dead_code)] MmapMut),
    /// A part of a larger region.
    Part(#[allow(dead_code)] Arc<Memory>),
    /// Read-only memory that something else keeps alive, such as a mapped model file.
    Shared(#[allow(dead_code)] Arc<dyn Any + Send + Sync>),
}

// SAFETY: Memory is an address range that lives as long as its owner; who may write when is decided by plans.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeroed, page-aligned memory.
    ///
    /// # Errors
    /// The system's, where it has no `bytes` to give.
    pub fn zeroed(bytes: usize) -> io::Result<Memory> {
        if bytes == 0 {
            return Ok(Memory { ptr: std::ptr::dangling_mut::<u64>().cast(), len: 0, owner: Owner::Nothing });
        }
        #[cfg(target_os = "linux")]
        if bytes >= HUGE {
            let mut pages =
                MmapOptions::new().len(bytes.checked_add(HUGE).ok_or(io::ErrorKind::OutOfMemory)?).map_anon()?;
            // Advice only: a kernel without huge pages says no, and nothing is lost. The last, partial page is left small, so
            // that no memory beyond `bytes` is taken.
            let head = pages.as_ptr().align_offset(HUGE);
            let _ = pages.advise_range(memmap2::Advice::HugePage, head, bytes / HUGE * HUGE);
            // SAFETY: head is below HUGE, the excess that was mapped.
            let ptr = unsafe { pages.as_mut_ptr().add(head) };
            return Ok(Memory { ptr, len: bytes, owner: Owner::Pages(pages) });
        }
        let mut pages = MmapOptions::new().len(bytes).map_anon()?;
        Ok(Memory { ptr: pages.as_mut_ptr(), len: bytes, owner: Owner::Pages(pages) })
    }

    /// Memory that `owner` keeps alive, for reading only.
    ///
    /// # Safety
    /// `bytes` stays valid and unwritten while `owner` lives, and no kernel gets it as an output.
    pub unsafe fn shared(bytes: &[u8], owner: Arc<dyn Any + Send + Sync>) -> Memory {
        Memory { ptr: bytes.as_ptr().cast_mut(), len: bytes.len(), owner: Owner::Shared(owner) }
    }

    /// A part of `whole`, which it keeps alive.
    fn part(whole: &Arc<Memory>, offset: usize, len: usize) -> Memory {
        debug_assert!(offset + len <= whole.len);
        Memory { ptr: whole.ptr.wrapping_add(offset), len, owner: Owner::Part(whole.clone()) }
    }

    /// First byte.
    pub fn ptr(&self) -> *mut u8 {
        self.ptr
    }
}

impl crate::Memory for Memory {
    fn len(&self) -> usize {
        self.len
    }

    fn write(&self, offset: usize, data: &[u8]) -> Result<(), Error> {
        assert!(offset.checked_add(data.len()).is_some_and(|end| end <= self.len), "write outside of a buffer");
        assert!(!matches!(self.owner, Owner::Shared(_)), "write to shared memory");
        // SAFETY: the range is inside owned memory; callers write between runs, never during one.
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), self.ptr.add(offset), data.len()) }
        Ok(())
    }

    fn read(&self, offset: usize, out: &mut [u8]) -> Result<(), Error> {
        assert!(offset.checked_add(out.len()).is_some_and(|end| end <= self.len), "read outside of a buffer");
        // SAFETY: the range is inside; callers read between runs.
        unsafe { std::ptr::copy_nonoverlapping(self.ptr.add(offset), out.as_mut_ptr(), out.len()) }
        Ok(())
    }

    fn host(&self) -> Option<*mut u8> {
        Some(self.ptr)
    }
}

/// Weights side by side in large regions, so that all but the last lie on huge pages.
pub(super) struct Arena {
    region: Arc<Memory>,
    used: usize,
}

impl Arena {
    /// Pages of a region are taken from the system when they are first written, so a large one costs nothing.
    const REGION: usize = 64 << 20;
    const ALIGN: usize = 64;

    /// An arena without a region.
    pub fn new() -> io::Result<Arena> {
        Ok(Arena { region: Arc::new(Memory::zeroed(0)?), used: 0 })
    }

    /// Zeroed memory of `bytes`, aligned to 64.
    ///
    /// # Errors
    /// The system's, where it has no more to give.
    pub fn take(&mut self, bytes: usize) -> io::Result<Memory> {
        if bytes >= Self::REGION {
            return Memory::zeroed(bytes);
        }
        if self.used + bytes > self.region.len {
            self.region = Arc::new(Memory::zeroed(Self::REGION)?);
            self.used = 0;
        }
        let part = Memory::part(&self.region, self.used, bytes);
        self.used += bytes.next_multiple_of(Self::ALIGN);
        Ok(part)
    }
}
