//! `quantize`: a model in another element type.

use super::{distinct, open};
use crate::args::QuantizeArgs;
use crate::interrupt::Cancel;
use crate::output::{self, Bytes};
use crate::progress;
use metallic_kernels::DType;
use metallic_model::{ModelFile, Progress, convert};
use serde_json::json;
use std::io::Write;
use std::path::Path;

/// Writes the file.
pub fn run(args: &QuantizeArgs, cancel: Cancel) -> anyhow::Result<()> {
    distinct(&args.model, &args.output)?;
    rewrite(&open(&args.model)?, &args.output, Some(args.dtype), cancel)?;
    written(&args.output, args.json)
}

/// Writes `model` to `path` with matrices of `dtype`, or as they are.
pub fn rewrite(model: &ModelFile, path: &Path, dtype: Option<DType>, cancel: Cancel) -> anyhow::Result<()> {
    let bar = progress::bytes("writing");
    let report = |done, total| bar.at(done, total);
    let summary = convert(model, path, dtype, Progress { report: &report, cancel })?;
    bar.clear();
    summary.notes.iter().for_each(|n| output::note(format_args!("note: {n}")));
    Ok(())
}

/// Says what was written.
pub fn written(path: &Path, json: bool) -> anyhow::Result<()> {
    let model = open(path)?;
    let (tensors, bytes) = (model.tensors().len(), model.size_bytes());
    if json {
        return output::json(&json!({ "path": path, "tensors": tensors, "bytes": bytes }));
    }
    let mut out = output::stdout();
    writeln!(out, "{}: {tensors} tensors, {}", path.display(), Bytes(bytes))?;
    out.flush()?;
    Ok(())
}
