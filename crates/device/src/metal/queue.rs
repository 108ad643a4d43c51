//! A resolved plan on a Metal device: one command buffer a step.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use metallic_kernels::contract::{Params, Target};
use objc2::rc::Retained;
use objc2::runtime::ProtocolObject;
use objc2_foundation::NSString;
use objc2_metal::{
    MTLBarrierScope, MTLBuffer, MTLCommandBuffer, MTLCommandEncoder, MTLComputeCommandEncoder, MTLDevice,
    MTLDispatchType, MTLEvent, MTLResourceUsage, MTLSize,
};

use super::barriers::{Barriers, Touch};
use super::buffer::Memory;
use super::device::{Context, Held, failed, refused};
use super::indirect::Indirect;
use super::mps;
use super::program::{Program, Programs};
use super::timing::Timing;
use super::{Encoding, NAME};
use crate::{Error, Launched, Queue, Record, Rows, StepRows};

/// Offsets of buffers in the `constant` address space are multiples of this on every Metal device.
pub(super) const SLOT: usize = 256;

/// Buffers that a kernel may have.
const BUFFERS: usize = 31;

/// A launch with nothing left to look up.
pub(super) struct Launch {
    pub program: Arc<Program>,
    /// Buffer and first byte of each operand; the dummy where there is none.
    pub operands: Vec<(Retained<ProtocolObject<dyn MTLBuffer>>, usize)>,
    params: Params,
    pub rows: Rows,
    pub grid: MTLSize,
    pub threads: MTLSize,
    /// Whether earlier launches must be done first.
    pub waits: bool,
    /// Op, variant and entry, as faults name them.
    pub label: Retained<NSString>,
    max_rows: usize,
}

/// What a queue encodes for a record.
enum Step {
    /// A kernel of ours.
    Kernel(Launch),
    /// Apple's.
    Library(mps::Call),
}

impl Step {
    fn rows(&self) -> (Rows, usize) {
        match self {
            Step::Kernel(launch) => (launch.rows, launch.max_rows),
            Step::Library(call) => (call.rows, call.max_rows),
        }
    }

    fn kernel(&self) -> Option<&Launch> {
        match self {
            Step::Kernel(launch) => Some(launch),
            Step::Library(_) => None,
        }
    }

    fn launched(&self, record: &Record) -> Launched {
        let size = |s: &MTLSize| [s.width, s.height, s.depth].map(|n| n as u32);
        let (entry, grid, threads) = match self {
            Step::Kernel(launch) => (record.variant.entry.as_str(), size(&launch.grid), size(&launch.threads)),
            Step::Library(_) => (mps::ENTRY, [0; 3], [0; 3]),
        };
        Launched { variant: record.variant.id(), entry: entry.to_owned(), grid, threads }
    }
}

/// Byte of a row count in the arguments.
pub(super) fn rows_slot(rows: Rows) -> usize {
    match rows {
        Rows::Tokens => 0,
        Rows::Outputs => SLOT,
    }
}

/// Byte of launch `i`'s arguments.
pub(super) fn params_slot(i: usize) -> usize {
    (2 + i) * SLOT
}

/// An argument block whole: a kernel looks at as much of it as its op's struct is long.
fn bytes(params: &Params) -> &[u8] {
    params.get::<[u8; 128]>()
}

/// Launches, their arguments, and how they reach the GPU.
pub(super) struct MetalQueue {
    context: Arc<Context>,
    steps: Vec<Step>,
    /// Row counts, then every launch's arguments, in slots; the last slot stands in for absent operands.
    arguments: Memory,
    indirect: Option<Indirect>,
    timing: Timing,
    /// Orders a library's encoders and ours, since memory is untracked; the number is the last one signalled.
    event: (Held<dyn MTLEvent>, AtomicU64),
    /// Keeps the operands' memory alive.
    records: Vec<Record>,
}

// SAFETY: everything in it may be used from any thread, and runs take it exclusively.
unsafe impl Send for MetalQueue {}

