//! What a dispatch has left in the buffers that it may write: elements without a value, and values that depend on the order of
//! threads.

use super::super::fault::{Fault, FaultKind, Spot};
use super::buffer::{Memory, Snapshot};
use super::launch::{Launch, fault, title};
use super::program::{Argument, ArgumentKind, Program};

/// A buffer that the kernel may write.
pub(super) struct Written<'a> {
    argument: &'a Argument,
    pub(super) memory: &'a Memory,
    start: usize,
    end: usize,
}

pub(super) fn written<'a>(program: &'a Program, launch: &'a Launch) -> Vec<Written<'a>> {
    let writable = program.arguments.iter().filter(|a| a.kind == ArgumentKind::Writable);
    writable
        .filter_map(|argument| {
            let (_, b) = launch.buffers.iter().find(|(i, _)| *i == argument.index)?;
            let memory = b.buffer.as_ref()?.memory()?;
            Some(Written { argument, memory, start: b.offset, end: b.offset + b.len })
        })
        .collect()
}

/// Reports outputs that hold elements nobody has written.
pub(super) fn unwritten(program: &Program, launch: &Launch, written: &[Written<'_>], seed: u64) -> Vec<Fault> {
    let asked = written.iter().filter(|w| launch.outputs.contains(&w.argument.index));
    asked
        .filter_map(|w| {
            let missing = w.memory.unwritten(w.start, w.end);
            let element = w.argument.element.unwrap_or(1).max(1);
            let first = missing.first()? - w.start;
            let mut elements: Vec<_> = missing.iter().map(|at| (at - w.start) / element).collect();
            elements.dedup();
            let cause = format!(
                "{} of {} elements of {} were not written; the first is {}",
                elements.len(),
                (w.end - w.start) / element,
                title(w.argument),
                first / element,
            );
            let place = w.argument.place.clone().or(program.place.clone());
            let spot = spot(w, first / element * element, element);
            Some(Fault { memory: Some(spot), seed, ..fault(program, FaultKind::Unwritten, place, cause) })
        })
        .collect()
}

fn spot(w: &Written<'_>, offset: usize, bytes: usize) -> Spot {
    Spot {
        memory: title(w.argument),
        buffer: Some(w.argument.index),
        offset: offset as i64,
        bytes: bytes as u64,
        length: (w.end - w.start) as u64,
    }
}

/// Reports the first result that two schedules do not agree on.
pub(super) fn differing(
    program: &Program,
    written: &[Written<'_>],
    (one, seed_one): (&[Snapshot], u64),
    (two, seed_two): (&[Snapshot], u64),
) -> Option<Fault> {
    written.iter().zip(one.iter().zip(two)).find_map(|(w, (a, b))| {
        let (a, b) = (a.bytes.get(w.start..w.end)?, b.bytes.get(w.start..w.end)?);
        let element = w.argument.element.unwrap_or(1).max(1);
        let differs = |(x, y): &(&[u8], &[u8])| x != y;
        let count = a.chunks(element).zip(b.chunks(element)).filter(differs).count();
        let first = a.chunks(element).zip(b.chunks(element)).position(|(x, y)| x != y)?;
        let show = |bytes: &[u8]| {
            let part = &bytes[first * element..(first * element + element).min(bytes.len())];
            part.iter().rev().fold("0x".to_owned(), |text, byte| format!("{text}{byte:02x}"))
        };
        let cause = format!(
            "{count} elements of {} depend on the order of threads: element {first} is {} under schedule {seed_one} and {} \
             under schedule {seed_two}",
            title(w.argument),
            show(a),
            show(b),
        );
        let writer = {
            // SAFETY: between launches.
            let site = unsafe { w.memory.region() }.writer(w.start + first * element);
            let sites = program.module.sites.lock().unwrap_or_else(|e| e.into_inner());
            sites.as_ref().and_then(|s| s.place(site?))
        };
        let place = writer.or(w.argument.place.clone()).or(program.place.clone());
        let spot = spot(w, first * element, element);
        Some(Fault { memory: Some(spot), seed: seed_two, ..fault(program, FaultKind::OrderDependent, place, cause) })
    })
}
