//! One large reservation of addresses that checked memory is placed in, far apart: an index that runs away stays in the slot of
//! the buffer it belongs to, and any address tells its region by one shift and one load.

use std::io;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Mutex, OnceLock};

use super::shadow::Region;

/// Slots of the reservation. A buffer takes one, or several where it is larger than a quarter of a slot.
const SLOTS: usize = 1 << 11;

/// The reservation, made once a process. Its addresses cost nothing until a buffer takes them.
pub(super) struct Arena {
    base: usize,
    shift: u32,
    regions: Box<[AtomicPtr<Region>]>,
    /// Which slots are taken, and where the search goes on.
    taken: Mutex<(Vec<bool>, usize)>,
}

/// A run of slots, with memory in the middle; given back when dropped.
pub(super) struct Placed {
    first: usize,
    slots: usize,
    address: usize,
    mapped: usize,
}

impl Arena {
    /// The arena of this process.
    ///
    /// # Errors
    /// Where the system reserves not even a small one.
    pub(super) fn get() -> io::Result<&'static Arena> {
        static ARENA: OnceLock<Option<Arena>> = OnceLock::new();
        ARENA
            .get_or_init(|| (24..=35).rev().find_map(Arena::reserve))
            .as_ref()
            .ok_or_else(|| io::Error::other("the system reserves no range of addresses for checked memory"))
    }

    fn reserve(shift: u32) -> Option<Arena> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the system's choice touches nothing else.
        let at = unsafe { libc::mmap(std::ptr::null_mut(), SLOTS << shift, libc::PROT_NONE, flags, -1, 0) };
        (at != libc::MAP_FAILED).then(|| Arena {
            base: at as usize,
            shift,
            regions: (0..SLOTS).map(|_| AtomicPtr::new(std::ptr::null_mut())).collect(),
            taken: Mutex::new((vec![false; SLOTS], 0)),
        })
    }

    /// Whether an address lies in the reservation.
    #[inline]
    pub(super) fn contains(&self, address: usize) -> bool {
        address.wrapping_sub(self.base) < SLOTS << self.shift
    }

    /// The region whose slot an address lies in; null where the slot is free.
    #[inline]
    pub(super) fn region(&self, address: usize) -> *mut Region {
        self.regions[(address.wrapping_sub(self.base) >> self.shift) & (SLOTS - 1)].load(Ordering::Relaxed)
    }

    /// The last region before an address in a free slot: where an index that ran away most likely started.
    pub(super) fn before(&self, address: usize) -> *mut Region {
        let last = (address.wrapping_sub(self.base) >> self.shift) & (SLOTS - 1);
        let taken = self.regions[..last].iter().rev().map(|r| r.load(Ordering::Relaxed));
        taken.into_iter().find(|r| !r.is_null()).unwrap_or(std::ptr::null_mut())
    }

    /// Readable and writable zeroed memory of `bytes`, in slots of its own.
    ///
    /// # Errors
    /// No free slots, or no memory.
    pub(super) fn place(&'static self, bytes: usize) -> io::Result<Placed> {
        let slot = 1usize << self.shift;
        let mapped = bytes.max(1).checked_next_multiple_of(page()).ok_or(io::ErrorKind::OutOfMemory)?;
        let slots = if mapped <= slot / 4 { 1 } else { mapped.div_ceil(slot) + 1 };
        let first = self.take(slots).ok_or_else(|| {
            io::Error::other(format!(
                "checked emulation holds at most {SLOTS} buffers, and has no room for {bytes} bytes"
            ))
        })?;
        // An index of 32 bits reaches 16 GiB of floats upwards and 8 downwards: at a third, a slot of 32 GiB holds both.
        let address = self.base + (first << self.shift) + (slot / 3).next_multiple_of(page());
        let placed = Placed { first, slots, address, mapped };
        // SAFETY: the range lies in slots that were free, inside the reservation.
        let done = unsafe { libc::mprotect(address as *mut _, mapped, libc::PROT_READ | libc::PROT_WRITE) };
        if done != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(placed)
    }

    fn take(&self, slots: usize) -> Option<usize> {
        let mut taken = self.taken.lock().unwrap_or_else(|e| e.into_inner());
        let (map, next) = &mut *taken;
        let free = |first: usize| first + slots <= SLOTS && map[first..first + slots].iter().all(|t| !t);
        let first = (*next..SLOTS).chain(0..*next).find(|&f| free(f))?;
        map[first..first + slots].fill(true);
        *next = (first + slots) % SLOTS;
        Some(first)
    }
}

impl Placed {
    /// First byte.
    pub(super) fn address(&self) -> usize {
        self.address
    }

    /// Makes `region` the one that addresses of these slots belong to.
    pub(super) fn announce(&self, region: *mut Region) {
        if let Ok(arena) = Arena::get() {
            for slot in &arena.regions[self.first..self.first + self.slots] {
                slot.store(region, Ordering::Relaxed);
            }
        }
    }
}

impl Drop for Placed {
    fn drop(&mut self) {
        self.announce(std::ptr::null_mut());
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED;
        // SAFETY: the range is this placement's own; mapping it anew gives its pages back and forbids access.
        unsafe { libc::mmap(self.address as *mut _, self.mapped, libc::PROT_NONE, flags, -1, 0) };
        if let Ok(arena) = Arena::get() {
            let mut taken = arena.taken.lock().unwrap_or_else(|e| e.into_inner());
            taken.0[self.first..self.first + self.slots].fill(false);
        }
    }
}

fn page() -> usize {
    // SAFETY: asks the system for a number.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}
