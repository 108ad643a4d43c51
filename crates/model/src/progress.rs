//! How long work tells how far it is, and is told to stop.

use crate::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Receives the progress of a long task and may cancel it.
#[derive(Clone, Copy)]
pub struct Progress<'a> {
    /// Called with bytes written and bytes to write.
    pub report: &'a (dyn Fn(u64, u64) + Sync),
    /// When it becomes true, the task stops with [`Error::Cancelled`].
    pub cancel: &'a AtomicBool,
}

impl Progress<'static> {
    /// Tells nobody and is never cancelled.
    pub fn none() -> Progress<'static> {
        static NEVER: AtomicBool = AtomicBool::new(false);
        Progress { report: &|_, _| {}, cancel: &NEVER }
    }
}

/// Progress of one task with its total.
pub(crate) struct Meter<'a> {
    progress: Progress<'a>,
    done: AtomicU64,
    total: u64,
}

impl<'a> Meter<'a> {
    pub fn new(progress: Progress<'a>, total: u64) -> Meter<'a> {
        (progress.report)(0, total);
        Meter { progress, done: AtomicU64::new(0), total }
    }

    pub fn check(&self) -> Result<(), Error> {
        if self.progress.cancel.load(Ordering::Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }

    pub fn advance(&self, bytes: usize) {
        let done = self.done.fetch_add(bytes as u64, Ordering::Relaxed) + bytes as u64;
        (self.progress.report)(done, self.total);
    }
}
