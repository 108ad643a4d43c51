//! A resolved plan on a GPU: launches with everything prepared, captured into one graph.

use std::sync::Arc;
use std::time::Instant;

use super::Shared;
use super::batch::Batch;
use super::buffer::Memory;
use super::error::{Error, Place};
use super::kernel::{Launch, Overlap};
use super::step::{COUNTS, Step, offset, prepare};
use super::stream::{Event, Graph, Stream};
use crate::{Launched, Queue, Record, Rows, StepRows, Timing};

/// How a queue gives its launches to the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Execution {
    /// All at once, as a graph.
    #[default]
    Graph,
    /// All at once, as a graph that is put together anew every time.
    Batch,
    /// One after another, without waiting.
    Stream,
    /// One after another, waiting for each, so that an error names its launch.
    Each,
}

/// Launches, the row counts that they read, and the graph that runs them.
pub struct CudaQueue {
    graph: Option<Graph>,
    /// The graph with a time noted between launches, and those times; made when first asked for.
    timed: Option<(Graph, Vec<Event>)>,
    steps: Vec<Step>,
    execution: Execution,
    batch: Batch,
    /// What the step's row counts on the device are: 32 bits each.
    current: Option<StepRows>,
    counts: Memory,
    /// Most rows for each launch.
    most: Vec<(Rows, usize)>,
    /// They keep the operands' memory alive.
    records: Vec<Record>,
    shared: Arc<Shared>,
}

impl CudaQueue {
    pub(super) fn new(
        shared: &Arc<Shared>,
        execution: Execution,
        records: &[Record],
    ) -> Result<CudaQueue, crate::Error> {
        let making = |e: Error| e.during("making a queue");
        let counts = Memory::zeroed(shared, COUNTS).map_err(making)?;
        let behind = std::iter::once(None).chain(records.iter().map(Some));
        let steps = behind.zip(records).map(|(behind, r)| prepare(shared, &counts, behind, r));
        let steps = steps.collect::<Result<Vec<_>, _>>()?;
        let mut queue = CudaQueue {
            graph: None,
            timed: None,
            steps,
            execution,
            batch: Batch::default(),
            current: None,
            counts,
            most: records.iter().map(|r| (r.rows, r.key.m)).collect(),
            records: records.to_vec(),
            shared: shared.clone(),
        };
        if !queue.steps.is_empty() {
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

    /// Launches of our kernels in it; what libraries run is not told.
    pub fn launches(&self) -> impl Iterator<Item = &Launch> {
        self.steps.iter().filter_map(Step::kernel)
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

    /// Gives the launches to the stream together, as they are now, and does not wait. Where a library's call is among them, as
    /// [`CudaQueue::launch`].
    ///
    /// # Errors
    /// What the driver says.
    pub fn launch_together(&mut self) -> Result<(), Error> {
        if self.launches().count() < self.steps.len() {
            return self.launch();
        }
        let launches = self.steps.iter().filter_map(Step::kernel);
        // SAFETY: as in `each`.
        unsafe { self.batch.run(&self.shared.stream, launches, Overlap::Programmatic) }
    }

    fn each(&self, overlap: Overlap) -> Result<(), Error> {
        self.steps.iter().try_for_each(|s| {
            // SAFETY: records keep the operands' memory as long as this queue, which waits before it goes; sizes are the
            // op's, which checked them.
            unsafe { s.run(&self.shared.stream, overlap) }
        })
    }

    fn go(&mut self, rows: StepRows) -> Result<(), Error> {
        self.set_rows(rows)?;
        self.start()?;
        self.shared.stream.wait().map_err(|e| e.of(&self.place()))
    }

    /// Gives a step to the stream, in the way that was chosen.
    fn start(&mut self) -> Result<(), Error> {
        match self.execution {
            Execution::Graph => self.replay(),
            Execution::Batch => self.launch_together(),
            Execution::Stream => self.launch(),
            Execution::Each => self.steps.iter().try_for_each(|s| {
                // SAFETY: as in `each`.
                unsafe { s.run(&self.shared.stream, Overlap::Serial) }?;
                self.shared.stream.wait().map_err(|e| e.of(s.place()))
            }),
        }
    }

    fn repeat(&mut self, rows: StepRows, times: usize) -> Result<Timing, Error> {
        self.set_rows(rows)?;
        let clock = Instant::now();
        let shared = self.shared.clone();
        let device = shared.stream.time::<Error>(|| (0..times).try_for_each(|_| self.start()));
        let device = device.map_err(|e| e.of(&self.place()))?;
        Ok(Timing { device: Some(device), host: clock.elapsed().as_secs_f64() })
    }

    /// What an error that only shows at the end is about.
    fn place(&self) -> Place {
        match &self.steps[..] {
            [one] => one.place().clone(),
            several => Place::Among { launches: several.len() },
        }
    }

    fn measure(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), Error> {
        self.set_rows(rows)?;
        if self.timed.is_none() {
            let events =
                (0..=self.steps.len()).map(|_| Event::new(&self.shared.context)).collect::<Result<Vec<_>, Error>>()?;
            let stream = &self.shared.stream;
            let graph = stream.capture::<Error>(|| {
                for (step, event) in self.steps.iter().zip(&events) {
                    stream.record_in_graph(event)?;
                    // SAFETY: as in `each`.
                    unsafe { step.run(stream, Overlap::Serial) }?;
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
        self.records.iter().zip(&self.steps).map(|(record, step)| step.launched(record)).collect()
    }
}
