//! Which sequences a step works on, and with how many tokens each. Only integers: no ids, no text.

use std::collections::VecDeque;

use crate::sequence::{SeqId, Sequence};

/// Tokens of one sequence in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Work {
    /// Index into the running sequences.
    pub index: usize,
    /// First token, counted from the start of its sequence.
    pub from: usize,
    /// Tokens.
    pub count: usize,
    /// True where they belong to the prompt.
    pub prompt: bool,
    /// True where the last of them has its logits computed.
    pub ends: bool,
}

/// Waiting and running sequences.
pub(crate) struct Scheduler {
    pub waiting: VecDeque<Sequence>,
    /// In the order in which they started.
    pub running: Vec<Sequence>,
    free_rows: Vec<usize>,
    chunk: usize,
}

impl Scheduler {
    /// At most `sequences` run at a time; prompts fill a step up to `chunk` tokens.
    pub fn new(sequences: usize, chunk: usize) -> Scheduler {
        Scheduler {
            waiting: VecDeque::new(),
            running: Vec::with_capacity(sequences),
            free_rows: (0..sequences).rev().collect(),
            chunk,
        }
    }

    /// Whether the next waiting sequence may start.
    pub fn may_start(&self) -> bool {
        !self.waiting.is_empty() && !self.free_rows.is_empty()
    }

    /// Tokens of prompts in a step at most.
    pub fn chunk(&self) -> usize {
        self.chunk
    }

    /// Takes a row of the page table.
    pub fn take_row(&mut self) -> Option<usize> {
        self.free_rows.pop()
    }

    pub fn give_row(&mut self, row: usize) {
        self.free_rows.push(row);
    }

    /// Takes a sequence out, wherever it is.
    pub fn remove(&mut self, id: SeqId) -> Option<Sequence> {
        if let Some(at) = self.running.iter().position(|s| s.id == id) {
            let sequence = self.running.remove(at);
            self.give_row(sequence.row);
            return Some(sequence);
        }
        let at = self.waiting.iter().position(|s| s.id == id)?;
        self.waiting.remove(at)
    }

    /// One token for every sequence that generates; what is left of the chunk goes to prompts, first come, first served.
    pub fn schedule(&self, works: &mut Vec<Work>) {
        works.clear();
        let generating = self.running.iter().enumerate().filter(|(_, s)| s.decodes());
        works.extend(generating.map(|(index, s)| Work {
            index,
            from: s.computed,
            count: 1,
            prompt: false,
            ends: true,
        }));
        // At least one, so that sequences that generate never keep a prompt from being computed.
        let mut left = self.chunk.saturating_sub(works.len()).max(1);
        for (index, s) in self.running.iter().enumerate().filter(|(_, s)| !s.decodes()) {
            let count = left.min(s.prompt - s.computed);
            if count == 0 {
                break;
            }
            let ends = s.computed + count == s.prompt;
            works.push(Work { index, from: s.computed, count, prompt: true, ends });
            left -= count;
        }
    }
}
