//! Attention on AMX tiles: lanes of (token, head) pairs as in `lanes`, both products in bf16 parts, softmax in f32.
//!
//! For a block of 32 keys: S^T (keys, lanes) = K Q^T, keys in the order they lie in; then O^T (elements, lanes) += V^T P^T, V turned
//! once for all tiles of the unit. A chunk of blocks is brought into tiles at a time and stays in the second-level cache; a pair of
//! tiles of lanes then meets them one after another, and its queries and sums stay in the first-level cache. Queries and keys enter
//! in two bf16 parts (three products: an error in a score is an error in an exponent), values in two, weights rounded to bf16 and
//! summed as rounded.
//!
//! Tiles go two by two, so that four sums hide the latency of a product. In the shadow of a meeting's weighing run the products of
//! its neighbours (`Shadow`): the scores of the next and O^T of the last. A weight is 2^(score - reference); the reference of a lane
//! follows its highest score only where that has risen by `RISE`, so that O^T is seldom rescaled (as in FlashAttention-4).

use std::arch::x86_64::*;

use super::amx_pack::{load_rows, pack_keys, pack_queries, pack_values, write_out};
use super::lanes::{BLOCK, LANES, Sight, Unit, most_tiles, sight, units};
use super::{AttentionParams, View};
use crate::DType;
use crate::amx::{TILE, configure_tiles, dot, load, release_tiles, store, stream, zero};
use crate::contract::{Args, Native};
use crate::x86::{exp2_short, here, interleave_index, narrow, sixteen};

pub(super) const NATIVE: Native =
    Native { phases: &[attend], scratch: |key, workers| workers * Shape::new(key.k, key.batch).bytes() };

/// Tiles that a unit aims at: with heads of 64, their queries and outputs take half a megabyte.
const TILES: usize = 64;

/// How far a lane's highest score may rise above its reference: weights stay below 2^8.
const RISE: f32 = 8.0;

/// The score of a key that a lane does not see, and the reference of a lane that has seen none: 2 to their difference is 0.
const HIDDEN: f32 = -1e30;
const UNSEEN: f32 = -1e29;

/// Sizes of one worker's memory.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub hd: usize,
    tiles: usize,
}

impl Shape {
    fn new(hd: usize, heads: usize) -> Shape {
        Shape { hd, tiles: most_tiles(TILES, heads) }
    }

    /// Tiles along the elements of a head, as the reduced dimension.
    pub fn steps(self) -> usize {
        self.hd / 32
    }

    /// Bytes of Q^T of a tile of lanes: for each step, both parts.
    pub fn queries(self) -> usize {
        self.steps() * 2 * TILE
    }

    /// Bytes of O^T of a tile of lanes.
    pub fn out(self) -> usize {
        self.hd / 16 * TILE
    }

    /// Blocks in a chunk: their keys and values take a quarter of a megabyte.
    fn chunk(self) -> usize {
        ((128 << 10) / self.block()).max(1)
    }

    /// Bytes of the keys of a block, for each step the first parts of both sixteens, then the second ones; and of its values, for
    /// each 32 elements likewise.
    fn block(self) -> usize {
        self.steps() * 4 * TILE
    }

    fn bytes(self) -> usize {
        let per_tile = self.queries() + self.out() + 3 * 64;
        let rows = BLOCK * self.hd * 4;
        self.tiles * per_tile + 2 * self.chunk() * self.block() + 2 * (SCORES + WEIGHTS) + rows
    }
}

/// Tiles of lanes that go together.
const PAIR: usize = 2;
/// Bytes of the scores of a block and a pair, of which two are under way; of a tile of them.
const SCORES: usize = PAIR * ONE_SCORES;
const ONE_SCORES: usize = BLOCK * LANES * 4;
/// Bytes of the weights of a pair, of which two are under way.
const WEIGHTS: usize = PAIR * TILE;

/// One worker's memory, as addresses.
#[derive(Clone, Copy)]
pub(super) struct Work {
    pub s: Shape,
    /// Per tile: Q^T.
    pub q: *mut u8,
    /// Per tile: O^T.
    pub out: *mut u8,
    /// Per tile: position of each lane.
    positions: *mut [i32; LANES],
    /// Per tile: reference and sum of weights of each lane.
    reference: *mut f32,
    pub total: *mut f32,
    /// K of a chunk.
    keys: *mut u8,
    /// V^T of a chunk.
    values: *mut u8,
    /// S^T of 32 keys, and P^T, for two meetings that take turns.
    scores: *mut u8,
    weights: *mut u8,
    /// Keys or values of a block in f32.
    pub rows: *mut f32,
}

