//! `convert`: a safetensors folder as one GGUF file.

use super::quantize::{rewrite, written};
use super::{distinct, open};
use crate::args::ConvertArgs;
use crate::interrupt::Cancel;

/// Writes the file.
pub fn run(args: &ConvertArgs, cancel: Cancel) -> anyhow::Result<()> {
    distinct(&args.model, &args.output)?;
    rewrite(&open(&args.model)?, &args.output, args.dtype, cancel)?;
    written(&args.output, args.json)
}