impl MetalQueue {
    pub fn new(
        context: &Arc<Context>,
        programs: &Programs,
        records: &[Record],
        encoding: Encoding,
    ) -> Result<MetalQueue, Error> {
        let arguments = Memory::shared(context, params_slot(records.len()) + SLOT)?;
        let dummy = (arguments.buffer.0.clone(), params_slot(records.len()));
        let mut barriers = Barriers::default();
        let mut steps = Vec::with_capacity(records.len());
        for (i, record) in records.iter().enumerate() {
            if record.variant.target() == Target::Library {
                // Everything before it is done when it begins, and it when anything after it does.
                barriers = Barriers::default();
                steps.push(Step::Library(mps::Call::new(context, record)?));
                continue;
            }
            crate::Memory::write(&arguments, params_slot(i), bytes(&record.params))?;
            steps.push(Step::Kernel(resolve(record, programs, &dummy, &mut barriers)?));
        }
        let obstacle = steps.iter().find_map(|s| match s {
            Step::Kernel(launch) => (!launch.program.indirect).then(|| launch.label.to_string()),
            Step::Library(_) => Some(mps::ENTRY.to_owned()),
        });
        let indirect = match (encoding, obstacle) {
            (Encoding::Direct, _) | (Encoding::Auto, Some(_)) => None,
            (Encoding::Indirect, Some(launch)) => {
                let why = format!("{launch} cannot be launched from one");
                return Err(failed("newIndirectCommandBuffer", why));
            }
            (_, None) if steps.is_empty() => None,
            (_, None) => {
                let launches: Vec<_> = steps.iter().filter_map(Step::kernel).collect();
                Some(Indirect::record(context, &launches, &arguments.buffer.0)?)
            }
        };
        let timing = Timing::new(context, steps.len())?;
        let event = context.device.0.newEvent().ok_or_else(|| refused("newEvent"))?;
        let event = (Held(event), AtomicU64::new(0));
        let (context, records) = (context.clone(), records.to_vec());
        Ok(MetalQueue { context, steps, arguments, indirect, timing, event, records })
    }

    /// A compute encoder for launches of ours.
    fn encoder(
        &self,
        commands: &ProtocolObject<dyn MTLCommandBuffer>,
    ) -> Result<Retained<ProtocolObject<dyn MTLComputeCommandEncoder>>, Error> {
        let encoder = commands
            .computeCommandEncoderWithDispatchType(MTLDispatchType::Concurrent)
            .ok_or_else(|| refused("computeCommandEncoder"))?;
        encoder.setLabel(Some(&NSString::from_str("plan")));
        self.hold(&encoder);
        Ok(encoder)
    }

    /// What comes after in `commands` begins when what came before has ended. No encoder is open.
    fn order(&self, commands: &ProtocolObject<dyn MTLCommandBuffer>) {
        let (event, last) = &self.event;
        let value = last.fetch_add(1, Ordering::Relaxed) + 1;
        commands.encodeSignalEvent_value(&event.0, value);
        commands.encodeWaitForEvent_value(&event.0, value);
    }

    /// Encodes every step of which there are rows.
    fn encode_all(&self, commands: &ProtocolObject<dyn MTLCommandBuffer>, rows: StepRows) -> Result<(), Error> {
        let mut open = None;
        // Of a step that is passed over, too: what comes behind it counts on its barrier.
        let mut waits = false;
        for step in &self.steps {
            let runs = rows.of(step.rows().0) > 0;
            match step {
                Step::Kernel(launch) => {
                    waits |= launch.waits;
                    if !runs {
                        continue;
                    }
                    let encoder = match open.take() {
                        Some(encoder) => encoder,
                        None => self.encoder(commands)?,
                    };
                    if std::mem::take(&mut waits) {
                        encoder.memoryBarrierWithScope(MTLBarrierScope::Buffers);
                    }
                    self.encode(&encoder, launch);
                    open = Some(encoder);
                }
                Step::Library(_) if !runs => waits = true,
                Step::Library(call) => {
                    if let Some(encoder) = open.take() {
                        encoder.endEncoding();
                    }
                    self.order(commands);
                    call.encode(commands);
                    self.order(commands);
                    waits = false;
                }
            }
        }
        if let Some(encoder) = open {
            encoder.endEncoding();
        }
        Ok(())
    }

    /// Puts the row counts where kernels read them.
    fn set_rows(&self, rows: StepRows) -> Result<(), Error> {
        let fits = |(which, most): (Rows, usize)| rows.of(which) <= most;
        assert!(self.steps.iter().map(Step::rows).all(fits), "more rows than the plan was made for");
        for which in [Rows::Tokens, Rows::Outputs] {
            let count = u32::try_from(rows.of(which)).map_err(|e| failed("a row count", e.to_string()))?;
            crate::Memory::write(&self.arguments, rows_slot(which), &count.to_ne_bytes())?;
        }
        Ok(())
    }

    /// Encodes a launch with the buffers and bytes that its kernel takes.
    fn encode(&self, encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>, launch: &Launch) {
        encoder.insertDebugSignpost(&launch.label);
        encoder.setComputePipelineState(&launch.program.pipeline.0);
        let count = launch.operands.len();
        // SAFETY: offsets lie inside their buffers (checked when operands were bound), indices are below BUFFERS (checked by
        // `resolve`), and setBytes copies the arguments.
        unsafe {
            for (i, (buffer, offset)) in launch.operands.iter().enumerate() {
                encoder.setBuffer_offset_atIndex(Some(buffer), *offset, i);
            }
            let bytes = bytes(&launch.params);
            encoder.setBytes_length_atIndex(std::ptr::NonNull::from(bytes).cast(), bytes.len(), count);
            let rows = rows_slot(launch.rows);
            encoder.setBuffer_offset_atIndex(Some(&self.arguments.buffer.0), rows, count + 1);
        }
        encoder.dispatchThreadgroups_threadsPerThreadgroup(launch.grid, launch.threads);
    }

