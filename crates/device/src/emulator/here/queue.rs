//! A plan's launches, resolved once and replayed every step.

use std::sync::Arc;
use std::time::Instant;

use metallic_kernels::contract::Geometry;

use super::super::{Faults, NAME};
use super::launch::{Grid, Launch, Schedules};
use super::program::Program;
use super::{Emulator, Shared};
use crate::{Buffer, Error, Launched, Queue, Record, Rows, StepRows};

/// A launch with nothing left to look up.
struct Step {
    program: Arc<Program>,
    launch: Launch,
    rows: Buffer,
    follows: Rows,
    most: usize,
    op: &'static str,
    variant: String,
    entry: String,
    geometry: Geometry,
}

/// The launches of one plan.
pub(super) struct EmulatorQueue {
    shared: Arc<Shared>,
    steps: Vec<Step>,
}

impl EmulatorQueue {
    pub(super) fn new(emulator: &Emulator, records: &[Record]) -> Result<EmulatorQueue, Error> {
        let steps = records.iter().map(|r| step(emulator, r)).collect::<Result<_, _>>()?;
        Ok(EmulatorQueue { shared: emulator.shared.clone(), steps })
    }
}

fn step(emulator: &Emulator, record: &Record) -> Result<Step, Error> {
    use crate::Device;
    let (op, variant) = (record.op.name, record.variant.id());
    let program = emulator.program(record)?;
    let geometry = record.variant.geometry(&record.key).map_err(|e| Error::Compile {
        device: NAME.to_owned(),
        op,
        variant: variant.clone(),
        log: e.to_string(),
    })?;
    let alloc = |bytes: &[u8]| -> Result<Buffer, Error> {
        let buffer = emulator.alloc(bytes.len().max(16))?;
        buffer.write(0, bytes)?;
        Ok(buffer)
    };
    let mut buffers = Vec::new();
    for (index, operand) in (0..).zip(&record.operands) {
        let binding = match &operand.buffer {
            Some(_) => operand.clone(),
            // Kernels are told which operands are absent; the address must be valid all the same.
            None => alloc(&[0; 16])?.whole(),
        };
        buffers.push((index, binding));
    }
    let params = alloc(record.params.get::<[u8; 128]>())?;
    let rows = alloc(&[0; 4])?;
    let k = record.operands.len() as u32;
    buffers.push((k, params.slice(0, record.op.params.bytes.clamp(1, params.len()))));
    buffers.push((k + 1, rows.slice(0, 4)));
    let Geometry { grid, threads } = geometry;
    let launch = Launch { grid: Grid::Groups(grid), threads, buffers, threadgroup: Vec::new(), outputs: Vec::new() };
    let entry = record.variant.entry.clone();
    Ok(Step { program, launch, rows, follows: record.rows, most: record.key.m, op, variant, entry, geometry })
}

impl EmulatorQueue {
    fn launch(&self, step: &Step, rows: StepRows) -> Result<(), Error> {
        let rows = rows.of(step.follows);
        assert!(rows <= step.most, "{}: {rows} rows, recorded for {}", step.op, step.most);
        if rows == 0 {
            return Ok(());
        }
        step.rows.write(0, &(rows as u32).to_le_bytes())?;
        let faults: Faults = self.shared.runner.run(&step.program, &step.launch, &Schedules::default())?;
        if faults.is_empty() {
            return Ok(());
        }
        Err(Error::Faults {
            device: NAME.to_owned(),
            op: step.op,
            variant: step.variant.clone(),
            faults: Box::new(faults),
        })
    }
}

impl Queue for EmulatorQueue {
    fn run(&mut self, rows: StepRows) -> Result<(), Error> {
        self.steps.iter().try_for_each(|step| self.launch(step, rows))
    }

    fn profile(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), Error> {
        for (step, to) in self.steps.iter().zip(seconds) {
            let start = Instant::now();
            self.launch(step, rows)?;
            *to += start.elapsed().as_secs_f64();
        }
        Ok(())
    }

    fn launched(&self) -> Vec<Launched> {
        let of = |s: &Step| Launched {
            variant: s.variant.clone(),
            entry: s.entry.clone(),
            grid: s.geometry.grid,
            threads: s.geometry.threads,
        };
        self.steps.iter().map(of).collect()
    }
}
