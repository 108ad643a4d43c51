//! The paged KV cache: a pool of pages that grows with use, and each sequence's row of the page table.

use std::sync::Arc;

use metallic_device::{Buffer, Device};
use metallic_kernels::DType;
use metallic_kernels::kv::{PAGE, row_bytes};
use metallic_model::Config;
use metallic_ops::KvLayer;

use crate::Error;

/// Pages a pool starts with.
const FIRST_PAGES: usize = 4;

/// Bytes copied at a time when a pool moves.
const COPY: usize = 1 << 20;

/// All pages of all layers.
pub(crate) struct KvPool {
    device: Arc<dyn Device>,
    layers: Vec<KvLayer>,
    /// Bytes of a page of keys (and as many of values) in one layer.
    page_bytes: usize,
    pages: usize,
    most: usize,
    free: Vec<u32>,
    /// (sequences, max_pages) i32.
    table: Buffer,
    max_pages: usize,
}

impl KvPool {
    /// A small pool that can grow until `sequences` of them have `context` positions each.
    pub fn new(
        device: Arc<dyn Device>,
        config: &Config,
        dtype: DType,
        context: usize,
        sequences: usize,
    ) -> Result<KvPool, Error> {
        let head_dim = config.head_dim;
        let row = row_bytes(dtype, head_dim).ok_or(Error::KvHead { head_dim })?;
        let max_pages = context.div_ceil(PAGE);
        let empty = || Ok(KvLayer { keys: device.alloc(0)?, values: device.alloc(0)?, dtype });
        let mut pool = KvPool {
            layers: (0..config.n_layers).map(|_| empty()).collect::<Result<_, Error>>()?,
            page_bytes: row * config.n_kv_heads * PAGE,
            pages: 0,
            most: max_pages * sequences,
            free: Vec::new(),
            table: device.alloc(max_pages * sequences * size_of::<i32>())?,
            max_pages,
            device,
        };
        pool.grow(1)?;
        Ok(pool)
    }

    pub fn layers(&self) -> &[KvLayer] {
        &self.layers
    }

    pub fn table(&self) -> (&Buffer, usize) {
        (&self.table, self.max_pages)
    }

    /// Bytes of the pool.
    pub fn bytes(&self) -> usize {
        self.pages * self.page_bytes * 2 * self.layers.len()
    }

    /// Bytes that a position takes in all layers.
    pub fn position_bytes(&self) -> usize {
        self.page_bytes / PAGE * 2 * self.layers.len()
    }

    pub fn pages(&self) -> usize {
        self.pages
    }

    pub fn free_pages(&self) -> usize {
        self.free.len()
    }

    pub fn is_full_grown(&self) -> bool {
        self.pages >= self.most
    }

    /// Pages that a sequence with `have` pages lacks, in the pool as it is, for `positions`.
    pub fn lacking(&self, have: usize, positions: usize) -> usize {
        positions.div_ceil(PAGE).saturating_sub(have).saturating_sub(self.free.len())
    }

    /// Makes the pool at least `more` pages larger, half as large again at least. Plans that name its buffers must be dropped
    /// before, or they keep the old memory and go stale.
    pub fn grow(&mut self, more: usize) -> Result<(), Error> {
        let wanted = (self.pages + more).max(self.pages + self.pages / 2).max(FIRST_PAGES).min(self.most);
        let (old, new) = (self.pages * self.page_bytes, wanted * self.page_bytes);
        let mut carrier = vec![0u8; COPY.min(old)];
        for layer in &mut self.layers {
            for buffer in [&mut layer.keys, &mut layer.values] {
                if buffer.len() >= new {
                    continue;
                }
                let larger = self.device.alloc(new)?;
                for at in (0..old).step_by(COPY) {
                    let part = &mut carrier[..COPY.min(old - at)];
                    buffer.read(at, part)?;
                    larger.write(at, part)?;
                }
                *buffer = larger;
            }
        }
        // Room for every page, so that giving them back allocates nothing.
        self.free.reserve(wanted.saturating_sub(self.free.len()));
        self.free.extend((self.pages..wanted).rev().map(|p| p as u32));
        self.pages = wanted;
        Ok(())
    }

    /// Gives row `row` pages until it holds `positions`, as far as there are free ones.
    pub fn fill(&mut self, row: usize, pages: &mut Vec<u32>, positions: usize) -> Result<(), Error> {
        while pages.len() * PAGE < positions {
            let Some(page) = self.free.pop() else { break };
            self.set(row, pages.len(), page)?;
            pages.push(page);
        }
        Ok(())
    }

    /// Writes a row's page table.
    pub fn assign(&mut self, row: usize, pages: &[u32]) -> Result<(), Error> {
        pages.iter().enumerate().try_for_each(|(i, &page)| self.set(row, i, page))
    }

    fn set(&self, row: usize, at: usize, page: u32) -> Result<(), Error> {
        let entry = (row * self.max_pages + at) * size_of::<i32>();
        Ok(self.table.write(entry, &(page as i32).to_le_bytes())?)
    }

    /// Takes pages back.
    pub fn release(&mut self, pages: &mut Vec<u32>) {
        self.free.append(pages);
    }
}

/// Slot of a position in a pool, given its sequence's pages.
pub(crate) fn slot(pages: &[u32], position: usize) -> Option<i32> {
    let page = *pages.get(position / PAGE)?;
    i32::try_from(page as usize * PAGE + position % PAGE).ok()
}
