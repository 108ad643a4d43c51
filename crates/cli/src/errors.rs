//! The one place where an error is printed: what went wrong, and what to do next.

use crate::interrupt::{self, Interrupted};
use metallic_model::tokenizer::TokenizerError;
use metallic_probe::history::HistoryError;
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// A command line that cannot be meant, found after it was parsed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Usage(pub String);

/// Prints `error` to standard error and gives the exit code that belongs to it.
pub fn report(error: &anyhow::Error) -> ExitCode {
    // Who reads our output has read enough: `metallic inspect | head`.
    if closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let mut err = std::io::stderr().lock();
    if cancelled(error) {
        let _ = writeln!(err, "interrupted");
        return ExitCode::from(interrupt::EXIT_CODE);
    }
    let _ = writeln!(err, "error: {}", sentence(error));
    if let Some(hint) = hint(error) {
        let _ = writeln!(err, "  help: {hint}");
    }
    if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// The chain of causes in one line. Library errors name their source themselves, so what was said is not said twice.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

fn closed_pipe(error: &anyhow::Error) -> bool {
    let is = |e: &std::io::Error| e.kind() == ErrorKind::BrokenPipe;
    error.downcast_ref::<std::io::Error>().is_some_and(is)
        || error.downcast_ref::<serde_json::Error>().is_some_and(|e| e.io_error_kind() == Some(ErrorKind::BrokenPipe))
}

fn cancelled(error: &anyhow::Error) -> bool {
    error.is::<Interrupted>()
        || error.chain().any(|e| {
            matches!(e.downcast_ref(), Some(metallic_model::Error::Cancelled))
                || e.downcast_ref().is_some_and(metallic_engine::Error::is_cancelled)
        })
}

/// What the reader can do about it, where there is something that the error itself does not say.
fn hint(error: &anyhow::Error) -> Option<&'static str> {
    error.chain().find_map(|cause| {
        None.or_else(|| model_hint(cause.downcast_ref()?))
            .or_else(|| tokenizer_hint(cause.downcast_ref()?))
            .or_else(|| engine_hint(cause.downcast_ref()?))
            .or_else(|| history_hint(cause.downcast_ref()?))
    })
}

fn history_hint(error: &HistoryError) -> Option<&'static str> {
    match error {
        HistoryError::Sqlite { .. } => Some(
            "--history wants a file that `metallic probe --history` began, or a free name in a folder that is there",
        ),
        HistoryError::NoRun { known, .. } if known.is_empty() => {
            Some("measure once without --compare: that begins the history")
        }
        _ => None,
    }
}

fn tokenizer_hint(error: &TokenizerError) -> Option<&'static str> {
    match error {
        TokenizerError::Missing => {
            Some("`logits` and `bench` need no tokenizer; `convert` a folder with tokenizer.json to get one")
        }
        _ => None,
    }
}

fn engine_hint(error: &metallic_engine::Error) -> Option<&'static str> {
    match error {
        metallic_engine::Error::PromptTooLong { .. } => {
            Some("shorten the prompt, or give it room with --context, up to what the model was trained for")
        }
        _ => None,
    }
}

fn model_hint(error: &metallic_model::Error) -> Option<&'static str> {
    use metallic_model::Error::*;
    match error {
        In { source, .. } => model_hint(source),
        Io { source, .. } if source.kind() == ErrorKind::NotFound => Some(
            "a model is a .gguf file or a folder with config.json and *.safetensors; \
             `metallic synth tiny-qwen2 tiny.gguf` writes one to try; `metallic --help` lists the commands",
        ),
        Truncated { .. } => Some("the file is shorter than it says; download or copy it again"),
        Malformed { offset: 0, .. } => {
            Some("is this a GGUF file? A folder with safetensors is given by the folder's name")
        }
        CannotConvert { .. } => Some("`metallic quantize --help` lists the types that can be written"),
        _ => None,
    }
}
