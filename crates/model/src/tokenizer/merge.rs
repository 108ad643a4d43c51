//! Byte-pair merging: the best pair first, the leftmost of equals, in O(n log n).

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No symbol, or no neighbour.
const NONE: u32 = u32::MAX;

/// The longest run merged as one; a longer one is cut, so that positions fit 32 bits.
pub(super) const MAX_RUN: usize = 1 << 30;

/// Which pairs of ids join, into what, and in what order.
#[derive(Default)]
pub(super) struct MergeTable {
    pairs: HashMap<(u32, u32), Join, RandomState>,
}

/// The outcome of joining two neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Join {
    /// Lower joins earlier.
    pub(super) rank: u32,
    /// The token that the two become.
    pub(super) id: u32,
}

impl MergeTable {
    pub(super) fn with_capacity(merges: usize) -> MergeTable {
        MergeTable { pairs: HashMap::with_capacity_and_hasher(merges, RandomState::default()) }
    }

    /// Adds a merge; of the same pair named twice the earlier stays.
    pub(super) fn insert(&mut self, left: u32, right: u32, join: Join) {
        self.pairs.entry((left, right)).or_insert(join);
    }

    pub(super) fn get(&self, left: u32, right: u32) -> Option<Join> {
        self.pairs.get(&(left, right)).copied()
    }
}

/// A run of neighbouring symbols while it is merged. Kept between words for its memory.
#[derive(Default)]
pub(super) struct Run {
    nodes: Vec<Node>,
    heap: BinaryHeap<Reverse<Candidate>>,
}

#[derive(Clone, Copy)]
struct Node {
    /// `NONE` where the symbol has no token.
    id: u32,
    /// The symbol is `start..end` of the run's text.
    start: u32,
    end: u32,
    prev: u32,
    next: u32,
}

/// Ordered by rank, then by place. Neighbours only ever grow, so a candidate still stands exactly if its left node
/// lives and the pair still ends where it ended.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    rank: u32,
    left: u32,
    end: u32,
    id: u32,
}

/// One symbol of the run's text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    /// Its token, if it has one.
    pub(super) id: Option<u32>,
    /// Where it starts and ends in the run's text.
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Run {
    pub(super) fn clear(&mut self) {
        self.nodes.clear();
        self.heap.clear();
    }

    pub(super) fn push(&mut self, symbol: Symbol) {
        let at = self.nodes.len() as u32;
        if let Some(last) = self.nodes.last_mut() {
            last.next = at;
        }
        self.nodes.push(Node {
            id: symbol.id.unwrap_or(NONE),
            start: symbol.start,
            end: symbol.end,
            prev: at.wrapping_sub(1),
            next: NONE,
        });
    }

    /// Joins neighbours by `join` until no pair joins.
    pub(super) fn merge(&mut self, join: impl Fn(Symbol, Symbol) -> Option<Join>) {
        for left in 1..self.nodes.len() {
            self.consider(left as u32 - 1, &join);
        }
        while let Some(Reverse(best)) = self.heap.pop() {
            let left = self.nodes[best.left as usize];
            if left.start == left.end || left.next == NONE {
                continue;
            }
            let right = self.nodes[left.next as usize];
            if right.end != best.end {
                continue;
            }
            let gone = &mut self.nodes[left.next as usize];
            gone.start = gone.end;
            let joined = &mut self.nodes[best.left as usize];
            joined.id = best.id;
            joined.end = right.end;
            joined.next = right.next;
            if right.next != NONE {
                self.nodes[right.next as usize].prev = best.left;
            }
            if left.prev != NONE {
                self.consider(left.prev, &join);
            }
            self.consider(best.left, &join);
        }
    }

    pub(super) fn symbols(&self) -> impl Iterator<Item = Symbol> {
        let mut at = if self.nodes.is_empty() { NONE } else { 0 };
        std::iter::from_fn(move || {
            let node = self.nodes.get(at as usize)?;
            at = node.next;
            Some(node.symbol())
        })
    }

    fn consider(&mut self, left: u32, join: impl Fn(Symbol, Symbol) -> Option<Join>) {
        let a = self.nodes[left as usize];
        let Some(b) = self.nodes.get(a.next as usize) else { return };
        if let Some(Join { rank, id }) = join(a.symbol(), b.symbol()) {
            self.heap.push(Reverse(Candidate { rank, left, end: b.end, id }));
        }
    }
}

impl Node {
    fn symbol(&self) -> Symbol {
        Symbol { id: (self.id != NONE).then_some(self.id), start: self.start, end: self.end }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition: as long as any pair joins, join the best, the leftmost of equals.
    fn by_definition(mut ids: Vec<u32>, merges: &MergeTable) -> Vec<u32> {
        loop {
            let joins = ids.windows(2).enumerate().filter_map(|(at, pair)| Some((merges.get(pair[0], pair[1])?, at)));
            let Some((join, at)) = joins.min_by_key(|&(join, at)| (join.rank, at)) else { return ids };
            ids[at] = join.id;
            ids.remove(at + 1);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_heap_joins_as_the_definition_does(
            ids in proptest::collection::vec(0..3u32, 0..40),
            // Few ranks, so that many pairs are equally good; any pair may become any symbol.
            joins in proptest::collection::vec((0..6u32, 0..6u32, 0..4u32, 0..6u32), 0..20),
        ) {
            let mut merges = MergeTable::default();
            for (left, right, rank, id) in joins {
                merges.insert(left, right, Join { rank, id });
            }
            let mut run = Run::default();
            for (at, &id) in (0..).zip(&ids) {
                run.push(Symbol { id: Some(id), start: at, end: at + 1 });
            }
            run.merge(|left, right| merges.get(left.id?, right.id?));
            let got: Vec<u32> = run.symbols().filter_map(|symbol| symbol.id).collect();
            prop_assert_eq!(got, by_definition(ids, &merges));
        }
    }
}
