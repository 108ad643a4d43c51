//! `completions`: what a shell needs to complete our flags.

use crate::args::{self, CompletionsArgs};
use crate::output;
use std::io::Write;

/// Prints the script.
pub fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "metallic", &mut script);
    let mut out = output::stdout();
    out.write_all(&script)?;
    out.flush()?;
    Ok(())
}
