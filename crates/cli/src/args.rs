//! The command line: every command, every flag, and the help that teaches them.

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use metallic_kernels::DType;
use std::path::PathBuf;

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

Without a command, `run` is meant: `metallic MODEL PROMPT` takes all flags of `metallic run`.

Exit codes:
  0    done, or the reader of our output has left
  1    failed; one line on standard error says why
  2    wrong usage
  130  ended by Ctrl-C (files are whole or absent); a second Ctrl-C ends at once

Environment:
  METALLIC_MODEL                         the model where none is given
  FORCE_MATMUL_BACKEND, SOFTMAX_BACKEND  variants of an op, as --force";

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
    /// List the devices there are, and why the others are refused
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
    #[arg(long, value_name = "T")]
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
    #[arg(long, value_name = "TEXT")]
    pub stop: Vec<String>,
    /// Go on past the tokens that end a text
    #[arg(long)]
    pub ignore_eos: bool,
}

fn logit_bias(text: &str) -> Result<(u32, f32), String> {
    let (id, value) = text.split_once('=').ok_or("expected ID=VALUE, for example 42=-100")?;
    let id = id.trim().parse().map_err(|_| format!("{id:?} is no token id"))?;
    let value: f32 = value.trim().parse().map_err(|_| format!("{value:?} is no number"))?;
    if value.is_nan() { Err("NaN is no bias".to_owned()) } else { Ok((id, value)) }
}

/// The element type named `text`, among those that can be written.
fn writable(text: &str) -> Result<DType, String> {
    let known = || {
        let names: Vec<_> =
            DType::all().filter(|d| metallic_kernels::quant::can_quantize(*d)).map(|d| d.name()).collect();
        format!("types that can be written: {}", names.join(", "))
    };
    DType::from_name(text).filter(|d| metallic_kernels::quant::can_quantize(*d)).ok_or_else(known)
}

const RUN_HELP: &str = "\
Sampling that is not given is as the model's generation_config.json says, else temperature 0.8,
top-k 40, top-p 0.95, min-p 0.05.

The line of figures goes to standard error. Tokens a second: TPS Total, those written over all of
the time, the prompt's included; TPS Decode, those after the first over the time after the first;
TPS Prefill, the prompt's over the time to the first.

Examples:
  metallic run model.gguf \"The borrow checker\" -n 100
  metallic run model.gguf @prompt.txt --temperature 0
  git diff | metallic run model.gguf - --chat --system \"Review this change\"
  metallic run model.gguf \"Hello\" --output-format json | jq .decode_tps
  metallic run model.gguf \"Hello\" --output-format none --seed 42";

/// `run`, and the program without a command.
#[derive(Args, Clone, Debug)]
#[command(after_help = RUN_HELP)]
pub struct RunArgs {
    /// A .gguf file, or a folder with config.json and *.safetensors; by default the model that ships with Metallic
    pub model: Option<PathBuf>,
    /// Text to continue; `@FILE` reads a file, `-` standard input
    pub prompt: Option<String>,
    /// Tokens to write at most
    #[arg(short = 'n', long, value_name = "N", default_value_t = 256)]
    pub max_tokens: usize,
    /// The prompt is a user's message: wrap it in the model's chat template
    #[arg(long)]
    pub chat: bool,
    /// The prompt is plain text, no chat template (the default)
    #[arg(long, conflicts_with = "chat")]
    pub raw: bool,
    /// System message, with --chat
    #[arg(long, value_name = "TEXT", requires = "chat")]
    pub system: Option<String>,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value = "text")]
    pub output_format: OutputFormat,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub context: ContextArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

const CHAT_HELP: &str = "\
While you write: Enter sends; a line that ends with \\ goes on; \"\"\" starts and ends a text of
several lines. Ctrl-C stops the answer that is being written, Ctrl-D leaves. /help lists the
commands (/clear, /system, /save, ...).
The history lies in $XDG_STATE_HOME/metallic/history (~/.local/state/metallic/history).";