    /// Names what an indirect command buffer reaches, where no residency set keeps it.
    fn hold(&self, encoder: &ProtocolObject<dyn MTLComputeCommandEncoder>) {
        if self.context.keeps_resident() {
            return;
        }
        let usage = MTLResourceUsage::Read | MTLResourceUsage::Write;
        encoder.useResource_usage(ProtocolObject::from_ref(&*self.arguments.buffer.0), MTLResourceUsage::Read);
        let operands = self.records.iter().flat_map(|r| &r.operands).filter_map(|b| b.buffer.as_ref());
        for memory in operands.filter_map(|b| b.memory::<Memory>()) {
            match memory.heap() {
                Some(heap) => encoder.useHeap(heap),
                None => encoder.useResource_usage(ProtocolObject::from_ref(&*memory.buffer.0), usage),
            }
        }
    }
}

fn resolve(
    record: &Record,
    programs: &Programs,
    dummy: &(Retained<ProtocolObject<dyn MTLBuffer>>, usize),
    barriers: &mut Barriers,
) -> Result<Launch, Error> {
    let variant = &record.variant;
    let wrong =
        |log: String| Error::Compile { device: NAME.to_owned(), op: record.op.name, variant: variant.id(), log };
    let geometry = variant.geometry(&record.key).map_err(|e| wrong(e.to_string()))?;
    let program = programs.get(variant)?;
    let threads = geometry.threads.iter().map(|&t| t as usize).product::<usize>();
    if threads > program.max_threads {
        let max = program.max_threads;
        return Err(wrong(format!("{threads} threads a threadgroup asked for, {max} possible for this pipeline")));
    }
    let count = record.operands.len();
    if count + 2 > BUFFERS {
        return Err(wrong(format!(
            "{count} operands, but a kernel has {BUFFERS} buffers, two of them for arguments and rows"
        )));
    }
    if let Some((index, _)) = program.buffers.iter().find(|(index, _)| *index > count + 1) {
        let log = format!("buffer({index}) is used, but the op has {count} operands, its arguments and a row count");
        return Err(wrong(log));
    }
    let mut operands = Vec::with_capacity(count);
    let mut touches = Vec::with_capacity(count);
    for (i, binding) in record.operands.iter().enumerate() {
        let Some(buffer) = &binding.buffer else {
            operands.push(dummy.clone());
            continue;
        };
        let memory = buffer.memory::<Memory>().ok_or_else(|| Error::Foreign {
            device: NAME.to_owned(),
            op: record.op.name,
            operand: i,
        })?;
        if let Some((_, writes)) = program.buffers.iter().find(|(index, _)| *index == i) {
            let (start, end) = (binding.offset, binding.offset + binding.len);
            let buffer = Retained::as_ptr(&memory.buffer.0) as *const () as usize;
            touches.push(Touch { buffer, start, end, writes: *writes });
        }
        operands.push((memory.buffer.0.clone(), binding.offset));
    }
    let size = |[width, height, depth]: [u32; 3]| MTLSize {
        width: width as usize,
        height: height as usize,
        depth: depth as usize,
    };
    let label = format!("{} {} entry {}", record.op.name, variant.id(), variant.entry);
    Ok(Launch {
        program,
        operands,
        params: record.params,
        rows: record.rows,
        grid: size(geometry.grid),
        threads: size(geometry.threads),
        waits: barriers.before(&touches),
        label: NSString::from_str(&label),
        max_rows: record.key.m,
    })
}

impl Queue for MetalQueue {
    fn run(&mut self, rows: StepRows) -> Result<(), Error> {
        self.set_rows(rows)?;
        self.context.submit("a plan", |commands| {
            let Some(indirect) = &self.indirect else { return self.encode_all(commands, rows) };
            let encoder = self.encoder(commands)?;
            indirect.execute(&encoder);
            encoder.endEncoding();
            Ok(())
        })?;
        Ok(())
    }

    fn profile(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), Error> {
        self.set_rows(rows)?;
        let steps: Vec<usize> = (0..self.steps.len()).filter(|&i| rows.of(self.steps[i].rows().0) > 0).collect();
        let both_ours = |a: &usize, b: &usize| [a, b].iter().all(|&&i| self.steps[i].kernel().is_some());
        for part in steps.chunk_by(both_ours) {
            if let Step::Library(call) = &self.steps[part[0]] {
                let took = self.context.submit(mps::ENTRY, |commands| {
                    call.encode(commands);
                    Ok(())
                })?;
                if let Some(s) = seconds.get_mut(part[0]) {
                    *s += took;
                }
                continue;
            }
            self.timing.measure(&self.context, part, seconds, &|encoder, i| {
                if let Step::Kernel(launch) = &self.steps[i] {
                    encoder.setLabel(Some(&launch.label));
                    self.hold(encoder);
                    self.encode(encoder, launch);
                }
            })?;
        }
        Ok(())
    }

    fn launched(&self) -> Vec<Launched> {
        self.records.iter().zip(&self.steps).map(|(record, step)| step.launched(record)).collect()
    }
}
