//! `logits`: what the model computes for given tokens, as a NumPy array.

use super::{open, text};
use crate::args::LogitsArgs;
use crate::interrupt::{Cancel, Interrupted};
use crate::npy::Matrix;
use crate::{output, progress, session};
use anyhow::Context;
use serde_json::json;
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Writes the array.
pub fn run(args: &LogitsArgs, cancel: Cancel) -> anyhow::Result<()> {
    let tokens = ids(&text(&args.tokens)?)?;
    let file = Arc::new(open(&args.model)?);
    let mut options = session::options(&args.context, args.device.threads, &args.device.choice);
    if args.decode {
        options.chunk = 1;
    }
    let mut engine = session::load_engine(&file, &options, cancel)?;
    let vocab = engine.config().vocab;
    let mut matrix = Matrix::create(&args.output, tokens.len(), vocab)?;
    let bar = progress::counted("computing");
    let mut failed = None;
    engine.logits(&tokens, &mut |first, rows| {
        bar.at(first as u64, tokens.len() as u64);
        let written = rows.chunks_exact(vocab).try_for_each(|row| matrix.row(row));
        failed = written.err().or_else(|| cancel.load(Ordering::Relaxed).then(|| Interrupted.into()));
        if failed.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    bar.clear();
    if let Some(e) = failed {
        return Err(e);
    }
    matrix.finish()?;
    if args.json {
        return output::json(&json!({ "path": args.output, "shape": [tokens.len(), vocab], "dtype": "f32" }));
    }
    let mut out = output::stdout();
    writeln!(out, "{}: {} x {vocab}, f32", args.output.display(), tokens.len())?;
    out.flush()?;
    Ok(())
}

fn ids(text: &str) -> anyhow::Result<Vec<u32>> {
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|w| !w.is_empty());
    words.map(|w| w.parse().with_context(|| format!("--tokens: {w:?} is no token id"))).collect()
}
