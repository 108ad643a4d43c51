//! Many rows of x against panels on AMX tiles in bf16, sums in f32.
//!
//! Phase 1 splits x into bf16 tiles (`tiles`): one part, rounded, or two that hold 16 bits of it; where x comes in tiles it does
//! nothing. Phase 2: workers claim groups of pairs of panels. A block is 32 rows of x times a slice along k of two panels, its 32 x 32
//! sums in four tile registers; between slices they wait in the second-level cache. An f16 weight is two bf16 parts, exactly.
//!
//! x streams past the first-level cache, which belongs to the slice of weights; blocks walk it forwards and backwards in turn, so
//! that what lies there is what a block starts with. The registers of sums and of operands change places after each block: the next
//! sums are loaded before the last ones are stored. What a tile store writes can be read only some hundred cycles later, so a gated
//! block of y in tiles is finished between the products of the next. Weights are converted, and other blocks finished, between
//! blocks: among the products that was slower.

use std::arch::x86_64::*;
use std::ops::Range;

use super::avx512::store;
use super::roles::{High, Low, Roles, Walk};
use super::unpack::{self, Tiles};
use super::{GATE, MatmulParams, TILE_ROWS, W, X, Y, pack, tiled_at};
use crate::DType;
use crate::amx::{TILE, configure_tiles, release_tiles};
use crate::contract::{Args, Flags, Key, Native};
use crate::x86::{gate, gate_short, here, narrow, prefetch_to_write, sixteen, split};

/// x rounded to bf16.
pub(super) const NATIVE: Native = Native { phases: &[split_x::<1>, multiply::<1>], scratch: scratch::<1> };

/// x in two bf16 parts: float weights to 2^-16.
pub(super) const NATIVE_X2: Native = Native { phases: &[split_x::<2>, multiply::<2>], scratch: scratch::<2> };

/// Steps in a slice at most, by parts of a weight. Measured: from 10 to 28 steps the longer slices lose in loads what they save in
/// trips of sums, and 38 lose more.
const SLICE: [usize; 2] = [28, 14];
/// Bytes of sums that stay in the second-level cache, beside one slice of x.
const SUM_BYTES: usize = 960 << 10;
/// Bytes of x that stay there.
const X_BYTES: usize = 1200 << 10;
/// Bytes of the sums of a block.
const SUMS: usize = 4 * TILE;
/// Tiles that are converted, rows that are finished, and steps that are walked at most before the unit that stores tiles is kept awake.
const AWAKE: [usize; 3] = [4, 16, 20];

/// How one problem is cut. A step is 32 elements along k.
#[derive(Clone, Copy)]
struct Cut {
    steps: usize,
    slices: usize,
    /// Pairs of x tiles.
    pairs: usize,
    /// bf16 parts of x.
    x_parts: usize,
    /// x comes in tiles.
    tiled: bool,
    /// bf16 parts of w.
    w_parts: usize,
    /// Pairs of panels whose sums wait at a time, at most.
    group: usize,
}

impl Cut {
    fn new(dtype: DType, rows: usize, k: usize, x_parts: usize, tiled: bool) -> Cut {
        let steps = k.div_ceil(32);
        let w_parts = unpack::parts(dtype);
        let slices = steps.div_ceil(SLICE[w_parts - 1]);
        let pairs = rows.div_ceil(TILE_ROWS);
        // Where all of x stays in the cache, two pairs of panels, which share lines of a y in tiles, go through all slices at once.
        let fits = pairs * steps * 2 * TILE <= X_BYTES;
        let group = if fits { 2 } else { (SUM_BYTES / (pairs * SUMS)).clamp(1, 64) };
        Cut { steps, slices, pairs, x_parts, tiled, w_parts, group }
    }

    fn of<const XP: usize>(a: &Args<'_>, p: &MatmulParams) -> Cut {
        Cut::new(p.dtype(), a.rows, p.k as usize, XP, p.ldx == 0)
    }

    /// The steps of a slice.
    fn slice(&self, i: usize) -> Range<usize> {
        i * self.steps / self.slices..(i + 1) * self.steps / self.slices
    }

    /// Bytes of one part of x.
    fn x_part_bytes(&self) -> usize {
        self.pairs * self.steps * 2 * TILE
    }

    /// Bytes of scratch that x takes.
    fn x_bytes(&self) -> usize {
        if self.tiled { 0 } else { self.x_parts * self.x_part_bytes() }
    }

