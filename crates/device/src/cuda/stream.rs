//! Streams, events and graphs: the order in which a device works, and how long it took.

use std::sync::Arc;

use cudarc::driver::sys;

use super::driver::{Context, call};
use super::error::Error;

/// Work in order.
pub struct Stream {
    pub(super) context: Arc<Context>,
    raw: sys::CUstream,
}

// SAFETY: a stream may be used from any thread in its context.
unsafe impl Send for Stream {}
// SAFETY: as above; the driver locks it.
unsafe impl Sync for Stream {}

impl Stream {
    pub(super) fn new(context: &Arc<Context>) -> Result<Stream, Error> {
        context.bind()?;
        let mut raw = std::ptr::null_mut();
        let flags = sys::CUstream_flags_enum::CU_STREAM_NON_BLOCKING as u32;
        // SAFETY: the context is current.
        unsafe { call!(cuStreamCreate(&mut raw, flags)) }?;
        Ok(Stream { context: context.clone(), raw })
    }

    /// The driver's handle, for libraries that take one. It lives as long as this.
    pub fn raw(&self) -> sys::CUstream {
        self.raw
    }

    /// Waits for everything that was given to it.
    ///
    /// # Errors
    /// What went wrong on the device since the last wait.
    pub fn wait(&self) -> Result<(), Error> {
        self.context.bind()?;
        // SAFETY: the stream lives.
        unsafe { call!(cuStreamSynchronize(self.raw)) }
    }

    /// Notes in `event` when the work given so far is done.
    ///
    /// # Errors
    /// What the driver says.
    pub fn record(&self, event: &Event) -> Result<(), Error> {
        // SAFETY: both live.
        unsafe { call!(cuEventRecord(event.raw, self.raw)) }
    }

    /// As [`Stream::record`]; inside of [`Stream::capture`] it becomes a step of the graph, noted anew in every run.
    ///
    /// # Errors
    /// What the driver says.
    pub fn record_in_graph(&self, event: &Event) -> Result<(), Error> {
        let flags = sys::CUevent_record_flags_enum::CU_EVENT_RECORD_EXTERNAL as u32;
        // SAFETY: both live.
        unsafe { call!(cuEventRecordWithFlags(event.raw, self.raw, flags)) }
    }

    /// A graph of what `work` gives to this stream, instead of doing it.
    ///
    /// # Errors
    /// What `work` says, or the driver where the work cannot be captured.
    pub fn capture<E: From<Error>>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<Graph, E> {
        self.context.bind()?;
        let mode = sys::CUstreamCaptureMode_enum::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives; capturing ends below whatever `work` says.
        unsafe { call!(cuStreamBeginCapture_v2(self.raw, mode)) }?;
        let done = work();
        let mut graph = std::ptr::null_mut();
        // SAFETY: capturing was begun above.
        let ended = unsafe { call!(cuStreamEndCapture(self.raw, &mut graph)) };
        let template = Template { raw: graph, context: self.context.clone() };
        done?;
        ended?;
        let graph = template.instantiate()?;
        // SAFETY: both live. Uploading now keeps that cost out of the first run.
        unsafe { call!(cuGraphUpload(graph.raw, self.raw)) }?;
        Ok(graph)
    }

    /// Runs `graph` after the work given so far, and does not wait.
    ///
    /// # Errors
    /// What the driver says.
    pub fn run(&self, graph: &Graph) -> Result<(), Error> {
        // SAFETY: both live, and what the graph works on is kept by its owner.
        unsafe { call!(cuGraphLaunch(graph.raw, self.raw)) }
    }

    /// Sets `count` words from `address` to `value`.
    ///
    /// # Safety
    /// The words lie in memory of this device that lives until the stream gets there.
    pub(super) unsafe fn fill(&self, address: u64, value: u32, count: usize) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { call!(cuMemsetD32Async(address, value, count, self.raw)) }
    }

    /// Seconds that the device takes for `work`, from its first step to its last.
    ///
    /// # Errors
    /// What `work` says, or the driver.
    pub fn time<E: From<Error>>(&self, work: impl FnOnce() -> Result<(), E>) -> Result<f64, E> {
        self.context.bind()?;
        let (start, end) = (Event::new(&self.context)?, Event::new(&self.context)?);
        self.record(&start)?;
        work()?;
        self.record(&end)?;
        self.wait()?;
        Ok(start.seconds_to(&end)?)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let _ = self.wait();
        // SAFETY: nothing runs in it any more.
        let _ = unsafe { call!(cuStreamDestroy_v2(self.raw)) };
    }
}

/// A point in a stream's time.
pub struct Event {
    context: Arc<Context>,
    raw: sys::CUevent,
}

// SAFETY: an event may be used from any thread in its context.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    pub(super) fn new(context: &Arc<Context>) -> Result<Event, Error> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: the context is current.
        unsafe { call!(cuEventCreate(&mut raw, sys::CUevent_flags_enum::CU_EVENT_DEFAULT as u32)) }?;
        Ok(Event { context: context.clone(), raw })
    }

    /// Waits until it is reached; an event that was never recorded is.
    pub(super) fn wait(&self) -> Result<(), Error> {
        // SAFETY: it lives.
        unsafe { call!(cuEventSynchronize(self.raw)) }
    }

    /// Seconds from this event to `end`; both must have been reached.
    ///
    /// # Errors
    /// Events that were not recorded, or not reached yet.
    pub fn seconds_to(&self, end: &Event) -> Result<f64, Error> {
        let mut milliseconds = 0.0f32;
        // SAFETY: both live.
        unsafe { call!(cuEventElapsedTime(&mut milliseconds, self.raw, end.raw)) }?;
        Ok(f64::from(milliseconds) * 1e-3)
    }
}

impl Drop for Event {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: made by cuEventCreate, and used no more.
        let _ = unsafe { call!(cuEventDestroy_v2(self.raw)) };
    }
}

/// A graph as captured or put together, before it is made runnable.
pub(super) struct Template {
    pub(super) raw: sys::CUgraph,
    pub(super) context: Arc<Context>,
}

impl Template {
    /// Makes it runnable.
    pub(super) fn instantiate(&self) -> Result<Graph, Error> {
        let mut raw = std::ptr::null_mut();
        // SAFETY: the graph lives; the instance does not depend on it afterwards.
        unsafe { call!(cuGraphInstantiateWithFlags(&mut raw, self.raw, 0)) }?;
        Ok(Graph { context: self.context.clone(), raw })
    }
}

impl Drop for Template {
    fn drop(&mut self) {
        if !self.raw.is_null() {
            // SAFETY: made by the driver, and used no more.
            let _ = unsafe { call!(cuGraphDestroy(self.raw)) };
        }
    }
}

/// Captured work, ready to be run any number of times.
pub struct Graph {
    context: Arc<Context>,
    pub(super) raw: sys::CUgraphExec,
}

// SAFETY: a graph may be run from any thread, one at a time; `Stream::run` goes through the driver's lock.
unsafe impl Send for Graph {}

impl Drop for Graph {
    fn drop(&mut self) {
        let _ = self.context.bind();
        // SAFETY: made by cuGraphInstantiateWithFlags, and used no more.
        let _ = unsafe { call!(cuGraphExecDestroy(self.raw)) };
    }
}
