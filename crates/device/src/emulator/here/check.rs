//! The state of a checked launch, and the test that every access goes through.

use std::collections::HashMap;
use std::ffi::{CStr, c_char};

use super::super::fault::{Fault, FaultKind, Faults, Other, Place, Spot};
use super::arena::Arena;
use super::geometry::Geometry;
use super::shadow::{Conflict, Order, Region, Space, Stamp, Time, Unordered, Window};
use super::symbol::{Site, Sites};

/// What a checked launch knows. One worker has it at a time.
pub(super) struct Check {
    pub(super) arena: &'static Arena,
    pub(super) sites: Sites,
    pub(super) kernel: String,
    pub(super) geometry: Geometry,
    pub(super) faults: Faults,
    pub(super) seed: u64,
    /// Blocks of code that a thread may run through.
    pub(super) steps: u64,
    /// Set by a fault that makes further threadgroups pointless.
    pub(super) stop: bool,
    pub(super) time: Time,
    /// Last threadgroup barrier whatever its flags.
    pub(super) any_barrier: Time,
    pub(super) order: Order,
    random: u64,
    group: u64,
    /// When each threadgroup of the launch started.
    groups: Vec<(Time, u64)>,
    /// The atomic operation that the support library is about to do: its address, size and site.
    atomic: (usize, usize, Site),
    /// Sites of places that the support library tells, by address of the file's name.
    told: HashMap<(usize, u32), Site>,
}

/// What a launch is checked with.
pub(super) struct Setup {
    pub(super) sites: Sites,
    pub(super) kernel: String,
    pub(super) geometry: Geometry,
    pub(super) seed: u64,
    pub(super) steps: u64,
    pub(super) time: Time,
}

/// An access as the instrumentation tells it.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) address: usize,
    pub(super) bytes: usize,
    pub(super) write: bool,
    pub(super) atomic: bool,
    pub(super) site: Site,
    pub(super) thread: u32,
}

impl Check {
    pub(super) fn new(setup: Setup, arena: &'static Arena) -> Check {
        let Setup { sites, kernel, geometry, seed, steps, time } = setup;
        Check {
            arena,
            sites,
            kernel,
            geometry,
            faults: Faults::default(),
            seed,
            steps,
            stop: false,
            time: time + 1,
            any_barrier: 0,
            order: Order { launch: time + 1, group: time + 1, barrier: [0; 2], simd: [[0; 2]; 32] },
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            group: 0,
            groups: Vec::new(),
            atomic: (0, 0, 0),
            told: HashMap::new(),
        }
    }

    /// A new threadgroup starts; nothing orders it after the others of this launch.
    pub(super) fn start_group(&mut self, group: u64) {
        self.time += 1;
        self.group = group;
        self.groups.push((self.time, group));
        self.order.group = self.time;
        self.order.barrier = [self.time; 2];
        self.order.simd = [[self.time; 2]; 32];
        self.any_barrier = self.time;
    }

    /// Whether threads run in an order of chance.
    pub(super) fn shuffles(&self) -> bool {
        self.seed != 0
    }