impl Work {
    /// # Safety
    /// `base` has room for `s.bytes()`.
    unsafe fn at(base: *mut u8, s: Shape) -> Work {
        let mut next = base;
        let mut take = |bytes: usize| {
            let at = next;
            next = next.wrapping_add(bytes);
            at
        };
        Work {
            s,
            q: take(s.tiles * s.queries()),
            out: take(s.tiles * s.out()),
            positions: take(s.tiles * 64).cast(),
            reference: take(s.tiles * 64).cast(),
            total: take(s.tiles * 64).cast(),
            keys: take(s.chunk() * s.block()),
            values: take(s.chunk() * s.block()),
            scores: take(2 * SCORES),
            weights: take(2 * WEIGHTS),
            rows: take(BLOCK * s.hd * 4).cast(),
        }
    }
}

/// One or two tiles of lanes and a block of keys that they see something of.
#[derive(Clone, Copy)]
struct Meeting {
    tiles: [usize; PAIR],
    sights: [Sight; PAIR],
    count: usize,
    /// Position of the first key.
    start: usize,
    keys: *mut u8,
    values: *mut u8,
    scores: *mut u8,
    weights: *mut u8,
}

/// # Safety
/// As `contract::Phase`; the CPU has AVX-512 BF16 and AMX BF16, and head_dim is a multiple of 32.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c")]
unsafe fn attend(a: &Args<'_>) {
    let p = *a.params.get::<AttentionParams>();
    let s = Shape::new(p.head_dim as usize, p.heads as usize);
    // SAFETY: the caller's promise; each worker has its own scratch, each unit its own heads of its own rows.
    unsafe {
        let w = Work::at(a.scratch.ptr.add(a.worker * s.bytes()), s);
        let view = View::new(a, &p);
        configure_tiles();
        units(a, &p, TILES, |unit| one_unit(a, &view, &unit, w));
        release_tiles();
    }
}

/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,f16c")]
unsafe fn one_unit(a: &Args<'_>, view: &View<'_>, unit: &Unit, w: Work) {
    let p = view.p;
    let s = w.s;
    let dtype = DType::from_ggml(p.kv_dtype).unwrap_or(DType::F16);
    // SAFETY: the caller's promise.
    unsafe {
        for tile in unit.by_rows() {
            pack_queries(a, p, unit, tile, w);
            *w.positions.add(tile) = unit.positions(tile);
            std::ptr::write_bytes(w.out.add(tile * s.out()), 0, s.out());
            _mm512_storeu_ps(w.reference.add(tile * LANES), _mm512_set1_ps(UNSEEN));
            _mm512_storeu_ps(w.total.add(tile * LANES), _mm512_setzero_ps());
        }
        let range = unit.keys(view);
        // Where few tiles meet a block it stays in the first-level cache.
        let blocks = if unit.tiles() > PAIR { s.chunk() } else { s.chunk().min(2) };
        for chunk in range.clone().step_by(blocks * BLOCK) {
            let starts = (chunk..range.end).step_by(BLOCK).take(blocks);
            for (i, start) in starts.clone().enumerate() {
                let count = BLOCK.min(range.end - start);
                let (keys, values) = view.at(unit.seq, unit.kv_head, start);
                load_rows(dtype, keys, view.row_bytes, count, w.rows, s.hd);
                pack_keys(w, w.keys.add(i * s.block()));
                load_rows(dtype, values, view.row_bytes, count, w.rows, s.hd);
                pack_values(w, w.values.add(i * s.block()));
            }
            let mut turn = 0;
            let meet = |(tile, (i, start)): (usize, (usize, usize))| {
                let count = PAIR.min(unit.tiles() - tile);
                let tiles = [tile, tile + count - 1];
                let sights = tiles.map(|tile| sight(&*w.positions.add(tile), p.window, start, range.end));
                if sights == [Sight::Nothing; PAIR] {
                    return None;
                }
                turn = 1 - turn;
                let (keys, values) = (w.keys.add(i * s.block()), w.values.add(i * s.block()));
                let (scores, weights) = (w.scores.add(turn * SCORES), w.weights.add(turn * WEIGHTS));
                Some(Meeting { tiles, sights, count, start, keys, values, scores, weights })
            };
            let pairs = (0..unit.tiles()).step_by(PAIR);
            let each = pairs.flat_map(|tile| starts.clone().enumerate().map(move |block| (tile, block)));
            let mut meetings = each.filter_map(meet);
            let mut last = None;
            let mut now = meetings.next();
            Shadow::new(w, PAIR, now, None).finish();
            while let Some(meeting) = now {
                let next = meetings.next();
                let mut shadow = Shadow::new(w, meeting.count, next, last);
                for i in 0..meeting.count {
                    if meeting.sights[i] != Sight::All {
                        let positions = &*w.positions.add(meeting.tiles[i]);
                        mask(meeting.scores.add(i * ONE_SCORES).cast(), positions, p.window, meeting.start);
                    }
                    weigh(w, meeting, i, &mut shadow);
                }
                shadow.finish();
                (last, now) = (now, next);
            }
            Shadow::new(w, PAIR, None, last).finish();
        }
        for tile in unit.by_rows() {
            write_out(a, p, unit, tile, w);
        }
    }
}

