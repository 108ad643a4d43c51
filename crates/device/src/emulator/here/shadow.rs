//! What checked emulation knows of each byte: whether it was written, and who accessed it last.

use super::arena::Placed;
use super::symbol::Site;

/// When something happened: a count of barriers and SIMD operations, over all dispatches.
pub(super) type Time = u32;

/// Which memory an access is to; barriers order them separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Space {
    /// `device` and `constant` buffers.
    Device,
    /// `threadgroup` memory.
    Threadgroup,
}

/// A part of a region that a launch may access.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) name: String,
    pub(super) buffer: Option<u32>,
    pub(super) writable: bool,
}

/// Checked memory and its shadow.
pub(super) struct Region {
    pub(super) placed: Placed,
    pub(super) len: usize,
    pub(super) space: Space,
    /// What the current launch may access of it.
    pub(super) windows: Vec<Window>,
    /// Whether any window is writable: only then can there be a race.
    pub(super) shared: bool,
    /// One byte a byte: 1 where it has been written.
    init: Vec<u8>,
    cells: Vec<[u64; 3]>,
    /// Bytes of a cell, as a shift: 2 until an access is finer.
    grain: u32,
}

/// One access as a cell remembers it: valid 1, atomic 1, thread 10, site 20, time 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp(u64);

impl Stamp {
    pub(super) fn new(time: Time, site: Site, thread: u32, atomic: bool) -> Stamp {
        Stamp(
            1 | u64::from(atomic) << 1
                | u64::from(thread & 0x3ff) << 2
                | u64::from(site & 0xf_ffff) << 12
                | u64::from(time) << 32,
        )
    }

    fn valid(self) -> bool {
        self.0 & 1 != 0
    }

    pub(super) fn atomic(self) -> bool {
        self.0 & 2 != 0
    }

    pub(super) fn thread(self) -> u32 {
        (self.0 >> 2) as u32 & 0x3ff
    }

    pub(super) fn site(self) -> Site {
        (self.0 >> 12) as u32 & 0xf_ffff
    }

    pub(super) fn time(self) -> Time {
        (self.0 >> 32) as u32
    }
}

/// What orders accesses: when the launch, the threadgroup and the last barriers of each kind were.
pub(super) struct Order {
    /// Start of the launch; what came before is ordered.
    pub(super) launch: Time,
    /// Start of the threadgroup that is running.
    pub(super) group: Time,
    /// Last threadgroup barrier that orders device, and threadgroup memory.
    pub(super) barrier: [Time; 2],
    /// The same for each SIMD group.
    pub(super) simd: [[Time; 2]; 32],
}

/// Why two accesses are not ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unordered {
    /// Threads of one threadgroup.
    Within,
    /// Threads of two threadgroups.
    Between,
}

impl Order {
    /// Whether `earlier` and an access now by `thread` may happen in either order, and conflict if one writes.
    fn against(&self, earlier: Stamp, thread: u32, atomic: bool, space: Space) -> Option<Unordered> {
        let time = earlier.time();
        if !earlier.valid() || time < self.launch || (earlier.atomic() && atomic) {
            return None;
        }
        if time < self.group {
            return (space == Space::Device).then_some(Unordered::Between);
        }
        let simd = thread / 32;
        let ordered = earlier.thread() == thread
            || time < self.barrier[space as usize]
            || (earlier.thread() / 32 == simd && time < self.simd[simd as usize & 31][space as usize]);
        (!ordered).then_some(Unordered::Within)
    }
}

/// An access that conflicts with an earlier one.
pub(super) struct Conflict {
    pub(super) earlier: Stamp,
    pub(super) earlier_writes: bool,
    pub(super) why: Unordered,
    /// First byte of the cell.
    pub(super) offset: usize,
}

impl Region {
    pub(super) fn new(placed: Placed, len: usize, space: Space) -> Region {
        Region { placed, len, space, windows: Vec::new(), shared: false, init: Vec::new(), cells: Vec::new(), grain: 2 }
    }

    /// Says whether `range` holds values.
    pub(super) fn set_initialised(&mut self, start: usize, end: usize, value: bool) {
        if self.init.is_empty() {
            // Without a map, all bytes hold values.
            if value {
                return;
            }
            self.init = vec![1; self.len];
        }
        if let Some(part) = self.init.get_mut(start..end.min(self.len)) {
            part.fill(u8::from(value));
        }
    }

