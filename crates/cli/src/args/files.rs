//! Commands on files and on the program itself.

use super::DeviceArgs;
use clap::Args;
use metallic_kernels::DType;
use std::path::PathBuf;

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
  metallic quantize model-q8_0.gguf model-f16.gguf f16     back, to values as the blocks hold them";

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

/// The element type named `text`, among those that can be written.
fn writable(text: &str) -> Result<DType, String> {
    let known = || {
        let names: Vec<_> =
            DType::all().filter(|d| metallic_kernels::quant::can_quantize(*d)).map(|d| d.name()).collect();
        format!("types that can be written: {}", names.join(", "))
    };
    DType::from_name(text).filter(|d| metallic_kernels::quant::can_quantize(*d)).ok_or_else(known)
}
