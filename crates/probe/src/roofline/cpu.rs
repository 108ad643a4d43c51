//! The limits of a CPU, measured again and again with the threads that kernels run on.

use std::hint::black_box;
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use metallic_device::cpu::Cpu;
use metallic_device::{Buffer, Device, Error};

use super::compute::Burst;
use super::read::{Reader, readers};

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
    pub fn new(cpu: Cpu, weights: usize) -> Result<Prober, Error> {
        let bytes = (2 * last_level_cache(&cpu)).next_multiple_of(1 << 21).clamp(BYTES[0], BYTES[1]);
        let buffer = cpu.alloc(bytes)?;
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
            return Err(e);
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

    /// One pass of every reader.
    ///
    /// # Errors
    /// A thread that panicked.
    pub fn probe_read(&mut self) -> Result<(), Error> {
        self.bandwidth = self.bandwidth.max(self.read(self.buffer.len())?);
        Ok(())
    }

    /// One pass of every reader, and one of these instructions.
    ///
    /// # Errors
    /// A thread that panicked.
    pub fn probe(&mut self, burst: Burst) -> Result<(), Error> {
        self.probe_read()?;
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

    /// Bytes a second written, and copied with both counted, by each thread in its own part of the memory, which loses what it held
    /// but for its first half.
    ///
    /// # Errors
    /// A thread that panicked.
    pub fn write_and_copy(&mut self) -> Result<(f64, f64), Error> {
        let threads = self.cpu.limits().max_threads;
        let Some(memory) = self.buffer.host() else { return Ok((0.0, 0.0)) };
        let part = self.buffer.len() / 2 / threads;
        let half = Half(memory.wrapping_add(self.buffer.len() / 2));
        let seconds = together(&self.cpu, threads, |i| {
            // SAFETY: the second half of the memory, of which each thread has its own part.
            unsafe { std::ptr::write_bytes(half.part(i, part), 3, part) };
        })?;
        let write = (part * threads) as f64 / seconds;
        let first = Half(memory);
        let seconds = together(&self.cpu, threads, |i| {
            // SAFETY: as above, from the first half, which nobody writes.
            unsafe { std::ptr::copy_nonoverlapping(first.part(i, part), half.part(i, part), part) };
        })?;
        Ok((write, 2.0 * (part * threads) as f64 / seconds))
    }

    /// Bytes a second of the fastest reader, over the first `bytes` of the memory, each thread its own contiguous part.
    fn read(&self, bytes: usize) -> Result<f64, Error> {
        let threads = self.cpu.limits().max_threads;
        let Some(memory) = self.buffer.host() else { return Ok(0.0) };
        // SAFETY: the memory is aligned to pages, was written by `new`, and nobody writes it any more.
        let data = unsafe { std::slice::from_raw_parts(memory.cast::<u64>(), bytes / 8) };
        let part = data.len().div_ceil(threads);
        let pass = |reader: &Reader| -> Result<f64, Error> {
            let seconds = together(&self.cpu, threads, |i| {
                black_box(reader(data.get(i * part..((i + 1) * part).min(data.len())).unwrap_or_default()));
            })?;
            Ok(bytes as f64 / seconds)
        };
        self.readers.iter().map(pass).try_fold(0.0, |best, rate| Ok(rate?.max(best)))
    }
}

/// Memory that threads share out among each other.
struct Half(*mut u8);

// SAFETY: an address; who writes what is decided by those who use it.
unsafe impl Sync for Half {}

impl Half {
    fn part(&self, i: usize, bytes: usize) -> *mut u8 {
        self.0.wrapping_add(i * bytes)
    }
}

/// Bytes of the largest cache, where the system tells; else 64 MiB.
pub fn last_level_cache(cpu: &Cpu) -> usize {
    cpu.cache_bytes().map_or(64 << 20, |bytes| bytes as usize)
}

/// Runs `job` once on each of `threads` threads, all starting together, and gives the seconds from the first start to the
/// last end.
fn together(cpu: &Cpu, threads: usize, job: impl Fn(usize) + Sync) -> Result<f64, Error> {
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
