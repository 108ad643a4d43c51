//! The command line: every command, every flag, and the help that teaches them.

mod emulate;
mod files;
mod lint;
mod probe;
mod probe_report;
mod probe_sweep;
mod text;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

pub use emulate::*;
pub use files::*;
pub use lint::*;
pub use probe::*;
pub use probe_report::*;
pub use probe_sweep::*;
pub use text::*;

const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("METALLIC_COMMIT"), ")");

const AFTER_HELP: &str = "\
Examples:
  metallic                                      run the model that ships with Metallic
  metallic model.gguf \"Once upon a time\"        write text
  metallic chat model.gguf                      talk to it
  metallic model.gguf @prompt.txt -n 200        prompt from a file; `-` reads standard input
  metallic bench model.gguf -p 512 -n 128 -r 5  measure, beside the limits of this machine
  metallic inspect model.gguf | head            what is inside, and what it will run on
  metallic synth qwen2.5-0.5b big.gguf -t q8_0  a model of a known shape, made on the spot
  metallic emulate --help                       test a Metal kernel, without a Mac
  metallic probe qwen2.5-0.5b                   which kernel is fastest, and how far from the limit
  metallic report probe.json --html page.html   a page of what a probe measured
  metallic lint kernel.metal                    find what Apple's compiler or GPU would refuse in it

Without a command, `run` is meant: `metallic MODEL PROMPT` takes all flags of `metallic run`.

Exit codes:
  0    done, or the reader of our output has left
  1    failed; one line on standard error says why
  2    wrong usage
  130  ended by Ctrl-C (files are whole or absent); a second Ctrl-C ends at once

Environment:
  METALLIC_MODEL        the model where none is given
  FORCE_MATMUL_BACKEND  a variant of matmul, as --force matmul=...; auto forces nothing
  SOFTMAX_BACKEND       the same for attention, which holds the softmax
  METALLIC_KERNELS      the folder that kernels and their manifests are read from, in place of those
                        in the program (release builds) or in its source (development builds)

Models run on the CPU; `probe` measures kernels on GPUs too. `metallic devices` lists what there is.";

/// Runs language models from GGUF and safetensors files, on any CPU, at the speed of its memory.
#[derive(Debug, Parser)]
#[command(name = "metallic", version = VERSION, args_conflicts_with_subcommands = true, after_help = AFTER_HELP)]
pub struct Cli {
    /// What to do; nothing means `run`.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags of `run`.
    #[command(flatten)]
    pub run: RunArgs,
}

/// The command as parsed, completed and documented. The flags of `run` work at the top level too, and are shown by
/// `metallic run --help` alone.
pub fn command() -> clap::Command {
    Cli::command().mut_args(|a| match a.get_id().as_str() {
        "model" | "prompt" | "help" | "version" => a,
        _ => a.hide(true),
    })
}

/// Every command.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Continue a prompt
    Run(RunArgs),
    /// Talk with a model, with line editing and history
    Chat(ChatArgs),
    /// Measure prefill and decode, and the limits of this machine in the same run
    Bench(BenchArgs),
    /// Measure every variant of an op on real shapes, checked, beside the vendor's library and the device's limits
    Probe(Box<ProbeArgs>),
    /// Show what a model is made of and what each part will run on
    Inspect(InspectArgs),
    /// Turn text into token ids, or ids into text
    Tokenize(TokenizeArgs),
    /// Write a model in another element type
    Quantize(QuantizeArgs),
    /// Write a safetensors folder as one GGUF file
    Convert(ConvertArgs),
    /// Write a model of a known shape with seeded random weights
    Synth(SynthArgs),
    /// Write the logits of given tokens as a NumPy array
    Logits(LogitsArgs),
    /// Run a kernel of a Metal file on the CPU, and find its races, bad accesses and divergence
    Emulate(Box<EmulateArgs>),
    /// Find in Metal sources what Apple's compiler or GPU would refuse
    Lint(LintArgs),
    /// Make a page or a table of what `probe` measured, keep it, or say what became slower
    Report(ReportArgs),
    /// List the devices there are with what runs on each, and why the others are not available
    Devices(DevicesArgs),
    /// Print a completion script for a shell
    Completions(CompletionsArgs),
    /// Print the manual page (roff)
    Man(ManArgs),
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// The text as it comes; figures on standard error
    Text,
    /// One JSON object
    Json,
    /// No text; figures on standard error
    None,
}