    /// Bytes of one step of two panels: first parts, then second ones.
    fn weight_step(&self) -> usize {
        2 * self.w_parts * TILE
    }

    /// Bytes of one converted slice of two panels.
    fn weight_bytes(&self) -> usize {
        self.steps.div_ceil(self.slices) * self.weight_step()
    }

    /// A slice of weights, the sums of a finished block, a tile that nobody reads, and sums that wait. A step of fewer rows makes
    /// larger groups, whose sums take `SUM_BYTES` at most all the same.
    fn worker_bytes(&self) -> usize {
        self.weight_bytes() + SUMS + TILE + (self.group * self.pairs * SUMS).max(SUM_BYTES)
    }
}

fn scratch<const XP: usize>(key: &Key, workers: usize) -> usize {
    let c = Cut::new(key.w, key.m, key.k, XP, key.flags.has(Flags::TILED_X));
    c.x_bytes() + workers * c.worker_bytes()
}

/// # Safety
/// As `contract::Phase`; the CPU has AVX-512 BF16.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16")]
unsafe fn split_x<const XP: usize>(a: &Args<'_>) {
    let p = a.params.get::<MatmulParams>();
    let k = p.k as usize;
    let c = Cut::of::<XP>(a, p);
    if c.tiled {
        return;
    }
    // SAFETY: the contract's buffers; a unit is one row of a pair of tiles of scratch in each part.
    unsafe {
        let x = a.output::<f32>(X).cast_const();
        for r in a.share(c.pairs * TILE_ROWS, 1) {
            let row = x.add(r * p.ldx as usize);
            for s in 0..c.steps {
                let left = if r < a.rows { (k - s * 32).min(32) } else { 0 };
                let mask = if left == 32 { !0u32 } else { (1u32 << left) - 1 };
                let at = row.wrapping_add(s * 32);
                let low = _mm512_maskz_loadu_ps(mask as u16, at);
                let high = _mm512_maskz_loadu_ps((mask >> 16) as u16, at.wrapping_add(16));
                let out = a.scratch.ptr.add((r / TILE_ROWS * c.steps + s) * 2 * TILE + r % TILE_ROWS * 64);
                if XP == 1 {
                    _mm512_storeu_si512(out.cast(), narrow(low, high));
                } else {
                    let [first, second] = split(low, high);
                    _mm512_storeu_si512(out.cast(), first);
                    _mm512_storeu_si512(out.add(c.x_part_bytes()).cast(), second);
                }
            }
        }
    }
}

/// # Safety
/// As `contract::Phase`, after `split_x`; the CPU has AMX BF16 and the process may use tiles.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,f16c")]
unsafe fn multiply<const XP: usize>(a: &Args<'_>) {
    let p = a.params.get::<MatmulParams>();
    let c = Cut::of::<XP>(a, p);
    let panels = (p.n as usize).div_ceil(pack::ROWS);
    let pairs = if p.gated == 1 { panels } else { panels.div_ceil(2) };
    if a.rows == 0 {
        return;
    }
    // As few groups as there can be, of one size.
    let share = pairs.div_ceil(a.workers);
    let group = share.div_ceil(share.div_ceil(c.group));
    // SAFETY: the contract's buffers; a worker has its own part of scratch behind x's tiles, and its own columns of y.
    unsafe {
        let x = if c.tiled { a.output::<u8>(X).cast_const() } else { a.scratch.ptr };
        let weights = a.scratch.ptr.add(c.x_bytes() + a.worker * c.worker_bytes());
        let ready = weights.add(c.weight_bytes());
        let idle = ready.add(SUMS);
        let work = Work { a, p, c, pairs, group, x, weights, ready, idle, waiting: idle.add(TILE) };
        configure_tiles();
        work.run();
        release_tiles();
    }
}

/// One slice of two panels, to multiply with all of x.
#[derive(Clone, Copy)]
struct Item {
    /// First pair of panels of the group.
    group: usize,
    slice: usize,
    /// Two panels side by side, or the same panel of both matrices.
    pair: usize,
}

/// A block whose sums are ready.
#[derive(Clone, Copy)]
struct Ready {
    pair: usize,
    /// Which 32 rows.
    m: usize,
}