/// `chat`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CHAT_HELP)]
pub struct ChatArgs {
    /// A .gguf file, or a folder with config.json and *.safetensors; by default the model that ships with Metallic
    pub model: Option<PathBuf>,
    /// System message; `@FILE` reads a file
    #[arg(long, value_name = "TEXT")]
    pub system: Option<String>,
    /// Tokens of one answer at most; by default as many as the context has room for
    #[arg(short = 'n', long, value_name = "N")]
    pub max_tokens: Option<usize>,
    /// No chat template: everything written is one text that the model continues
    #[arg(long)]
    pub raw: bool,
    #[command(flatten)]
    pub sampling: SamplingArgs,
    #[command(flatten)]
    pub context: ContextArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

const BENCH_HELP: &str = "\
The flags and the JSON fields are llama-bench's: each -p is a test of prompt processing (pp), each
-n one of generation (tg). Added are median, min and max, time to first token, percentiles between
tokens, bytes read a token, and the fractions of this machine's read bandwidth and compute peak,
both measured between the repetitions with the same threads. Going faster than the memory allows is
an error, since it means that something is wrong.

Examples:
  metallic bench model.gguf                          pp512 and tg128, 5 times
  metallic bench model.gguf -p 0 -n 64 -t 1,2        decode alone, with 1 and with 2 threads
  metallic bench model.gguf -p 512 -n 0 --without amx -o json";

/// `bench`.
#[derive(Args, Clone, Debug)]
#[command(after_help = BENCH_HELP)]
pub struct BenchArgs {
    /// A .gguf file, or a folder with config.json and *.safetensors; by default the model that ships with Metallic
    pub model: Option<PathBuf>,
    /// Prompt lengths; 0 for none
    #[arg(short = 'p', long, value_name = "N,...", value_delimiter = ',', default_value = "512")]
    pub n_prompt: Vec<usize>,
    /// Numbers of tokens to generate; 0 for none
    #[arg(short = 'n', long, value_name = "N,...", value_delimiter = ',', default_value = "128")]
    pub n_gen: Vec<usize>,
    /// Repetitions
    #[arg(short, long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub repetitions: u32,
    /// Numbers of threads
    #[arg(short, long, value_name = "N,...", value_delimiter = ',')]
    pub threads: Vec<usize>,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value = "md")]
    pub output: BenchFormat,
    #[command(flatten)]
    pub context: ContextArgs,
    #[command(flatten)]
    pub choice: ChoiceArgs,
}

/// How `bench` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchFormat {
    /// A Markdown table
    Md,
    /// Comma-separated values with a header
    Csv,
    /// An array of objects
    Json,
    /// An object a line, as soon as it is measured
    Jsonl,
}

const INSPECT_HELP: &str = "\
Examples:
  metallic inspect model.gguf
  metallic inspect model.gguf --json | jq '.tensors[] | select(.dtype == \"q4_k\").name'
  metallic inspect model.gguf --explain --without amx   why each kernel is taken or refused";

