//! How attention is cut: sixteen (token, head) pairs side by side in the lanes of a vector, keys one after another.
//!
//! Tokens of one sequence that follow each other form a run, and the query heads of one kv head read the same keys. A unit is a
//! run of up to `unit_tokens` tokens of one kv head; its T x group pairs, head after head, fill tiles of sixteen lanes. Softmax
//! then never works across lanes, and a lane's result does not depend on the lanes beside it.

use std::ops::Range;

use super::{AttentionParams, POSITIONS, ROW_SEQ, View};
use crate::contract::Args;

/// Pairs in a tile.
pub(super) const LANES: usize = 16;

/// Keys in a block; a page holds whole blocks.
pub(super) const BLOCK: usize = 32;

/// Tiles in a unit at most that fills up to `tiles`, for any number of kv heads.
pub(super) fn most_tiles(tiles: usize, heads: usize) -> usize {
    tiles.max(heads)
}

/// Units that each worker gets at least, where there are rows enough: late tokens see more keys than early ones.
const UNITS: usize = 4;

/// Tokens of a unit that fills up to `tiles`: each block of keys is fetched and converted once a unit.
fn unit_tokens(a: &Args<'_>, p: &AttentionParams, tiles: usize) -> usize {
    let (kv_heads, group) = (p.kv_heads as usize, (p.heads / p.kv_heads) as usize);
    let mut tokens = LANES;
    while 2 * tokens * group <= tiles * LANES && a.rows.div_ceil(2 * tokens) * kv_heads >= UNITS * a.workers {
        tokens *= 2;
    }
    tokens
}

/// A run of tokens for one kv head.
#[derive(Clone, Copy)]
pub(super) struct Unit {
    pub first_row: usize,
    pub tokens: usize,
    pub kv_head: usize,
    pub group: usize,
    /// Position of the first token.
    pub position: usize,
    pub seq: usize,
}

/// Calls `work` with every unit of up to `tiles` tiles that this worker owns.
///
/// # Safety
/// As `contract::Phase`.
#[inline(always)]
pub(super) unsafe fn units(a: &Args<'_>, p: &AttentionParams, tiles: usize, mut work: impl FnMut(Unit)) {
    // SAFETY: the caller's promise.
    let (row_seq, positions) = unsafe { (a.input::<i32>(ROW_SEQ), a.input::<i32>(POSITIONS)) };
    let kv_heads = p.kv_heads as usize;
    let group = p.heads as usize / kv_heads;
    let most = unit_tokens(a, p, tiles);
    let (mut row, mut number) = (0, 0);
    while row < a.rows {
        let follows = |r: usize| {
            r < a.rows && row_seq[r] == row_seq[row] && positions[r] as usize == positions[row] as usize + (r - row)
        };
        let tokens = (1..).take_while(|&t| t < most && follows(row + t)).count() + 1;
        for kv_head in 0..kv_heads {
            // There and back: later units take longer.
            let (round, turn) = (number / a.workers, number % a.workers);
            let owner = if round % 2 == 0 { turn } else { a.workers - 1 - turn };
            if owner == a.worker {
                let (position, seq) = (positions[row] as usize, row_seq[row] as usize);
                work(Unit { first_row: row, tokens, kv_head, group, position, seq });
            }
            number += 1;
        }
        row += tokens;
    }
}

impl Unit {
    /// Tiles of this unit.
    pub fn tiles(&self) -> usize {
        (self.tokens * self.group).div_ceil(LANES)
    }

    /// Token (from the first) and query head of each lane of a tile, up to the last that there is.
    #[inline(always)]
    pub fn lanes(&self, tile: usize) -> impl Iterator<Item = (usize, usize)> {
        let first = tile * LANES;
        let (tokens, mut t, mut h) =
            (self.tokens, first % self.tokens, self.kv_head * self.group + first / self.tokens);
        (first..self.tokens * self.group).take(LANES).map(move |_| {
            let lane = (t, h);
            t += 1;
            if t == tokens {
                (t, h) = (0, h + 1);
            }
            lane
        })
    }

    /// Positions of a tile's lanes; lanes past the end are at the first token's.
    #[inline(always)]
    pub fn positions(&self, tile: usize) -> [i32; LANES] {
        let mut positions = [self.position as i32; LANES];
        for (position, (t, _)) in positions.iter_mut().zip(self.lanes(tile)) {
            *position += t as i32;
        }
        positions
    }

    /// Tiles in the order in which their rows lie in memory: the heads of sixteen tokens, then those of the next.
    pub fn by_rows(&self) -> impl Iterator<Item = usize> {
        let (tiles, group) = (self.tiles(), if self.tokens.is_multiple_of(LANES) { self.group } else { 1 });
        (0..tiles).map(move |i| i % group * (tiles / group) + i / group)
    }

    /// Keys that some token of this unit sees, from a block's first.
    #[inline(always)]
    pub fn keys(&self, view: &View<'_>) -> Range<usize> {
        let first = view.seen(self.position).start / BLOCK * BLOCK;
        first..self.position + self.tokens
    }
}

/// What the lanes of a tile see of a block of keys.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sight {
    Nothing,
    All,
    Some,
}

/// What lanes at `positions` see of keys `start..start + BLOCK`, of which those up to `end` exist.
#[inline(always)]
pub(super) fn sight(positions: &[i32; LANES], window: u32, start: usize, end: usize) -> Sight {
    let (mut low, mut high) = (i32::MAX, i32::MIN);
    for &p in positions {
        low = low.min(p);
        high = high.max(p);
    }
    let last = (start + BLOCK - 1) as i32;
    let window = if window == 0 { i32::MAX } else { window as i32 };
    if start as i32 > high || last <= low.saturating_sub(window) {
        Sight::Nothing
    } else if last <= low && start as i32 > high.saturating_sub(window) && last < end as i32 {
        Sight::All
    } else {
        Sight::Some
    }
}
