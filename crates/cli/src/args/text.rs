//! Commands that compute: run, chat, bench, logits.

use super::{ChoiceArgs, ContextArgs, DeviceArgs, OutputFormat, SamplingArgs};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

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
