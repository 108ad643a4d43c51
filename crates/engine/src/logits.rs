//! The logits of a whole text, for whoever checks them.

use std::ops::ControlFlow;

use crate::kv::slot;
use crate::runner::Token;
use crate::{Engine, Error};

/// Bytes of logits computed at a time, at least one row.
pub(crate) const LOGIT_BYTES: usize = 32 << 20;

impl Engine {
    /// The logits of every token of a text, in the order of the text, without touching other sequences: `sink` gets the number
    /// of the first row and rows of V values, some at a time, and may break off.
    ///
    /// # Errors
    /// As [`Engine::add`] and [`Engine::step`]; [`Error::Busy`] where all sequences are in use.
    pub fn logits(
        &mut self,
        tokens: &[u32],
        sink: &mut dyn FnMut(usize, &[f32]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        self.check_prompt(tokens)?;
        self.make_room(0, tokens.len())?;
        let busy = self.scheduler.running.len();
        let row = self.scheduler.take_row().ok_or(Error::Busy(busy))?;
        let mut pages = Vec::new();
        self.pool.fill(row, &mut pages, tokens.len())?;
        let result = self.logits_on(row, &pages, tokens, sink);
        self.pool.release(&mut pages);
        self.scheduler.give_row(row);
        result
    }

    fn logits_on(
        &mut self,
        row: usize,
        pages: &[u32],
        tokens: &[u32],
        sink: &mut dyn FnMut(usize, &[f32]) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let vocab = self.config.vocab;
        let rows = (LOGIT_BYTES / (vocab * size_of::<f32>())).clamp(1, self.scheduler.chunk());
        let mut out = vec![0.0f32; rows.min(tokens.len()) * vocab];
        for (at, chunk) in tokens.chunks(rows).enumerate() {
            let first = at * rows;
            self.runner.begin();
            for (i, &id) in chunk.iter().enumerate() {
                let position = first + i;
                let slot = slot(pages, position).ok_or(Error::CacheFull { pages: pages.len() })?;
                self.runner.push(Token { id, position, slot, row });
                self.runner.want_logits();
            }
            self.runner.run(&self.pool)?;
            let out = &mut out[..chunk.len() * vocab];
            out.chunks_exact_mut(vocab).enumerate().try_for_each(|(i, to)| self.runner.logits(i, to))?;
            if sink(first, out).is_break() {
                break;
            }
        }
        Ok(())
    }
}