/// Adds to the sums of a pair: what is in registers 4 and 5 times what is in 6 and 7.
///
/// # Safety
/// Tiles are configured.
#[inline(always)]
unsafe fn multiply(count: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        dot::<0, 4, 6>();
        dot::<1, 5, 6>();
        if count == PAIR {
            dot::<2, 4, 7>();
            dot::<3, 5, 7>();
        }
    }
}

/// Products that wait to be done bit by bit: S^T of one meeting, then O^T += V^T P^T of another.
struct Shadow {
    w: Work,
    score: Option<Meeting>,
    gather: Option<Meeting>,
    /// Bits of the first, of both, and how many are done.
    scores: usize,
    bits: usize,
    done: usize,
    /// Rows of weights of the meeting that casts it, and how many are done.
    rows: usize,
    time: usize,
}

impl Shadow {
    /// The products that a meeting of `tiles` tiles has beside it.
    fn new(w: Work, tiles: usize, score: Option<Meeting>, gather: Option<Meeting>) -> Shadow {
        let scores = score.map_or(0, |_| 3 * w.s.steps());
        let bits = scores + gather.map_or(0, |_| 2 * w.s.steps());
        Shadow { w, score, gather, scores, bits, done: 0, rows: tiles * BLOCK / 2, time: 0 }
    }

    /// Does what is due after another row of weights.
    ///
    /// # Safety
    /// As `attend`, with the meetings' keys and values packed and the second one's weights written. Bits leave sums and operands in
    /// tile registers to the next: nobody else uses those from the first bit to the last.
    #[inline(always)]
    unsafe fn advance(&mut self) {
        self.time += 1;
        while self.done * self.rows < self.bits * self.time {
            // SAFETY: the caller's promise.
            unsafe { self.bit() };
        }
    }

    /// Does what is left.
    ///
    /// # Safety
    /// As `advance`.
    unsafe fn finish(&mut self) {
        while self.done < self.bits {
            // SAFETY: the caller's promise.
            unsafe { self.bit() };
        }
    }

    /// # Safety
    /// As `advance`.
    #[inline(always)]
    unsafe fn bit(&mut self) {
        let at = self.done;
        self.done += 1;
        // SAFETY: the caller's promise.
        unsafe {
            match (self.score, self.gather) {
                (Some(meeting), _) if at < self.scores => score(self.w, meeting, at / 3, at % 3),
                (_, Some(meeting)) => gather(self.w, meeting, (at - self.scores) / 2, (at - self.scores) % 2),
                _ => {}
            }
        }
    }
}

/// S^T of a meeting: one step along the elements, one of three products of parts.
///
/// # Safety
/// As `attend`, with the block's keys packed.
#[inline]
unsafe fn score(w: Work, m: Meeting, step: usize, product: usize) {
    // SAFETY: addresses lie in the worker's memory; tiles are configured.
    unsafe {
        if (step, product) == (0, 0) {
            zero::<0>();
            zero::<1>();
            zero::<2>();
            zero::<3>();
        }
        // First parts, then second keys with first queries, then first keys with second queries.
        let keys = m.keys.add((step * 4 + product % 2 * 2) * TILE);
        stream::<4>(keys);
        if product != 1 {
            let [q0, q1] = m.tiles.map(|tile| w.q.add(tile * w.s.queries() + (step * 2 + product / 2) * TILE));
            load::<6>(q0);
            load::<7>(q1);
        }
        stream::<5>(keys.add(TILE));
        multiply(m.count);
        if (step + 1, product) == (w.s.steps(), 2) {
            store::<0>(m.scores);
            store::<1>(m.scores.add(TILE));
            store::<2>(m.scores.add(2 * TILE));
            store::<3>(m.scores.add(3 * TILE));
        }
    }
}

