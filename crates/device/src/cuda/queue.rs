//! A resolved plan on a GPU: launches with everything prepared, captured into one graph.

use std::sync::Arc;
use std::time::Instant;

use metallic_kernels::contract::{Op, Variant};
use metallic_msl::Param;

use super::buffer::Memory;
use super::error::{Error, Place};
use super::kernel::{Arg, Kernel, Launch, Overlap, Shape};
use super::program::Program;
use super::stream::{Event, Graph, Stream};
use super::{NAME, Shared, lock};
use crate::{Launched, Queue, Record, Rows, StepRows, Timing};

/// How a queue gives its launches to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Execution {
    /// All at once, as a graph.
    #[default]
    Graph,
    /// One after another, without waiting.
    Stream,
    /// One after another, waiting for each, so that an error names its launch.
    Each,
}

/// A kernel with what its program takes.
#[derive(Clone)]
pub(super) struct Resolved {
    kernel: Kernel,
    params: Option<Arc<[Param]>>,
    overlap: Overlap,
}

impl Resolved {
    /// The kernel of `variant`, made where it is not known yet.
    pub(super) fn of(shared: &Shared, op: &Op, variant: &Variant) -> Result<Resolved, Error> {
        let name = Resolved::name(op, variant);
        if let Some(known) = lock(&shared.kernels).get(&name) {
            return Ok(known.clone());
        }
        let program = Program::of(op, variant, shared.info.capability)?;
        let kernel = shared.kernel(&program.source(&shared.arch))?;
        let made = Resolved { kernel, params: program.params.map(Arc::from), overlap: program.overlap };
        lock(&shared.kernels).insert(name, made.clone());
        Ok(made)
    }

    /// What tells kernels apart.
    pub(super) fn name(op: &Op, variant: &Variant) -> String {
        let Variant { source, entry, knobs, .. } = variant;
        format!("{} {source} {entry} {knobs:?}", op.name)
    }
}

/// Launches, the row counts that they read, and the graph that runs them.
pub struct CudaQueue {
    graph: Option<Graph>,
    /// The graph with a time noted between launches, and those times; made when first asked for.
    timed: Option<(Graph, Vec<Event>)>,
    launches: Vec<Launch>,
    execution: Execution,
    /// What the step's row counts on the device are: 32 bits each.
    current: Option<StepRows>,
    counts: Memory,
    /// Most rows for each launch.
    most: Vec<(Rows, usize)>,
    /// They keep the operands' memory alive.
    records: Vec<Record>,
    shared: Arc<Shared>,
}

/// Bytes of a queue's own memory: the two row counts, and from `ABSENT` on zeros for absent operands.
const COUNTS: usize = 256;
const ABSENT: u64 = 128;

impl CudaQueue {
    pub(super) fn new(
        shared: &Arc<Shared>,
        execution: Execution,
        records: &[Record],
    ) -> Result<CudaQueue, crate::Error> {
        let making = |e: Error| e.during("making a queue");
        let counts = Memory::zeroed(shared, COUNTS).map_err(making)?;
        let launches = records.iter().map(|r| prepare(shared, &counts, r)).collect::<Result<Vec<_>, _>>()?;
        let mut queue = CudaQueue {
            graph: None,
            timed: None,
            launches,
            execution,
            current: None,
            counts,
            most: records.iter().map(|r| (r.rows, r.key.m)).collect(),
            records: records.to_vec(),
            shared: shared.clone(),
        };
        if !queue.launches.is_empty() {
            queue.graph = Some(queue.graph(Overlap::Programmatic).map_err(making)?);
        }
        Ok(queue)
    }

    /// A graph of the launches, begun early or not where the device and the kernels allow it. It must not run once this queue
    /// is gone.
    ///
    /// # Errors
    /// What the driver says.
    pub fn graph(&self, overlap: Overlap) -> Result<Graph, Error> {
        self.shared.stream.capture(|| self.each(overlap))
    }

    /// The stream that it runs in.
    pub fn stream(&self) -> &Stream {
        &self.shared.stream
    }

    /// Launches in it.
    pub fn launches(&self) -> &[Launch] {
        &self.launches
    }

    /// Tells the device how many rows the next runs have.
    ///
    /// # Panics
    /// Where they are more than a launch was recorded for.
    ///
    /// # Errors
    /// What the driver says.
    pub fn set_rows(&mut self, rows: StepRows) -> Result<(), Error> {
        assert!(self.most.iter().all(|(r, most)| rows.of(*r) <= *most), "more rows than the plan was made for");
        self.shared.context.bind()?;
        if self.current == Some(rows) {
            return Ok(());
        }
        self.current = None;
        for (which, count) in [(Rows::Tokens, rows.tokens), (Rows::Outputs, rows.outputs)] {
            // SAFETY: inside of the queue's own memory.
            unsafe { self.shared.stream.fill(self.counts.address() + offset(which), count as u32, 1) }?;
        }
        self.current = Some(rows);
        Ok(())
    }

    /// Runs the graph once with the rows that were set, and does not wait.
    ///
    /// # Errors
    /// What the driver says.
    pub fn replay(&self) -> Result<(), Error> {
        self.graph.as_ref().map_or(Ok(()), |graph| self.shared.stream.run(graph))
    }

    /// Gives the launches to the stream one by one, and does not wait.
    ///
    /// # Errors
    /// What the driver says.
    pub fn launch(&self) -> Result<(), Error> {
        self.each(Overlap::Programmatic)
    }

    fn each(&self, overlap: Overlap) -> Result<(), Error> {
        self.launches.iter().try_for_each(|l| {
            // SAFETY: records keep the operands' memory as long as this queue, which waits before it goes; sizes are the
            // op's, which checked them.
            unsafe { l.run(&self.shared.stream, overlap) }
        })
    }

