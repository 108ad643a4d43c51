//! The `metallic` binary: parses, runs one command, and prints at most one error.

mod args;
mod bench;
mod clock;
mod commands;
mod errors;
mod files;
mod interrupt;
mod npy;
mod output;
mod progress;
mod session;
mod shipped;

use clap::{CommandFactory, FromArgMatches};
use std::process::ExitCode;

fn main() -> ExitCode {
    let matches = args::command().get_matches();
    let cli = match args::Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(e) => e.format(&mut args::Cli::command()).exit(),
    };
    if let Err(e) = metallic_kernels::contract::source::check_folder() {
        return errors::report(&errors::Usage(e.to_string()).into());
    }
    let cancel = match interrupt::install() {
        Ok(cancel) => cancel,
        Err(e) => return errors::report(&e),
    };
    match commands::dispatch(cli, cancel) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => errors::report(&e),
    }
}