/// Element type of the KV cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kv {
    /// f32 for a model that is f32 throughout, else f16
    Auto,
    F32,
    F16,
    #[value(name = "q8_0")]
    Q8_0,
}

/// What to run on.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Device")]
pub struct DeviceArgs {
    /// Threads; by default one per core that this process may use
    #[arg(short, long, value_name = "N")]
    pub threads: Option<usize>,
    #[command(flatten)]
    pub choice: ChoiceArgs,
}

/// Which kernels may run.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Device")]
pub struct ChoiceArgs {
    /// Run this variant of an op, or fail saying why it cannot (e.g. matmul=cpu/portable); may be repeated, tried in order
    #[arg(long, value_name = "OP=VARIANT")]
    pub force: Vec<String>,
    /// Do as if the processor lacked a feature (e.g. amx, avx512, amx-int8); may be repeated
    #[arg(long, value_name = "FEATURE", value_delimiter = ',')]
    pub without: Vec<String>,
}

/// How much the model sees.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Context")]
pub struct ContextArgs {
    /// Positions at most; by default what the model was trained for
    #[arg(short, long, value_name = "N")]
    pub context: Option<usize>,
    /// Element type of the KV cache
    #[arg(long, value_enum, default_value = "auto")]
    pub kv: Kv,
    /// Prompt tokens computed together; by default 512
    #[arg(long, value_name = "N")]
    pub chunk: Option<usize>,
}

/// How the next token is drawn. What is not given comes from the model's generation_config.json, where it has one.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Seed of the random draws; the same seed gives the same text with any number of threads
    #[arg(short, long, value_name = "N")]
    pub seed: Option<u64>,
    /// Divides the logits; 0 always takes the likeliest token
    #[arg(long, value_name = "T", allow_negative_numbers = true)]
    pub temperature: Option<f32>,
    /// Keep the K likeliest tokens; 0 keeps all
    #[arg(long, value_name = "K")]
    pub top_k: Option<usize>,
    /// Keep the likeliest tokens up to this probability mass; 1 keeps all
    #[arg(long, value_name = "P")]
    pub top_p: Option<f32>,
    /// Keep tokens at least this likely, relative to the likeliest
    #[arg(long, value_name = "P")]
    pub min_p: Option<f32>,
    /// Divides the logits of tokens already there; 1 does nothing
    #[arg(long, value_name = "X")]
    pub repeat_penalty: Option<f32>,
    /// Subtracted from the logits of tokens already there
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub presence_penalty: Option<f32>,
    /// Subtracted from a token's logit as often as it is there
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    pub frequency_penalty: Option<f32>,
    /// Added to a token's logit, e.g. 42=-100; may be repeated
    #[arg(long, value_name = "ID=X", value_parser = logit_bias)]
    pub logit_bias: Vec<(u32, f32)>,
    /// End the text where this appears; may be repeated
    #[arg(long, value_name = "TEXT", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    pub stop: Vec<String>,
    /// Go on past the tokens that end a text
    #[arg(long)]
    pub ignore_eos: bool,
}

fn logit_bias(text: &str) -> Result<(u32, f32), String> {
    let (id, value) = text.split_once('=').ok_or("expected ID=VALUE, for example 42=-100")?;
    let id = id.trim().parse().map_err(|_| format!("{id:?} is no token id"))?;
    let value: f32 = value.trim().parse().map_err(|_| format!("{value:?} is no number"))?;
    if value < f32::INFINITY { Ok((id, value)) } else { Err(format!("{value} is no bias; -inf forbids a token")) }
}

#[cfg(test)]
mod tests {
    /// What clap fills lines up to where the terminal is wider.
    const WIDTH: usize = 100;

    #[test]
    fn every_flag_has_help_and_no_line_of_it_is_broken() {
        let mut program = super::command();
        program.build();
        let mut wrong = Vec::new();
        for command in std::iter::once(&program).chain(program.get_subcommands()) {
            let name = command.get_name();
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let long = after.lines().filter(|line| line.chars().count() > WIDTH);
            wrong.extend(long.map(|line| format!("{name}: {line}")));
            let silent = command.get_arguments().filter(|arg| arg.get_help().is_none());
            wrong.extend(silent.map(|arg| format!("{name} {}: no help", arg.get_id())));
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
