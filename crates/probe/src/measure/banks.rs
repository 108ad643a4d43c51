//! Copies of a problem's operands on a device, side by side, so that launches can rotate through more memory than a cache holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use metallic_device::{Binding, Buffer, Device, Error, Record, Rows};
use metallic_kernels::contract::{Key, Layout, Variant};

use crate::problem::{Operand, Problem};

/// Banks lie at multiples of this, and outputs that many bytes apart at least.
const ALIGN: usize = 256;

/// Equal parts of one buffer.
struct Strided {
    buffer: Buffer,
    stride: usize,
    len: usize,
}

/// Operands of a problem, several times over.
pub struct Banks<'a> {
    device: &'a dyn Device,
    problem: &'a Problem,
    count: usize,
    /// One for each operand; `None` for absent and for stored ones.
    slots: Vec<Option<Strided>>,
    /// Stored operands, by operand and layout.
    stored: BTreeMap<(usize, Layout), Strided>,
}

/// An output that was read back.
pub struct Written {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether memory beside it still holds the poison.
    pub clean: bool,
}

impl<'a> Banks<'a> {
    /// Banks that rotate through `cold` bytes, `most` of them at most and two at least; one where `cold` is 0.
    ///
    /// # Errors
    /// No memory.
    pub fn new(device: &'a dyn Device, problem: &'a Problem, cold: usize, most: usize) -> Result<Banks<'a>, Error> {
        let size = |o: &Operand| match o {
            Operand::Output { .. } => problem.output_bytes(),
            Operand::Changing([bytes, _]) | Operand::Fixed(bytes) | Operand::Stored(bytes) => bytes.len(),
            Operand::Absent => 0,
        };
        let bytes: usize = problem.operands.iter().map(size).sum();
        let count = if cold == 0 { 1 } else { cold.div_ceil(bytes.max(1)).clamp(2, most.max(2)) };
        let mut banks = Banks { device, problem, count, slots: Vec::new(), stored: BTreeMap::new() };
        for operand in &problem.operands {
            banks.slots.push(match operand {
                Operand::Output { .. } => Some(banks.strided(problem.output_bytes())?),
                Operand::Changing([bytes, _]) | Operand::Fixed(bytes) => Some(banks.filled(bytes)?),
                Operand::Stored(_) | Operand::Absent => None,
            });
        }
        Ok(banks)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Brings what is stored into `layout`. False where it has no such form.
    ///
    /// # Errors
    /// No memory.
    pub fn add(&mut self, layout: Layout) -> Result<bool, Error> {
        for (i, operand) in self.problem.operands.iter().enumerate() {
            let Operand::Stored(rows) = operand else { continue };
            if self.stored.contains_key(&(i, layout)) {
                continue;
            }
            let Some(bytes) = self.problem.packed(rows, layout) else { return Ok(false) };
            let filled = self.filled(&bytes)?;
            self.stored.insert((i, layout), filled);
        }
        Ok(true)
    }

    fn strided(&self, len: usize) -> Result<Strided, Error> {
        // One bank alone is just as large as the operand, so that a device that checks accesses sees where it ends.
        let stride = if self.count == 1 { len } else { len.next_multiple_of(ALIGN) + ALIGN };
        Ok(Strided { buffer: self.device.alloc(stride * self.count)?, stride, len })
    }

    fn filled(&self, bytes: &[u8]) -> Result<Strided, Error> {
        let strided = self.strided(bytes.len())?;
        self.fill(&strided, bytes)?;
        Ok(strided)
    }

    fn fill(&self, to: &Strided, bytes: &[u8]) -> Result<(), Error> {
        /// Small banks are put together first, so that a copy is worth its call.
        const TOGETHER: usize = 8 << 20;
        if self.count == 1 || to.stride > TOGETHER {
            return (0..self.count).try_for_each(|bank| to.buffer.write(bank * to.stride, bytes));
        }
        let batch = (TOGETHER / to.stride).clamp(1, self.count);
        let mut image = vec![0; batch * to.stride];
        image.chunks_exact_mut(to.stride).for_each(|bank| bank[..bytes.len()].copy_from_slice(bytes));
        for first in (0..self.count).step_by(batch) {
            let banks = batch.min(self.count - first);
            to.buffer.write(first * to.stride, &image[..banks * to.stride])?;
        }
        Ok(())
    }

    /// Gives every bank the inputs of `set`.
    ///
    /// # Errors
    /// What the device says.
    pub fn set_inputs(&self, set: usize) -> Result<(), Error> {
        for (operand, slot) in self.problem.operands.iter().zip(&self.slots) {
            if let (Operand::Changing(sets), Some(slot)) = (operand, slot) {
                self.fill(slot, &sets[set])?;
            }
        }
        Ok(())
    }

    /// Poisons every output, or gives it what it held before where that counts. Memory between them is poisoned.
    ///
    /// # Errors
    /// What the device says.
    pub fn clear_outputs(&self) -> Result<(), Error> {
        for (operand, slot) in self.problem.operands.iter().zip(&self.slots) {
            let (Operand::Output { before }, Some(slot)) = (operand, slot) else { continue };
            slot.buffer.poison()?;
            if let Some(before) = before {
                (0..self.count).try_for_each(|bank| slot.buffer.write(bank * slot.stride, before))?;
            }
        }
        Ok(())
    }

    /// Whether the output is poisoned, and not given a value, before a run.
    pub fn poisons(&self) -> bool {
        self.problem.operands.iter().any(|o| matches!(o, Operand::Output { before: None }))
    }

    /// The output of a bank.
    ///
    /// # Errors
    /// What the device says.
    pub fn output(&self, bank: usize) -> Result<Written, Error> {
        let mut written = Written { bytes: Vec::new(), clean: true };
        for (operand, slot) in self.problem.operands.iter().zip(&self.slots) {
            let (Operand::Output { .. }, Some(slot)) = (operand, slot) else { continue };
            let mut bytes = vec![0; slot.stride];
            slot.buffer.read(bank * slot.stride, &mut bytes)?;
            written.clean &= bytes[slot.len..].iter().all(|b| *b == 0xff);
            bytes.truncate(slot.len);
            written.bytes = bytes;
        }
        Ok(written)
    }

    /// Whether the inputs of a bank that may change are as they were given by `set`.
    ///
    /// # Errors
    /// What the device says.
    pub fn inputs_kept(&self, bank: usize, set: usize) -> Result<bool, Error> {
        for (operand, slot) in self.problem.operands.iter().zip(&self.slots) {
            if let (Operand::Changing(sets), Some(slot)) = (operand, slot) {
                let mut bytes = vec![0; slot.len];
                slot.buffer.read(bank * slot.stride, &mut bytes)?;
                if bytes != sets[set] {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// A launch of `variant` on a bank, its stored operands in `layout`.
    pub fn record(&self, variant: &Arc<Variant>, layout: Layout, bank: usize) -> Record {
        let bind = |s: &Strided| s.buffer.slice(bank * s.stride, s.len);
        let operand = |(i, slot): (usize, &Option<Strided>)| {
            slot.as_ref().or_else(|| self.stored.get(&(i, layout))).map_or_else(Binding::default, bind)
        };
        Record {
            op: self.problem.op,
            variant: variant.clone(),
            key: Key { layout, ..self.problem.key },
            params: self.problem.params(layout),
            operands: self.slots.iter().enumerate().map(operand).collect(),
            rows: Rows::Tokens,
        }
    }
}