    /// Bytes of `start..end` that nothing has written.
    pub(super) fn unwritten(&self, start: usize, end: usize) -> impl Iterator<Item = usize> + '_ {
        let map = self.init.get(start..end).unwrap_or_default();
        map.iter().enumerate().filter(|(_, i)| **i == 0).map(move |(at, _)| start + at)
    }

    /// Whether a read takes bytes that nothing has written. A wide read may take padding with it: a three-component vector
    /// fills three quarters of its room.
    #[inline]
    pub(super) fn reads_unwritten(&self, start: usize, bytes: usize) -> bool {
        let Some(map) = self.init.get(start..start + bytes) else { return false };
        match bytes {
            0..=8 => map.contains(&0),
            16 => map[..12].contains(&0),
            _ => !map.contains(&1),
        }
    }

    /// The values' state of a part, for a copy to another place.
    pub(super) fn states(&self, start: usize, bytes: usize) -> Option<Vec<u8>> {
        self.init.get(start..start + bytes).map(<[u8]>::to_vec)
    }

    pub(super) fn set_states(&mut self, start: usize, states: &[u8]) {
        if self.init.is_empty() && states.contains(&0) {
            self.init = vec![1; self.len];
        }
        if let Some(part) = self.init.get_mut(start..start + states.len()) {
            part.copy_from_slice(states);
        }
    }

    #[inline]
    pub(super) fn mark_written(&mut self, start: usize, bytes: usize) {
        if let Some(part) = self.init.get_mut(start..start + bytes) {
            part.fill(1);
        }
    }

    /// Forgets who accessed what.
    pub(super) fn forget(&mut self) {
        self.cells = Vec::new();
        self.grain = 2;
    }

    /// The site that wrote a byte last.
    pub(super) fn writer(&self, at: usize) -> Option<Site> {
        let stamp = Stamp(self.cells.get(at >> self.grain)?[0]);
        stamp.valid().then(|| stamp.site())
    }

    /// Records an access and gives the first earlier one that it conflicts with.
    #[inline]
    pub(super) fn access(
        &mut self,
        start: usize,
        bytes: usize,
        write: bool,
        stamp: Stamp,
        order: &Order,
    ) -> Option<Conflict> {
        while (start | bytes) & ((1 << self.grain) - 1) != 0 {
            self.refine();
        }
        if self.cells.is_empty() {
            self.cells = vec![[0; 3]; (self.len >> self.grain) + 1];
        }
        let (first, last) = (start >> self.grain, (start + bytes) >> self.grain);
        let mut found = None;
        let space = self.space;
        for (i, cell) in self.cells.get_mut(first..last)?.iter_mut().enumerate() {
            let conflict =
                if write { write_cell(cell, stamp, order, space) } else { read_cell(cell, stamp, order, space) };
            if let Some((earlier, earlier_writes, why)) = conflict
                && found.is_none()
            {
                found = Some(Conflict { earlier, earlier_writes, why, offset: (first + i) << self.grain });
            }
        }
        found
    }

    /// Halves the cells' size: an access does not fall on their borders.
    #[cold]
    fn refine(&mut self) {
        self.grain -= 1;
        self.cells = self.cells.iter().flat_map(|c| [*c, *c]).collect();
        if !self.cells.is_empty() {
            self.cells.resize((self.len >> self.grain) + 1, [0; 3]);
        }
    }
}

type Found = Option<(Stamp, bool, Unordered)>;

#[inline]
fn write_cell(cell: &mut [u64; 3], stamp: Stamp, order: &Order, space: Space) -> Found {
    let thread = stamp.thread();
    let mut found = None;
    for (at, writes) in [(0, true), (1, false), (2, false)] {
        let earlier = Stamp(cell[at]);
        if found.is_none()
            && let Some(why) = order.against(earlier, thread, stamp.atomic(), space)
        {
            found = Some((earlier, writes, why));
        }
    }
    // What this write is ordered after, later accesses that are ordered after this write are ordered after too.
    *cell = [stamp.0, 0, 0];
    found
}

#[inline]
fn read_cell(cell: &mut [u64; 3], stamp: Stamp, order: &Order, space: Space) -> Found {
    let thread = stamp.thread();
    let write = Stamp(cell[0]);
    let found = order.against(write, thread, stamp.atomic(), space).map(|why| (write, true, why));
    // Two readers of different threads are kept: whoever writes later is not one of them.
    let (first, second) = (Stamp(cell[1]), Stamp(cell[2]));
    let mine = |s: Stamp| s.valid() && s.thread() == thread && s.time() >= order.group;
    let stale = |s: Stamp| order.against(s, thread, false, space).is_none() && !mine(s);
    if mine(first) || (!mine(second) && stale(first)) {
        cell[1] = stamp.0;
    } else {
        cell[2] = stamp.0;
    }
    found
}