/// Rows 2 i and 2 i + 1 of a finished block, gated, in bf16.
///
/// # Safety
/// `ready` holds four tiles.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn gate_rows(ready: *const u8, i: usize) -> __m512i {
    // SAFETY: the caller's promise.
    unsafe {
        let at = ready.add(i / 8 * 2 * TILE + i % 8 * 128).cast::<f32>();
        let row = |at: *const f32| gate_short(_mm512_loadu_ps(at), _mm512_loadu_ps(at.add(TILE / 4)));
        here(narrow(row(at), row(at.add(16))))
    }
}

/// All rows of a finished block.
///
/// # Safety
/// As `gate_rows`.
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn gate_all(ready: *const u8) -> [__m512i; 16] {
    // SAFETY: the caller's promise.
    std::array::from_fn(|i| unsafe { gate_rows(ready, i) })
}

/// Brings the weights of the next item into the second-level cache, a little with each step.
struct Ahead {
    at: [*const u8; 2],
    stride: usize,
}

impl Ahead {
    /// The part of `next` that is asked for during block `m`.
    fn new(work: &Work<'_>, next: Item, m: usize) -> Ahead {
        let (c, steps) = (&work.c, work.c.slice(next.slice));
        let step = pack::panel_bytes(work.p.dtype(), work.p.k as usize) / c.steps;
        let at =
            work.panels(next).map(|panel| panel.wrapping_add(steps.start * step + steps.len() * step * m / c.pairs));
        Ahead { at, stride: step.div_ceil(c.pairs) }
    }

    #[inline(always)]
    fn advance(&mut self) {
        for at in &mut self.at {
            for line in (0..self.stride).step_by(64) {
                // SAFETY: a hint, which never faults.
                unsafe { _mm_prefetch::<_MM_HINT_T1>(at.wrapping_add(line).cast()) };
            }
            *at = at.wrapping_add(self.stride);
        }
    }
}

/// One worker's part of phase 2.
struct Work<'a> {
    a: &'a Args<'a>,
    p: &'a MatmulParams,
    c: Cut,
    /// Pairs of panels, of all workers.
    pairs: usize,
    /// Pairs of a group, which one worker takes.
    group: usize,
    /// Tiles of x.
    x: *const u8,
    /// The item's weights.
    weights: *mut u8,
    /// Sums of a finished block.
    ready: *mut u8,
    /// A tile that nobody reads.
    idle: *mut u8,
    /// Sums between slices.
    waiting: *mut u8,
}