/// `inspect`.
#[derive(Args, Clone, Debug)]
#[command(after_help = INSPECT_HELP)]
pub struct InspectArgs {
    /// A .gguf file, or a folder with config.json and *.safetensors
    pub model: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// For every problem, what each variant says about it
    #[arg(long)]
    pub explain: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

const TOKENIZE_HELP: &str = "\
Examples:
  echo -n 'Hello world' | metallic tokenize model.gguf --ids       ids on one line, nothing added
  metallic tokenize model.gguf 'Hello world'                       each token with its text
  metallic tokenize model.gguf --decode 9707,1879                  ids back to text
  metallic tokenize model.gguf --special '<|im_start|>user'        special tokens by their names";

/// `tokenize`.
#[derive(Args, Clone, Debug)]
#[command(after_help = TOKENIZE_HELP)]
pub struct TokenizeArgs {
    /// A .gguf file (one with a vocabulary alone will do), or a folder with tokenizer.json
    pub model: PathBuf,
    /// Text; `@FILE` reads a file; without it, or for `-`, standard input is read
    pub text: Option<String>,
    /// Print the ids alone, on one line with spaces between
    #[arg(long)]
    pub ids: bool,
    /// Recognise special tokens such as <|im_end|> by their names
    #[arg(long)]
    pub special: bool,
    /// Add what the model wants around a prompt (its bos token)
    #[arg(long)]
    pub prompt: bool,
    /// Print the text of these ids instead
    #[arg(long, value_name = "ID,...", value_delimiter = ',', conflicts_with_all = ["text", "ids", "special", "prompt"])]
    pub decode: Option<Vec<u32>>,
    /// Print JSON
    #[arg(long, conflicts_with = "ids")]
    pub json: bool,
}

const QUANTIZE_HELP: &str = "\
Vectors (norms, biases) stay f32. Rows that are no whole blocks of the type become q8_0, or f16.

Examples:
  metallic quantize model-f16.gguf model-q8_0.gguf q8_0
  metallic quantize model-q8_0.gguf model-f16.gguf f16      back, to values as the blocks hold them";

/// `quantize`.
#[derive(Args, Clone, Debug)]
#[command(after_help = QUANTIZE_HELP)]
pub struct QuantizeArgs {
    /// A .gguf file, or a folder with config.json and *.safetensors
    pub model: PathBuf,
    /// The .gguf file to write
    pub output: PathBuf,
    /// Type of the matrices
    #[arg(value_parser = writable)]
    pub dtype: DType,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const CONVERT_HELP: &str = "\
Examples:
  metallic convert Qwen2.5-0.5B-Instruct/ qwen.gguf              in the types of the folder
  metallic convert Qwen2.5-0.5B-Instruct/ qwen-q8.gguf -t q8_0   quantized on the way";

/// `convert`.
#[derive(Args, Clone, Debug)]
#[command(after_help = CONVERT_HELP)]
pub struct ConvertArgs {
    /// A folder with config.json and *.safetensors
    pub model: PathBuf,
    /// The .gguf file to write
    pub output: PathBuf,
    /// Type of the matrices; by default as they are stored
    #[arg(short = 't', long, value_name = "TYPE", value_parser = writable)]
    pub dtype: Option<DType>,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const SYNTH_HELP: &str = "\
The same shape, type and seed give the same bytes on every machine.

Examples:
  metallic synth --list
  metallic synth qwen2.5-0.5b qwen-q8.gguf -t q8_0
  metallic synth tiny-llama tiny.gguf --vocab real.gguf      with the tokens of a real model";

/// `synth`.
#[derive(Args, Clone, Debug)]
#[command(after_help = SYNTH_HELP)]
pub struct SynthArgs {
    /// Name of the shape
    #[arg(required_unless_present = "list")]
    pub shape: Option<String>,
    /// The .gguf file to write
    #[arg(required_unless_present = "list")]
    pub output: Option<PathBuf>,
    /// Type of the matrices
    #[arg(short = 't', long, value_name = "TYPE", default_value = "f16", value_parser = writable)]
    pub dtype: DType,
    /// Seed of the weights
    #[arg(short, long, value_name = "N", default_value_t = 42)]
    pub seed: u64,
    /// Take the vocabulary of this model; otherwise the tokens are single bytes
    #[arg(long, value_name = "MODEL")]
    pub vocab: Option<PathBuf>,
    /// List the shapes
    #[arg(long)]
    pub list: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

const LOGITS_HELP: &str = "\
Needs no tokenizer: what anyone who checks parity with another program wants.

Examples:
  metallic logits model.gguf --tokens 1,2,3 -o logits.npy
  metallic tokenize model.gguf 'Hello' --ids | metallic logits model.gguf --tokens - -o logits.npy
  python3 -c \"import numpy; print(numpy.load('logits.npy').shape)\"     (tokens, vocabulary)";

/// `logits`.
#[derive(Args, Clone, Debug)]
#[command(after_help = LOGITS_HELP)]
pub struct LogitsArgs {
    /// A .gguf file, or a folder with config.json and *.safetensors
    pub model: PathBuf,
    /// Token ids with commas or spaces between; `-` reads standard input, `@FILE` a file
    #[arg(long, value_name = "IDS")]
    pub tokens: String,
    /// The .npy file to write: f32, tokens x vocabulary
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Compute token by token, as decoding does, rather than the chunks of a prefill
    #[arg(long)]
    pub decode: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub context: ContextArgs,
    #[command(flatten)]
    pub device: DeviceArgs,
}

/// `devices`.
#[derive(Args, Clone, Debug)]
pub struct DevicesArgs {
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub device: DeviceArgs,
}

const COMPLETIONS_HELP: &str = "\
Examples:
  metallic completions bash > ~/.local/share/bash-completion/completions/metallic
  metallic completions zsh > ~/.zfunc/_metallic
  metallic completions fish > ~/.config/fish/completions/metallic.fish";

/// `completions`.
#[derive(Args, Clone, Debug)]
#[command(after_help = COMPLETIONS_HELP)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: clap_complete::Shell,
}

/// `man`.
#[derive(Args, Clone, Debug)]
#[command(after_help = "Example:\n  metallic man | man -l -          the page of a command: metallic man bench")]
pub struct ManArgs {
    /// Print the page of this command
    pub command: Option<String>,
}