    /// A random number of the schedule; none in the natural order.
    pub(super) fn shuffle(&mut self) -> Option<u64> {
        self.shuffles().then(|| {
            // SplitMix64 (Steele, Lea, Flood 2014).
            self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }

    /// The site of a place told by the support library.
    ///
    /// # Safety
    /// `file` is null or a C string that lives as long as the library.
    pub(super) unsafe fn told(&mut self, file: *const c_char, line: u32) -> Site {
        if let Some(&site) = self.told.get(&(file as usize, line)) {
            return site;
        }
        // SAFETY: the caller's promise.
        let site = match unsafe { place(file, line) } {
            Some(place) => self.sites.intern(place),
            None => 0,
        };
        self.told.insert((file as usize, line), site);
        site
    }

    /// Notes that the support library accesses `bytes` at `address` atomically next, and not plainly.
    pub(super) fn expect_atomic(&mut self, address: usize, bytes: usize, site: Site) {
        self.atomic = (address, bytes, site);
    }

    /// Whether an access is a part of the atomic operation that was told last.
    #[inline]
    pub(super) fn expected(&self, address: usize, bytes: usize, site: Site) -> bool {
        let (start, length, at) = self.atomic;
        address >= start && address + bytes <= start + length && site == at
    }

    /// Checks an access and records it. False where it must not happen: the thread cannot go on.
    #[inline]
    pub(super) fn access(&mut self, a: Access) -> bool {
        let region = self.arena.region(a.address);
        // SAFETY: regions are announced while they live; the launch keeps its buffers alive, and only this worker uses them.
        let Some(region) = (unsafe { region.as_mut() }) else {
            // SAFETY: as above.
            match unsafe { self.arena.before(a.address).as_ref() } {
                Some(region) => self.outside(region, a),
                None => {
                    let cause = format!("{} memory that belongs to no buffer", verb(a));
                    self.report(FaultKind::OutOfBounds, a, None, cause);
                }
            }
            return false;
        };
        let offset = a.address.wrapping_sub(region.placed.address());
        let window = region.windows.iter().find(|w| offset >= w.start && offset.saturating_add(a.bytes) <= w.end);
        let Some(window) = window else {
            self.outside(region, a);
            return false;
        };
        if a.write && !window.writable {
            let cause = format!("writes {}, which the kernel takes as read-only", window.name);
            let spot = spot(region, window, a);
            self.report(FaultKind::ReadOnly, a, Some(spot), cause);
            return false;
        }
        if !a.write && region.reads_unwritten(offset, a.bytes) {
            let cause = format!("reads {} of {} that nothing has written", bytes(a.bytes), window.name);
            let spot = spot(region, window, a);
            self.report(FaultKind::Uninitialised, a, Some(spot), cause);
            region.mark_written(offset, a.bytes);
        }
        if a.write {
            region.mark_written(offset, a.bytes);
        }
        if region.shared {
            let stamp = Stamp::new(self.time, a.site, a.thread, a.atomic);
            if let Some(conflict) = region.access(offset, a.bytes, a.write, stamp, &self.order) {
                self.conflict(region, a, &conflict);
            }
        }
        true
    }

    #[cold]
    fn outside(&mut self, region: &Region, a: Access) {
        let offset = a.address as i64 - region.placed.address() as i64;
        let distance = |w: &&Window| (offset - w.start as i64).abs().min((offset - w.end as i64).abs());
        let Some(window) = region.windows.iter().min_by_key(distance) else {
            self.report(
                FaultKind::OutOfBounds,
                a,
                None,
                format!("{} a buffer that this kernel was not given", verb(a)),
            );
            return;
        };
        let spot = spot(region, window, a);
        let end = spot.offset + a.bytes as i64;
        let length = spot.length as i64;
        let far = if spot.offset < 0 {
            format!("{} before the start of", bytes(-spot.offset as usize))
        } else if spot.offset == length {
            "right behind the end of".to_owned()
        } else if spot.offset > length {
            format!("{} past the end of", bytes((spot.offset - length) as usize))
        } else {
            format!("that reach {} beyond the end of", bytes((end - length) as usize))
        };
        let cause =
            format!("{} {} {far} {}, which has {}", verb(a), bytes(a.bytes), window.name, bytes(length as usize));
        self.report(FaultKind::OutOfBounds, a, Some(spot), cause);
    }

    #[cold]
    fn conflict(&mut self, region: &Region, a: Access, c: &Conflict) {
        let start = c.offset.max(a.address.wrapping_sub(region.placed.address()));
        let Some(window) = region.windows.iter().find(|w| start >= w.start && start < w.end) else { return };
        let earlier = access_name(c.earlier_writes, c.earlier.atomic());
        let mixed = a.atomic != c.earlier.atomic();
        let kind = match c.why {
            _ if mixed => FaultKind::MixedAtomic,
            Unordered::Within => FaultKind::Race,
            Unordered::Between => FaultKind::ThreadgroupRace,
        };
        let why = match c.why {
            Unordered::Between => "threadgroups of one dispatch run in any order",
            Unordered::Within if c.earlier.time() < self.any_barrier => match region.space {
                Space::Device => "the barrier between them does not name mem_flags::mem_device",
                Space::Threadgroup => "the barrier between them does not name mem_flags::mem_threadgroup",
            },
            Unordered::Within => "no barrier is between them",
        };
        let also = if mixed { "; atomic and plain accesses do not order each other" } else { "" };
        let cause = format!(
            "{} of {} races with an earlier {earlier}: {why}{also}",
            access_name(a.write, a.atomic),
            window.name,
        );
        let group = match self.groups.partition_point(|g| g.0 <= c.earlier.time()) {
            0 => self.group,
            at => self.groups[at - 1].1,
        };
        let other = Other {
            access: earlier,
            place: self.sites.place(c.earlier.site()),
            thread: self.geometry.thread(group, c.earlier.thread()),
        };
        let spot = spot(region, window, a);
        let fault = self.fault(kind, a.site, a.thread, cause);
        self.faults.add(Fault { memory: Some(spot), other: Some(other), ..fault });
    }

    #[cold]
    fn report(&mut self, kind: FaultKind, a: Access, memory: Option<Spot>, cause: String) {
        let fault = self.fault(kind, a.site, a.thread, cause);
        self.faults.add(Fault { memory, ..fault });
    }

    /// Reports an address that is not aligned for its type.
    pub(super) fn misaligned(&mut self, a: Access, alignment: usize) {
        let memory = if self.arena.contains(a.address) {
            // SAFETY: as in `access`.
            let region = unsafe { self.arena.region(a.address).as_ref() };
            region.and_then(|r| {
                let offset = a.address.wrapping_sub(r.placed.address());
                let window = r.windows.iter().find(|w| offset >= w.start && offset < w.end)?;
                Some((window.name.clone(), spot(r, window, a)))
            })
        } else {
            None
        };
        let what = memory.as_ref().map_or("private memory", |(name, _)| name);
        let offset = memory.as_ref().map_or(String::new(), |(_, s)| format!(" at offset {}", s.offset));
        let cause = format!("accesses {what}{offset} as a type that must lie at a multiple of {alignment} bytes");
        self.report(FaultKind::Misaligned, a, memory.map(|m| m.1), cause);
    }

    /// A fault of this launch with nothing said of memory.
    pub(super) fn fault(&self, kind: FaultKind, site: Site, thread: u32, cause: String) -> Fault {
        Fault {
            kind,
            kernel: self.kernel.clone(),
            place: self.sites.place(site),
            thread: Some(self.geometry.thread(self.group, thread)),
            memory: None,
            other: None,
            cause,
            seed: self.seed,
            count: 1,
        }
    }

    /// The running threadgroup.
    pub(super) fn group(&self) -> u64 {
        self.group
    }
}

/// A place told by the support library.
///
/// # Safety
/// `file` is null or a C string.
pub(super) unsafe fn place(file: *const c_char, line: u32) -> Option<Place> {
    (!file.is_null() && line > 0).then(|| {
        // SAFETY: the caller's promise.
        let file = unsafe { CStr::from_ptr(file) }.to_string_lossy().into_owned();
        Place { file, line }
    })
}

fn spot(region: &Region, window: &Window, a: Access) -> Spot {
    Spot {
        memory: window.name.clone(),
        buffer: window.buffer,
        offset: a.address as i64 - region.placed.address() as i64 - window.start as i64,
        bytes: a.bytes as u64,
        length: (window.end - window.start) as u64,
    }
}

fn verb(a: Access) -> &'static str {
    if a.write { "writes" } else { "reads" }
}

fn access_name(write: bool, atomic: bool) -> &'static str {
    match (write, atomic) {
        (true, true) => "atomic write",
        (false, true) => "atomic read",
        (true, false) => "write",
        (false, false) => "read",
    }
}

/// A count of bytes in words.
pub(super) fn bytes(n: usize) -> String {
    if n == 1 { "1 byte".to_owned() } else { format!("{n} bytes") }
}
