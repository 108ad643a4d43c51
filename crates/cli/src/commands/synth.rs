//! `synth`: models of known shapes with random weights.

use super::{distinct, open};
use crate::args::SynthArgs;
use crate::interrupt::Cancel;
use crate::{output, progress};
use anyhow::Context;
use metallic_model::{Progress, Synth, shape_names};
use serde_json::json;
use std::io::Write;

/// Writes the file, or lists the shapes.
pub fn run(args: &SynthArgs, cancel: Cancel) -> anyhow::Result<()> {
    let (false, Some(shape), Some(path)) = (args.list, &args.shape, &args.output) else {
        return list(args);
    };
    let vocab = args.vocab.as_deref().map(open).transpose()?;
    if let Some(from) = &args.vocab {
        distinct(from, path)?;
    }
    let synth = Synth { shape, dtype: args.dtype, seed: args.seed, vocab: vocab.as_ref() };
    let bar = progress::bytes("writing");
    let report = |done, total| bar.at(done, total);
    metallic_model::synth(&synth, path, Progress { report: &report, cancel })?;
    bar.clear();
    super::quantize::written(path, args.json)
}

fn list(args: &SynthArgs) -> anyhow::Result<()> {
    let names: Vec<_> = shape_names().collect();
    if args.json {
        return output::json(&json!({ "shapes": names }));
    }
    let mut out = output::stdout();
    names.iter().try_for_each(|name| writeln!(out, "{name}")).and_then(|()| out.flush()).context("standard output")
}