    fn go(&mut self, rows: StepRows) -> Result<(), Error> {
        self.set_rows(rows)?;
        self.start()?;
        self.shared.stream.wait().map_err(|e| e.of(&self.place()))
    }

    /// Gives a step to the stream, in the way that was chosen.
    fn start(&self) -> Result<(), Error> {
        match self.execution {
            Execution::Graph => self.replay(),
            Execution::Stream => self.launch(),
            Execution::Each => self.launches.iter().try_for_each(|l| {
                // SAFETY: as in `each`.
                unsafe { l.run(&self.shared.stream, Overlap::Serial) }?;
                self.shared.stream.wait().map_err(|e| e.of(l.kernel().place()))
            }),
        }
    }

    fn repeat(&mut self, rows: StepRows, times: usize) -> Result<Timing, Error> {
        self.set_rows(rows)?;
        let clock = Instant::now();
        let device = self.shared.stream.time::<Error>(|| (0..times).try_for_each(|_| self.start()));
        let device = device.map_err(|e| e.of(&self.place()))?;
        Ok(Timing { device: Some(device), host: clock.elapsed().as_secs_f64() })
    }

    /// What an error that only shows at the end is about.
    fn place(&self) -> Place {
        match &self.launches[..] {
            [one] => one.kernel().place().clone(),
            several => Place::Among { launches: several.len() },
        }
    }

    fn measure(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), Error> {
        self.set_rows(rows)?;
        if self.timed.is_none() {
            let events = (0..=self.launches.len())
                .map(|_| Event::new(&self.shared.context))
                .collect::<Result<Vec<_>, Error>>()?;
            let stream = &self.shared.stream;
            let graph = stream.capture::<Error>(|| {
                for (l, event) in self.launches.iter().zip(&events) {
                    stream.record_in_graph(event)?;
                    // SAFETY: as in `each`.
                    unsafe { l.run(stream, Overlap::Serial) }?;
                }
                events.last().map_or(Ok(()), |e| stream.record_in_graph(e))
            })?;
            self.timed = Some((graph, events));
        }
        let Some((graph, events)) = &self.timed else { return Ok(()) };
        self.shared.stream.run(graph)?;
        self.shared.stream.wait().map_err(|e| e.of(&self.place()))?;
        for (pair, s) in events.windows(2).zip(seconds) {
            *s += pair[0].seconds_to(&pair[1])?;
        }
        Ok(())
    }
}

impl Drop for CudaQueue {
    fn drop(&mut self) {
        // Operands may be freed once this is gone.
        let _ = self.shared.stream.wait();
    }
}

impl Queue for CudaQueue {
    fn run(&mut self, rows: StepRows) -> Result<(), crate::Error> {
        self.go(rows).map_err(|e| e.during("a step"))
    }

    fn profile(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), crate::Error> {
        self.measure(rows, seconds).map_err(|e| e.during("a timed step"))
    }

    fn time(&mut self, rows: StepRows, times: usize) -> Result<Timing, crate::Error> {
        self.repeat(rows, times).map_err(|e| e.during("timed steps"))
    }

    fn launched(&self) -> Vec<Launched> {
        let of = |(r, l): (&Record, &Launch)| {
            let Shape { grid, threads, .. } = *l.shape();
            Launched { variant: r.variant.id(), entry: l.kernel().entry().to_owned(), grid, threads }
        };
        self.records.iter().zip(&self.launches).map(of).collect()
    }
}

fn offset(rows: Rows) -> u64 {
    match rows {
        Rows::Tokens => 0,
        Rows::Outputs => 4,
    }
}

/// A record's launch, with nothing left to look up.
fn prepare(shared: &Arc<Shared>, counts: &Memory, record: &Record) -> Result<Launch, crate::Error> {
    let foreign = |operand| crate::Error::Foreign { device: NAME.to_owned(), op: record.op.name, operand };
    let mut addresses = Vec::with_capacity(record.operands.len());
    for (i, b) in record.operands.iter().enumerate() {
        addresses.push(match &b.buffer {
            None => counts.address() + ABSENT,
            Some(buffer) => {
                let memory = buffer.memory::<Memory>().filter(|m| m.is_of(shared)).ok_or_else(|| foreign(i))?;
                memory.address() + b.offset as u64
            }
        });
    }
    let make = || -> Result<Launch, Error> {
        let resolved = Resolved::of(shared, record.op, &record.variant)?;
        let bytes: &[u8; 128] = record.params.get();
        let operands = addresses.len();
        let params = Arg::Bytes(&bytes[..record.op.params.bytes.min(bytes.len())]);
        let rows = Arg::Address(counts.address() + offset(record.rows));
        let refuse = |reason: String| Error::Launch { place: resolved.kernel.place().clone(), reason };
        let args = match &resolved.params {
            None => addresses.iter().map(|&a| Arg::Address(a)).chain([params, rows]).collect(),
            Some(list) => list
                .iter()
                .map(|p| match *p {
                    Param::Inline { index, .. } if index as usize == operands => Ok(params),
                    Param::Buffer { index } if index as usize == operands + 1 => Ok(rows),
                    Param::Buffer { index } if (index as usize) < operands => {
                        Ok(Arg::Address(addresses[index as usize]))
                    }
                    other => Err(refuse(format!("{other:?} is none of the op's {operands} operands"))),
                })
                .collect::<Result<Vec<_>, _>>()?,
        };
        let geometry = record.variant.geometry(&record.key)?;
        let shape = Shape { grid: geometry.grid, threads: geometry.threads, shared: 0, overlap: resolved.overlap };
        Launch::new(&resolved.kernel, shape, &args)
    };
    make().map_err(|e| e.preparing(record))
}
