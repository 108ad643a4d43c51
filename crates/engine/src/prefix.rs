//! Caches of finished sequences, kept for later ones that start the same.

use metallic_kernels::kv::PAGE;

use crate::kv::KvPool;

/// Finished sequences kept at most.
const MOST: usize = 8;

struct Kept {
    tokens: Vec<u32>,
    pages: Vec<u32>,
}

/// Kept caches, the one used last at the end.
#[derive(Default)]
pub(crate) struct PrefixCache {
    kept: Vec<Kept>,
}

impl PrefixCache {
    /// Keeps the pages of a finished sequence; `tokens` are those whose keys and values the pages hold.
    pub fn keep(&mut self, tokens: Vec<u32>, pages: Vec<u32>, pool: &mut KvPool) {
        if self.kept.len() == MOST {
            self.drop_oldest(pool);
        }
        self.kept.push(Kept { tokens, pages });
    }

    /// Frees the pages of the cache that was unused for longest. False where none is kept.
    pub fn drop_oldest(&mut self, pool: &mut KvPool) -> bool {
        if self.kept.is_empty() {
            return false;
        }
        pool.release(&mut self.kept.remove(0).pages);
        true
    }

    /// Takes over the cache that shares most with the start of `tokens`: its pages, and how many tokens they serve.
    pub fn take(&mut self, tokens: &[u32], pool: &mut KvPool) -> (Vec<u32>, usize) {
        let shared = |k: &Kept| k.tokens.iter().zip(tokens).take_while(|(a, b)| a == b).count();
        let best = self.kept.iter().enumerate().map(|(i, k)| (shared(k), i)).max();
        let Some((count, at)) = best.filter(|(count, _)| *count > 0) else { return (Vec::new(), 0) };
        let mut pages = self.kept.remove(at).pages;
        let mut rest = pages.split_off(count.div_ceil(PAGE));
        pool.release(&mut rest);
        (pages, count)
    }
}