/// O^T += V^T P^T of a meeting: 32 elements, one part of the values.
///
/// # Safety
/// As `attend`, with the block's values packed and the meeting's weights written.
#[inline]
unsafe fn gather(w: Work, m: Meeting, e: usize, part: usize) {
    // SAFETY: addresses lie in the worker's memory; tiles are configured; head_dim is a multiple of 32.
    unsafe {
        let values = m.values.add((e * 4 + part * 2) * TILE);
        let [o0, o1] = m.tiles.map(|tile| w.out.add(tile * w.s.out() + e * 2 * TILE));
        stream::<4>(values);
        if part == 0 {
            load::<6>(m.weights);
            load::<0>(o0);
            load::<7>(m.weights.add(TILE));
            load::<2>(o1);
            load::<1>(o0.add(TILE));
            load::<3>(o1.add(TILE));
        }
        stream::<5>(values.add(TILE));
        multiply(m.count);
        if part == 1 {
            store::<0>(o0);
            store::<1>(o0.add(TILE));
            if m.count == PAIR {
                store::<2>(o1);
                store::<3>(o1.add(TILE));
            }
        }
    }
}

/// Takes away what a lane does not see.
///
/// # Safety
/// As `attend`.
#[target_feature(enable = "avx512f")]
unsafe fn mask(scores: *mut f32, positions: &[i32; LANES], window: u32, start: usize) {
    // SAFETY: the caller's promise.
    unsafe {
        let at = _mm512_loadu_si512(positions.as_ptr().cast());
        let oldest = if window == 0 { i32::MIN / 2 } else { 1 - window as i32 };
        let first = _mm512_add_epi32(at, _mm512_set1_epi32(oldest));
        for j in 0..BLOCK {
            let key = _mm512_set1_epi32((start + j) as i32);
            let hidden = _mm512_cmpgt_epi32_mask(key, at) | _mm512_cmplt_epi32_mask(key, first);
            _mm512_mask_storeu_ps(scores.add(j * LANES), hidden, _mm512_set1_ps(HIDDEN));
        }
    }
}

/// Turns the scores of tile `i` of a meeting into P^T against the lanes' references, and rescales O^T where one has changed. P^T stays in registers up to the
/// end: stores between the products of the shadow would hold up their loads.
///
/// # Safety
/// As `attend`, and as `Shadow::advance`.
#[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
unsafe fn weigh(w: Work, m: Meeting, i: usize, shadow: &mut Shadow) {
    let order = interleave_index();
    let tile = m.tiles[i];
    // SAFETY: the caller's promise.
    unsafe {
        let scores = m.scores.add(i * ONE_SCORES).cast::<f32>();
        let (at, total) = (w.reference.add(tile * LANES), w.total.add(tile * LANES));
        let mut reference = _mm512_loadu_ps(at);
        let mut high: [__m512; 4] = std::array::from_fn(|j| _mm512_loadu_ps(scores.add(j * LANES)));
        for j in 4..BLOCK {
            high[j % 4] = _mm512_max_ps(high[j % 4], _mm512_loadu_ps(scores.add(j * LANES)));
        }
        let high = _mm512_max_ps(_mm512_max_ps(high[0], high[1]), _mm512_max_ps(high[2], high[3]));
        let mut sum = _mm512_loadu_ps(total);
        let risen = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(high, _mm512_add_ps(reference, _mm512_set1_ps(RISE)));
        if risen != 0 {
            // What the last block gives was weighed against the reference before.
            if shadow.gather.is_some_and(|last| last.tiles == m.tiles) {
                shadow.finish();
            }
            let before = reference;
            reference = _mm512_mask_mov_ps(before, risen, high);
            _mm512_storeu_ps(at, reference);
            let keep = exp2_short(_mm512_sub_ps(before, reference));
            sum = _mm512_mul_ps(sum, keep);
            let out = w.out.add(tile * w.s.out()).cast::<f32>();
            for d in 0..w.s.hd {
                let at = out.add(d * LANES);
                _mm512_storeu_ps(at, _mm512_mul_ps(_mm512_loadu_ps(at), keep));
            }
        }
        let upper = _mm512_set1_epi32(0xFFFF_0000u32 as i32);
        let (mut even, mut odd) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        let mut row = |pair: usize| {
            let at = scores.add(2 * pair * LANES);
            let p0 = exp2_short(_mm512_sub_ps(_mm512_loadu_ps(at), reference));
            let p1 = exp2_short(_mm512_sub_ps(_mm512_loadu_ps(at.add(LANES)), reference));
            let row = here(_mm512_permutexvar_epi16(order, narrow(p0, p1)));
            even = _mm512_add_ps(even, _mm512_castsi512_ps(_mm512_slli_epi32::<16>(row)));
            odd = _mm512_add_ps(odd, _mm512_castsi512_ps(_mm512_and_si512(row, upper)));
            shadow.advance();
            row
        };
        for (pair, row) in sixteen!(row).into_iter().enumerate() {
            _mm512_storeu_si512(m.weights.add(i * TILE + pair * 64).cast(), row);
        }
        _mm512_storeu_ps(total, _mm512_add_ps(sum, _mm512_add_ps(even, odd)));
    }
}
