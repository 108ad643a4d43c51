//! How a dispatch is cut into threadgroups, and what all of them share.

use std::ffi::c_void;

use super::super::fault::ThreadAt;
use super::abi::EntryFn;

/// How a dispatch is cut into threadgroups.
#[derive(Clone, Copy, Debug)]
pub(super) struct Geometry {
    /// Threads of a whole threadgroup.
    pub(super) threads: [u32; 3],
    /// Threadgroups.
    pub(super) groups: [u32; 3],
    /// Threads of the grid.
    pub(super) grid: [u32; 3],
}

impl Geometry {
    /// Threadgroups in all.
    pub(super) fn count(&self) -> u64 {
        self.groups.iter().map(|&g| u64::from(g)).product()
    }

    /// Position of threadgroup `index` in the grid.
    pub(super) fn position(&self, index: u64) -> [u32; 3] {
        let [x, y, _] = self.groups.map(|g| u64::from(g.max(1)));
        [(index % x) as u32, (index / x % y) as u32, (index / x / y) as u32]
    }

    /// Threads of the threadgroup at `position`: fewer than asked for at the ragged end of a grid.
    pub(super) fn threads_at(&self, position: [u32; 3]) -> [u32; 3] {
        std::array::from_fn(|i| {
            let start = u64::from(position[i]) * u64::from(self.threads[i]);
            u64::from(self.threads[i]).min(u64::from(self.grid[i]).saturating_sub(start)) as u32
        })
    }

    /// Thread `thread` of threadgroup `group`, for people.
    pub(super) fn thread(&self, group: u64, thread: u32) -> ThreadAt {
        let threadgroup = self.position(group);
        let [x, y, _] = self.threads_at(threadgroup).map(|n| n.max(1));
        let position = [thread % x, thread / x % y, thread / x / y];
        ThreadAt { threadgroup, position, simdgroup: thread / 32, lane: thread % 32 }
    }
}

/// What a launch is, for every threadgroup of it.
pub(super) struct Job {
    pub(super) entry: EntryFn,
    pub(super) geometry: Geometry,
    /// Addresses by buffer index.
    pub(super) buffers: Vec<*mut c_void>,
}

// SAFETY: a job holds addresses that live as long as the launch; workers share the kernel's own promises about them.
unsafe impl Send for Job {}
// SAFETY: as above.
unsafe impl Sync for Job {}
