//! One file a command.

mod bench;
mod chat;
mod completions;
mod convert;
mod devices;
#[cfg_attr(
    not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))),
    path = "emulate_absent.rs"
)]
mod emulate;
mod inspect;
mod lint;
mod logits;
mod man;
mod probe;
mod probe_report;
mod quantize;
mod run;
mod synth;
mod tokenize;

use crate::args::{ChoiceArgs, Cli, Command};
use crate::interrupt::{self, Cancel};
use anyhow::Context;
use metallic_device::cpu::{self, Cpu};
use metallic_model::ModelFile;
use metallic_ops::Dispatch;
use std::io::Read;
use std::path::Path;

/// Runs the command that was asked for.
pub fn dispatch(cli: Cli, cancel: Cancel) -> anyhow::Result<()> {
    match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Inspect(a) => inspect::run(&a),
        Command::Tokenize(a) => tokenize::run(&a),
        Command::Quantize(a) => quantize::run(&a, cancel),
        Command::Convert(a) => convert::run(&a, cancel),
        Command::Synth(a) => synth::run(&a, cancel),
        Command::Emulate(a) => emulate::run(&a),
        Command::Lint(a) => lint::run(&a),
        Command::Report(a) => probe_report::run(&a),
        Command::Devices(a) => devices::run(&a),
        Command::Completions(a) => completions::run(&a),
        Command::Man(a) => man::run(&a),
        Command::Run(a) => run::run(&a, cancel),
        Command::Chat(a) => chat::run(&a, cancel),
        Command::Bench(a) => bench::run(&a, cancel),
        Command::Probe(a) => probe::run(&a, cancel),
        Command::Logits(a) => logits::run(&a, cancel),
    }
}

/// Opens a model; the error names the file.
pub fn open(path: &Path) -> anyhow::Result<ModelFile> {
    Ok(ModelFile::open(path)?)
}

/// The CPU, and the choice of kernels on it.
fn cpu(threads: Option<usize>, choice: &ChoiceArgs) -> anyhow::Result<(Cpu, Dispatch)> {
    let cpu = Cpu::new(&cpu::Options { threads, without: choice.without.clone(), ..Default::default() })?;
    let dispatch = Dispatch::of(&cpu, &forced(choice))?;
    Ok((cpu, dispatch))
}

/// What --force and the environment force; the flags come first.
pub fn forced(choice: &ChoiceArgs) -> Vec<String> {
    choice.force.iter().cloned().chain(metallic_ops::forced_by_environment()).collect()
}

/// The text that an argument stands for: itself, `@FILE`, or `-` for standard input.
fn text(argument: &str) -> anyhow::Result<String> {
    match argument.strip_prefix('@') {
        _ if argument == "-" => {
            let mut text = String::new();
            interrupt::waiting(|| std::io::stdin().lock().read_to_string(&mut text))?
                .context("cannot read standard input")?;
            Ok(text)
        }
        Some(file) => std::fs::read_to_string(file).with_context(|| format!("cannot read {file}")),
        None => Ok(argument.to_owned()),
    }
}

/// Fails where writing `output` would destroy the model that is being read.
fn distinct(model: &Path, output: &Path) -> anyhow::Result<()> {
    let same = matches!((model.canonicalize(), output.canonicalize()), (Ok(a), Ok(b)) if a == b);
    anyhow::ensure!(!same, "{} is the model itself; write to another file", output.display());
    Ok(())
}
