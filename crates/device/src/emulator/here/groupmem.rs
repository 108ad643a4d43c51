//! Threadgroup memory: what kernels declare, and arguments whose length the host sets.

use std::ffi::c_void;
use std::io;

use super::arena::Arena;
use super::shadow::{Region, Space, Window};

/// Where a block comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    /// A `[[threadgroup(n)]]` argument.
    Argument(u32),
    /// A variable of the body, by the number of its declaration.
    Variable(u32),
}

struct Block {
    key: (Declared, usize),
    address: *mut u8,
    region: Option<Box<Region>>,
}

/// Why a block cannot be had.
pub(super) enum Refused {
    /// It would be more than the device has: so many bytes in all.
    Limit(usize),
    /// The system gives no memory.
    System(io::Error),
}

/// The threadgroup memory of one worker, the same addresses for every threadgroup of a launch.
#[derive(Default)]
pub(super) struct GroupMemory {
    blocks: Vec<Block>,
    arguments: Vec<*mut c_void>,
    used: usize,
    limit: usize,
    checked: bool,
    /// Memory of runs without checks, in units that are aligned for any type.
    plain: Vec<[u128; 8]>,
}

impl GroupMemory {
    /// Forgets the last launch; this one may use `limit` bytes.
    pub(super) fn start_launch(&mut self, limit: usize, checked: bool) {
        self.blocks.clear();
        self.arguments.clear();
        self.used = 0;
        self.limit = limit;
        self.checked = checked;
        let units = limit.div_ceil(size_of::<[u128; 8]>()) + 1;
        if !checked && self.plain.len() < units {
            self.plain.resize(units, [0; 8]);
        }
    }

    /// What threads of a new threadgroup find: nothing of value.
    pub(super) fn start_group(&mut self) {
        for region in self.blocks.iter_mut().filter_map(|b| b.region.as_mut()) {
            let len = region.len;
            region.set_initialised(0, len, false);
            // SAFETY: the region is `len` bytes of this worker's own. All bits set is NaN in every float type.
            unsafe { std::ptr::write_bytes(region.placed.address() as *mut u8, 0xff, len) };
        }
    }

    /// Addresses of the threadgroup arguments by index.
    pub(super) fn arguments(&self) -> *const *mut c_void {
        self.arguments.as_ptr()
    }

    /// Sets argument `index` to `bytes`.
    pub(super) fn argument(&mut self, index: u32, bytes: usize, name: &str) -> Result<(), Refused> {
        let address =
            self.block(Declared::Argument(index), bytes, 16, &format!("threadgroup argument {index} {name:?}"))?;
        if self.arguments.len() <= index as usize {
            self.arguments.resize(index as usize + 1, std::ptr::null_mut());
        }
        self.arguments[index as usize] = address.cast();
        Ok(())
    }

    /// The block of a declaration that an earlier thread has met.
    #[inline]
    pub(super) fn known(&self, declared: Declared, bytes: usize) -> Option<*mut u8> {
        self.blocks.iter().find(|b| b.key == (declared, bytes)).map(|b| b.address)
    }

    /// A new block.
    pub(super) fn block(
        &mut self,
        declared: Declared,
        bytes: usize,
        align: usize,
        name: &str,
    ) -> Result<*mut u8, Refused> {
        let start = self.used.next_multiple_of(align.clamp(16, 128));
        let end = start.saturating_add(bytes);
        if end > self.limit {
            return Err(Refused::Limit(end));
        }
        self.used = end;
        let key = (declared, bytes);
        if !self.checked {
            let address = self.plain.as_mut_ptr().cast::<u8>().wrapping_add(start);
            self.blocks.push(Block { key, address, region: None });
            return Ok(address);
        }
        let placed = Arena::get().and_then(|a| a.place(bytes)).map_err(Refused::System)?;
        let address = placed.address() as *mut u8;
        let mut region = Box::new(Region::new(placed, bytes, Space::Threadgroup));
        region.windows = vec![Window { start: 0, end: bytes, name: name.to_owned(), buffer: None, writable: true }];
        region.shared = true;
        region.set_initialised(0, bytes, false);
        let announced: *mut Region = &raw mut *region;
        region.placed.announce(announced);
        // SAFETY: the region was just made, of this length.
        unsafe { std::ptr::write_bytes(address, 0xff, bytes) };
        self.blocks.push(Block { key, address, region: Some(region) });
        Ok(address)
    }
}
