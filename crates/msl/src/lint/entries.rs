//! What a kernel asks of the hardware: threadgroup memory, threads, buffers.

use std::collections::BTreeMap;

use crate::lint::Findings;
use crate::{Arg, ArgKind, Diagnostic, Entry, Unit};

/// Bytes of threadgroup memory on every Apple GPU.
const THREADGROUP_BYTES: usize = 32 << 10;
/// Threads of a threadgroup on every Apple GPU.
const THREADS: u32 = 1024;
/// The last buffer index.
const LAST_BUFFER: u32 = 30;

pub(super) fn check(unit: &Unit, out: &mut Findings) {
    for entry in unit.entries() {
        if let Some(bytes) = entry.threadgroup_bytes.filter(|b| *b > THREADGROUP_BYTES) {
            let message =
                format!("{} declares {bytes} bytes of threadgroup memory; {THREADGROUP_BYTES} are there", entry.name);
            out.push("threadgroup-memory", Diagnostic::error(entry.place.clone(), message));
        }
        if let Some(threads) = entry.max_threads.filter(|t| *t > THREADS) {
            let message = format!("{} asks for {threads} threads a threadgroup; {THREADS} are possible", entry.name);
            out.push("threads", Diagnostic::error(entry.place.clone(), message));
        }
        indices(entry, out);
    }
}

fn indices(entry: &Entry, out: &mut Findings) {
    let mut seen: BTreeMap<(&str, u32), Vec<&Arg>> = BTreeMap::new();
    for arg in &entry.args {
        let (kind, index) = match &arg.kind {
            ArgKind::Buffer(buffer) => ("buffer", buffer.index),
            ArgKind::Threadgroup { index, .. } => ("threadgroup", *index),
            _ => continue,
        };
        if index > LAST_BUFFER {
            let message = format!("{kind}({index}): indices end at {LAST_BUFFER}");
            out.push("buffer-index", Diagnostic::error(arg.place.clone(), message));
        }
        // Arguments that function constants decide on may share an index, since only one of them is there.
        let others = seen.entry((kind, index)).or_default();
        if let Some(other) = others.iter().find(|o| o.condition.is_none() || arg.condition.is_none()) {
            let message = format!("{kind}({index}) is taken by {}", other.name);
            let note = format!("{} stands at {}", other.name, other.place);
            out.push("buffer-index", Diagnostic::error(arg.place.clone(), message).with_note(note));
        }
        others.push(arg);
    }
}
