//! `man`: the manual page.

use crate::args::{self, ManArgs};
use crate::output;
use std::io::Write;

/// Prints the page of the program, or of one command.
pub fn run(args: &ManArgs) -> anyhow::Result<()> {
    let mut program = args::command();
    program.build();
    let command = match &args.command {
        None => program,
        Some(name) => {
            let known = || program.get_subcommands().map(|c| c.get_name()).collect::<Vec<_>>().join(", ");
            let found = program.find_subcommand(name).cloned();
            found.ok_or_else(|| anyhow::anyhow!("there is no command {name:?}; commands: {}", known()))?
        }
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    // Explanations and examples stand as they do in --help: lines broken and aligned by hand are not filled.
    let page = String::from_utf8(page)?
        .replace("\n.SH EXTRA\n", "\n.SH NOTES\n.nf\n")
        .replace("\n.SH VERSION", "\n.fi\n.SH VERSION");
    let mut out = output::stdout();
    out.write_all(page.as_bytes())?;
    out.flush()?;
    Ok(())
}