impl Work<'_> {
    /// The first item of a group that nobody has yet.
    fn claim(&self) -> Option<Item> {
        let group = self.a.claim(self.pairs.div_ceil(self.group))? * self.group;
        Some(Item { group, slice: 0, pair: group })
    }

    /// What this worker does after an item. Pairs of a group share the slices of x that lie in the cache.
    fn after(&self, item: Item) -> Option<Item> {
        let end = (item.group + self.group).min(self.pairs);
        if item.pair + 1 < end {
            Some(Item { pair: item.pair + 1, ..item })
        } else if item.slice + 1 < self.c.slices {
            Some(Item { slice: item.slice + 1, pair: item.group, ..item })
        } else {
            self.claim()
        }
    }

    /// Where the sums of block `m` wait for the item's slice, or null before the first.
    fn sums(&self, item: Item, m: usize) -> *mut u8 {
        match item.slice {
            0 => std::ptr::null_mut(),
            _ => self.waiting.wrapping_add(((item.pair - item.group) * self.c.pairs + m) * SUMS),
        }
    }

    /// # Safety
    /// As `multiply`, with tiles configured.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,f16c")]
    unsafe fn run(&self) {
        let c = &self.c;
        let Some(mut item) = self.claim() else { return };
        let mut high = false;
        let mut gating = None;
        // SAFETY: the caller's promise.
        unsafe {
            Low::start();
            loop {
                self.convert(item);
                let next = self.after(item);
                let done = item.slice + 1 == c.slices;
                for m in 0..c.pairs {
                    let to = if done { self.ready } else { self.sums(Item { slice: 1, ..item }, m) };
                    let from = match next {
                        _ if m + 1 < c.pairs => self.sums(item, m + 1),
                        Some(next) => self.sums(next, 0),
                        None => std::ptr::null_mut(),
                    };
                    let ahead = Ahead::new(self, next.unwrap_or(item), m);
                    match (gating, high) {
                        (Some(block), false) => self.block_gating::<Low>(item, m, to, from, ahead, block),
                        (Some(block), true) => self.block_gating::<High>(item, m, to, from, ahead, block),
                        (None, false) => self.block::<Low>(item, m, to, from, ahead),
                        (None, true) => self.block::<High>(item, m, to, from, ahead),
                    }
                    high ^= from != to;
                    gating = (done && self.gates_tiles()).then_some(Ready { pair: item.pair, m });
                    if done && gating.is_none() {
                        self.finish(item.pair, m * TILE_ROWS..(m * TILE_ROWS + TILE_ROWS).min(self.a.rows));
                    }
                }
                match next {
                    Some(next) => item = next,
                    None => break,
                }
            }
            if let Some(block) = gating {
                self.put_gated(block, gate_all(self.ready));
            }
        }
    }

    /// Whether y is silu(g) u in bf16 tiles, which is gated in the shadow of the next block's products.
    fn gates_tiles(&self) -> bool {
        self.p.gated == 1 && self.p.ldy == 0 && self.c.x_parts == 1 && self.c.w_parts == 1
    }

    /// Adds 32 rows of x times the slice's weights to the sums of `R`, stores them and loads the next block's from `from`.
    ///
    /// # Safety
    /// As `run`, with the item's weights converted.
    #[inline]
    unsafe fn block<R: Roles>(&self, item: Item, m: usize, to: *mut u8, from: *const u8, mut ahead: Ahead) {
        let c = &self.c;
        let steps = c.slice(item.slice);
        let len = steps.len();
        let first = (m * c.steps + steps.start) * 2 * TILE;
        let writes = item.slice + 1 == c.slices && self.p.gated == 0;
        let (ldy, mut row) = (self.p.ldy as usize, 0);
        let y = self.a.output::<f32>(Y).wrapping_add(m * TILE_ROWS * ldy + item.pair * 2 * pack::ROWS);
        // SAFETY: the caller's promise.
        unsafe {
            for part in 0..c.x_parts {
                let x = self.x.add(part * c.x_part_bytes() + first);
                let mut walk = Walk::new([x, self.weights], [2 * TILE, c.weight_step()], len, m % 2 == 1);
                let halves = if len > AWAKE[2] { [len / 2, len - len / 2] } else { [len, 0] };
                for (i, half) in halves.into_iter().enumerate() {
                    if i == 1 && half > 0 {
                        R::awake(self.idle);
                    }
                    for _ in 0..half {
                        // The second part of x meets the first of w alone: what is left out is below 2^-16.
                        if c.w_parts == 2 && part == 0 {
                            R::two_parts(&walk)
                        } else {
                            R::one_part(&walk)
                        }
                        walk.advance();
                        ahead.advance();
                        if writes && row < TILE_ROWS {
                            prefetch_to_write(y.wrapping_add(row * ldy).cast());
                            prefetch_to_write(y.wrapping_add(row * ldy + 16).cast());
                            row += 1;
                        }
                    }
                }
            }
            // One block alone keeps its sums where they are.
            if from != to {
                R::turn(to, from);
            }
        }
    }

    /// As `block`, and gates meanwhile the block whose sums are ready. Its results stay in registers up to the end: stores between
    /// the products would hold up the loads of tiles.
    ///
    /// # Safety
    /// As `block`; `gates_tiles`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,f16c")]
    unsafe fn block_gating<R: Roles>(
        &self,
        item: Item,
        m: usize,
        to: *mut u8,
        from: *const u8,
        mut ahead: Ahead,
        block: Ready,
    ) {
        let c = &self.c;
        let steps = c.slice(item.slice);
        let len = steps.len();
        // SAFETY: the caller's promise.
        unsafe {
            let x = self.x.add((m * c.steps + steps.start) * 2 * TILE);
            let mut walk = Walk::new([x, self.weights], [2 * TILE, c.weight_step()], len, m % 2 == 1);
            let mut walked = 0;
            let place = self.gated_place(block);
            let mut rows = |i: usize| {
                prefetch_to_write(place.wrapping_add(i * 128));
                prefetch_to_write(place.wrapping_add(i * 128 + 64));
                while walked < (i + 1) * len / 16 {
                    R::one_part(&walk);
                    walk.advance();
                    ahead.advance();
                    walked += 1;
                }
                if i == 7 && len > AWAKE[2] {
                    R::awake(self.idle);
                }
                gate_rows(self.ready, i)
            };
            let gated = sixteen!(rows);
            if from != to {
                R::turn(to, from);
            }
            self.put_gated(block, gated);
        }
    }

    /// Where the first row of a gated block goes: half a row of a tile.
    fn gated_place(&self, block: Ready) -> *mut u8 {
        let first = tiled_at(self.p.n as usize, block.m * TILE_ROWS, block.pair * pack::ROWS);
        self.a.output::<u16>(Y).wrapping_add(first).cast()
    }

    /// Writes a gated block to its half of a tile of y.
    ///
    /// # Safety
    /// As `multiply`; `gates_tiles`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512vl")]
    unsafe fn put_gated(&self, block: Ready, gated: [__m512i; 16]) {
        let to = self.gated_place(block);
        // Bit r stands for row r.
        let rows = u32::MAX >> TILE_ROWS.saturating_sub(self.a.rows - block.m * TILE_ROWS);
        // SAFETY: y has whole tiles; rows past the last are left alone.
        unsafe {
            let put = |r: usize, half| {
                let mask = ((rows >> r & 1) * 0xFF) as u8;
                _mm256_mask_storeu_epi32(to.add(r * 64).cast(), mask, half);
            };
            for (i, &two) in gated.iter().enumerate() {
                put(2 * i, _mm512_castsi512_si256(two));
                put(2 * i + 1, _mm512_extracti64x4_epi64::<1>(two));
            }
        }
    }

    /// The two panels of an item.
    fn panels(&self, item: Item) -> [*const u8; 2] {
        let bytes = pack::panel_bytes(self.p.dtype(), self.p.k as usize);
        [0, 1].map(|i| {
            let (from, panel) = match (self.p.gated, i) {
                (1, 0) => (W, item.pair),
                (1, _) => (GATE, item.pair),
                _ => (W, (item.pair * 2 + i).min((self.p.n as usize - 1) / pack::ROWS)),
            };
            // SAFETY: the contract's buffers hold whole panels.
            unsafe { self.a.input::<u8>(from).as_ptr().wrapping_add(panel * bytes) }
        })
    }

    /// Converts the weights of an item.
    ///
    /// # Safety
    /// As `multiply`.
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512bf16,f16c")]
    unsafe fn convert(&self, item: Item) {
        let (dtype, k) = (self.p.dtype(), self.p.k as usize);
        let steps = self.c.slice(item.slice);
        for (i, panel) in self.panels(item).into_iter().enumerate() {
            // SAFETY: the panel exists; the tiles lie in the worker's slice.
            unsafe {
                for s in steps.clone() {
                    let first = self.weights.add((s - steps.start) * self.c.weight_step() + i * TILE);
                    let tiles = Tiles { first, second: first.wrapping_add(2 * TILE) };
                    unpack::to_bf16(dtype, panel, s * 32, k, tiles);
                    if s % AWAKE[0] == 0 {
                        Low::awake(self.idle);
                    }
                }
            }
        }
    }

    /// Writes the sums of a finished block to y.
    ///
    /// # Safety
    /// As `multiply`; `ready` holds the block's four tiles.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bf16")]
    unsafe fn finish(&self, pair: usize, rows: Range<usize>) {
        let p = self.p;
        for r in rows {
            let at = self.ready.wrapping_add(r % TILE_ROWS / 16 * 2 * TILE + r % 16 * 64).cast::<f32>();
            // SAFETY: row and columns are inside y.
            unsafe {
                if r % AWAKE[1] == AWAKE[1] - 1 {
                    Low::awake(self.idle);
                }
                let (first, second) = (_mm512_loadu_ps(at), _mm512_loadu_ps(at.wrapping_add(256)));
                let j = pair * 2 * pack::ROWS;
                if p.gated == 1 {
                    let both = gate(first, second);
                    if p.ldy == 0 {
                        let at = tiled_at(p.n as usize, r, pair * pack::ROWS);
                        let half = _mm512_castsi512_si256(narrow(both, both));
                        _mm256_storeu_si256(self.a.output::<u16>(Y).add(at).cast(), half);
                    } else {
                        store(self.a, p, r, pair * pack::ROWS, both);
                    }
                    continue;
                }
                store(self.a, p, r, j, first);
                if j + pack::ROWS < p.n as usize {
                    store(self.a, p, r, j + pack::ROWS, second);
                }
            }
        }
    }
}
