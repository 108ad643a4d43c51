//! The limits of this machine, measured between the repetitions of `bench`, with the same threads.

use super::compute::Burst;
use super::read::{Reader, readers};
use anyhow::Context;
use metallic_device::cpu::Cpu;
use metallic_device::{Buffer, Device};
use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

/// Memory that one pass reads, at least and at most; between these, twice the last-level cache.
const BYTES: [usize; 2] = [512 << 20, 2 << 30];

/// How long a pass computes.
const COMPUTE: Duration = Duration::from_millis(40);

/// Measures the limits again and again and keeps the best.
pub struct Prober {
    cpu: Cpu,
    buffer: Buffer,
    readers: Vec<Reader>,
    /// Bytes a second, read from memory.
    pub bandwidth: f64,
    /// Bytes a second when the same bytes, as many as the model's weights, are read again and again: more than from memory
    /// where a cache holds them.
    pub resident: f64,
    weights: usize,
    /// Best rate of each burst so far, in operations a second.
    peaks: Vec<(Burst, f64)>,
}

impl Prober {
    /// Allocates and fills the memory that is read. `weights` are the bytes that a step of the model reads.
    ///
    /// # Errors
    /// No memory, or no threads.
    pub fn new(cpu: Cpu, weights: usize) -> anyhow::Result<Prober> {
        let bytes = (2 * last_level_cache()).next_multiple_of(1 << 21).clamp(BYTES[0], BYTES[1]);
        let buffer = cpu.alloc(bytes).context("no memory to measure the bandwidth with")?;
        // Pages that nobody wrote would all be one page of zeros, and that lies in the cache.
        let page = [1u8; 1 << 16];
        let pages = bytes / page.len();
        let failed = Mutex::new(None);
        cpu.parallel(pages, &|i| {
            if let Err(e) = buffer.write(i * page.len(), &page) {
                *failed.lock().unwrap_or_else(|e| e.into_inner()) = Some(e);
            }
        })?;
        if let Some(e) = failed.into_inner().unwrap_or_else(|e| e.into_inner()) {
            return Err(e.into());
        }
        let weights = weights.clamp(1 << 20, bytes);
        Ok(Prober { cpu, buffer, readers: readers(), bandwidth: 0.0, resident: 0.0, weights, peaks: Vec::new() })
    }

    /// Where it measures.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// The best rate of these instructions so far, in operations a second.
    pub fn peak(&self, burst: Burst) -> f64 {
        self.peaks.iter().find(|(b, _)| *b == burst).map_or(0.0, |(_, best)| *best)
    }

    /// One pass of every reader, and one of these instructions.
    ///
    /// # Errors
    /// A thread that panicked.
    pub fn probe(&mut self, burst: Burst) -> anyhow::Result<()> {
        self.bandwidth = self.bandwidth.max(self.read(self.buffer.len())?);
        self.resident = self.resident.max(self.read(self.weights)?);
        let threads = self.cpu.limits().max_threads;
        let done = Mutex::new(0.0);
        let seconds = together(&self.cpu, threads, |_| {
            let start = Instant::now();
            let mut operations = 0.0;
            while start.elapsed() < COMPUTE {
                operations += (burst.run)();
            }
            *done.lock().unwrap_or_else(|e| e.into_inner()) += operations;
        })?;
        let rate = done.into_inner().unwrap_or_else(|e| e.into_inner()) / seconds;
        match self.peaks.iter_mut().find(|(b, _)| *b == burst) {
            Some((_, best)) => *best = best.max(rate),
            None => self.peaks.push((burst, rate)),
        }
        Ok(())
    }

    /// Bytes a second of the fastest reader, over the first `bytes` of the memory, each thread its own contiguous part.
    fn read(&self, bytes: usize) -> anyhow::Result<f64> {
        let threads = self.cpu.limits().max_threads;
        let memory = self.buffer.host().context("the host does not reach the memory that is read")?;
        // SAFETY: the memory is aligned to pages, was written by `new`, and nobody writes it any more.
        let data = unsafe { std::slice::from_raw_parts(memory.cast::<u64>(), bytes / 8) };
        let part = data.len().div_ceil(threads);
        let pass = |reader: &Reader| -> anyhow::Result<f64> {
            let seconds = together(&self.cpu, threads, |i| {
                black_box(reader(data.get(i * part..((i + 1) * part).min(data.len())).unwrap_or_default()));
            })?;
            Ok(bytes as f64 / seconds)
        };
        self.readers.iter().map(pass).try_fold(0.0, |best, rate| Ok(rate?.max(best)))
    }
}

/// Bytes of the largest cache, where the system tells.
fn last_level_cache() -> usize {
    let size = |index: usize| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        std::fs::read_to_string(path).ok()?.trim().strip_suffix('K')?.parse::<usize>().ok()
    };
    (0..5).filter_map(size).max().map_or(64 << 20, |kib| kib << 10)
}

/// Runs `job` once on each of `threads` threads, all starting together, and gives the seconds from the first start to the
/// last end.
fn together(cpu: &Cpu, threads: usize, job: impl Fn(usize) + Sync) -> anyhow::Result<f64> {
    // The device's threads take parts as they come; the barrier makes each of them take exactly one.
    let barrier = Barrier::new(threads);
    let spans = Mutex::new(Vec::with_capacity(threads));
    cpu.parallel(threads, &|i| {
        barrier.wait();
        let start = Instant::now();
        job(i);
        let end = Instant::now();
        spans.lock().unwrap_or_else(|e| e.into_inner()).push((start, end));
    })?;
    let spans = spans.into_inner().unwrap_or_else(|e| e.into_inner());
    let start = spans.iter().map(|s| s.0).min();
    let end = spans.iter().map(|s| s.1).max();
    Ok(start.zip(end).map_or(f64::INFINITY, |(start, end)| (end - start).as_secs_f64()))
}
