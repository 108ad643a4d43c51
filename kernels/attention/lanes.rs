//! How attention is cut: sixteen (token, head) pairs side by side in the lanes of a vector, keys one after another.
//!
//! Tokens of one sequence that follow each other form a run, and the query heads of one kv head read the same keys. A unit is a
//! run of up to `most_tokens` tokens of one kv head; its T x group pairs, head after head, fill tiles of sixteen lanes. Softmax
//! then never works across lanes.

use std::ops::Range;

use super::{AttentionParams, POSITIONS, ROW_SEQ, View};
use crate::contract::Args;

/// Pairs in a tile.
pub(super) const LANES: usize = 16;

/// Keys in a block; a page holds whole blocks.
pub(super) const BLOCK: usize = 32;

/// Tiles that a unit aims at: enough work for each block of keys that is fetched and converted.
const TILES: usize = 16;

/// Tokens in a unit at most.
fn most_tokens(group: usize) -> usize {
    LANES * (TILES / group).max(1)
}

/// Tiles in a unit at most, for any number of kv heads.
pub(super) fn most_tiles(heads: usize) -> usize {
    TILES.max(heads)
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

/// Calls `work` with every unit that this worker owns.
///
/// # Safety
/// As `contract::Phase`.
#[inline(always)]
pub(super) unsafe fn units(a: &Args<'_>, p: &AttentionParams, mut work: impl FnMut(Unit)) {
    // SAFETY: the caller's promise.
    let (row_seq, positions) = unsafe { (a.input::<i32>(ROW_SEQ), a.input::<i32>(POSITIONS)) };
    let kv_heads = p.kv_heads as usize;
    let group = p.heads as usize / kv_heads;
    let (mut row, mut number) = (0, 0);
    while row < a.rows {
        let follows = |r: usize| {
            r < a.rows && row_seq[r] == row_seq[row] && positions[r] as usize == positions[row] as usize + (r - row)
        };
        let tokens = (1..).take_while(|&t| t < most_tokens(group) && follows(row + t)).count() + 1;
        for kv_head in 0..kv_heads {
            if number % a.workers == a.worker {
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

    /// Token (from the first) and query head of lane `lane` of tile `tile`, or `None` past the end.
    #[inline(always)]
    pub fn lane(&self, tile: usize, lane: usize) -> Option<(usize, usize)> {
        let i = tile * LANES + lane;
        (i < self.tokens * self.group).then(|| (i % self.tokens, self.kv_head * self.group + i / self.tokens))
    }

    /// Positions of a tile's lanes; lanes past the end repeat the first.
    #[inline(always)]
    pub fn positions(&self, tile: usize) -> [i32; LANES] {
        std::array::from_fn(|l| (self.position + self.lane(tile, l).map_or(0, |(t, _)| t)) as i32)
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
