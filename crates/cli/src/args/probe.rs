//! `probe`.

use super::{ProbeReportArgs, ProbeSweepArgs};
use clap::{Args, ValueEnum};
use metallic_kernels::DType;
use metallic_kernels::elementwise::Activation;
use metallic_probe::spec;
use std::path::PathBuf;

const PROBE_HELP: &str = "\
How it measures:
  check   outputs are poisoned, the submission that will be timed runs, and what it wrote is
          compared with sums in f64; large outputs by a sample and by signed sums of every row
  time    candidates take turns; cold: operands rotate through memory well past the last cache;
          hot: the same operands again and again. Median over rounds, with its 95 % interval
  judge   inputs are replaced and the check is repeated; a time of zero, one that memory does not
          allow, or of another kernel than was asked for is no time

What a row says: cold and hot microseconds a launch by the device's clock; the part of the roofline,
which is the time that memory or arithmetic needs at least over the cold one; the cold time's ratio
to the fastest library (above 1: faster than the library); what the host adds to a launch; the
largest error as a part of what the op allows. Narrow terminals go without the last of these; --json
and --csv have all.

Specs: qwen2.5-0.5b, qwen2.5-1.5b, qwen2.5-7b, llama-3-8b, small-n, softmax, prefill; or a file like
those in specs/.

Examples:
  metallic probe qwen2.5-0.5b                     every variant on every shape of a model
  metallic probe qwen2.5-0.5b --device cuda --json out.json
  metallic probe --op matmul --m 1,2,4 --n 9728 --k 896 --tb       one shape, or several
  metallic probe small-n --variants 'gemv,mlx/*nn*,cublas'         some families, some names
  metallic probe --from model.gguf                what a model's steps launch
  metallic probe softmax --check --device emulator                 no times: every access checked
  metallic probe --roofline                       the limits of the device alone
  metallic probe --op matmul --n 4096 --k 896 --tb --sweep m=1:512 --tuned tuned/
                                                  which variant from which m on?
  metallic probe prefill --html page.html --history runs.sqlite    a page, and a run to compare with
  metallic probe prefill --history runs.sqlite --compare last      what became slower since?

Environment, as tools/run_matmul_probes.sh sets it:
  MATMUL_BACKENDS     families of matmul that take part, with commas between
  MATMUL_BENCH_ITERS  rounds, where --rounds is not given
  METAL_RUN           1 or true runs; 0 or false lists what would run

Exit codes: 0 measured, 1 a variant failed its check, its time cannot be true or grew since
--compare's base, or a file cannot be read or written, 2 wrong usage, 130 interrupted: files have
what was measured by then, the history and the tuned table nothing of it.";

/// `probe`.
#[derive(Args, Clone, Debug)]
#[command(after_help = PROBE_HELP)]
pub struct ProbeArgs {
    /// Names of specs, or files
    #[arg(value_name = "SPEC")]
    pub specs: Vec<String>,
    /// Take the products of this model's steps: one token, and a chunk of a prompt
    #[arg(long, value_name = "MODEL")]
    pub from: Option<PathBuf>,
    /// Where to run; by default CUDA where there is a GPU, else the CPU
    #[arg(long, value_enum, value_name = "DEVICE")]
    pub device: Option<ProbeDevice>,
    /// Threads of the CPU
    #[arg(short, long, value_name = "N")]
    pub threads: Option<usize>,
    /// Variants that take part: family, family/name or op/family/name, with * for anything
    #[arg(long, value_name = "PATTERN,...", value_delimiter = ',')]
    pub variants: Vec<String>,
    /// Disabled variants take part
    #[arg(long)]
    pub all: bool,
    /// Only check, do not time
    #[arg(long)]
    pub check: bool,
    /// Rounds of those that stay to the end
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rounds: Option<u32>,
    /// Measure the roofline and nothing else
    #[arg(long, conflicts_with_all = ["no_roofline", "check", "from", "specs"])]
    pub roofline: bool,
    /// Do not measure the roofline: no part of it is told, and nothing is too fast to be true
    #[arg(long)]
    pub no_roofline: bool,
    /// List every variant that did not run, with the reason
    #[arg(long)]
    pub gaps: bool,
    /// List the shapes and variants, and run nothing
    #[arg(long)]
    pub list: bool,
    /// Write the whole record as JSON; `-` is standard output, and then there is no table
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Print every problem as a line of JSON as soon as it is measured, instead of a table
    #[arg(long, conflicts_with = "json")]
    pub jsonl: bool,
    #[command(flatten)]
    pub shape: ShapeArgs,
    #[command(flatten)]
    pub sweep: ProbeSweepArgs,
    #[command(flatten)]
    pub report: ProbeReportArgs,
}

/// A device of `probe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProbeDevice {
    /// This machine's processor
    Cpu,
    /// An NVIDIA GPU
    Cuda,
    /// Metal kernels on the CPU, every access checked; nothing is timed
    Emulator,
    /// Metal kernels on the CPU without checks; nothing is timed
    Fast,
    /// An Apple GPU
    Metal,
}

/// Shapes on the command line; lists stand for every combination.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Shape")]
pub struct ShapeArgs {
    /// The op
    #[arg(long, value_enum)]
    pub op: Option<ProbeOp>,
    /// Rows
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "1", requires = "op", value_parser = size, allow_negative_numbers = true)]
    pub m: Vec<usize>,
    /// Outputs of a row (matmul)
    #[arg(long, value_name = "N,...", value_delimiter = ',', requires = "op", value_parser = size, allow_negative_numbers = true)]
    pub n: Vec<usize>,
    /// The reduced dimension, or columns (softmax)
    #[arg(long, value_name = "N,...", value_delimiter = ',', requires = "op", value_parser = size, allow_negative_numbers = true)]
    pub k: Vec<usize>,
    /// Problems
    #[arg(long, value_name = "N", default_value_t = 1, requires = "op", value_parser = size, allow_negative_numbers = true)]
    pub batch: usize,
    /// Stored type of the weights
    #[arg(long, value_name = "TYPE,...", value_delimiter = ',', value_parser = dtype, default_value = "f16", requires = "op")]
    pub w: Vec<DType>,
    /// Type of activations; by default f32 on the CPU and f16 elsewhere, as engines have it
    #[arg(long, value_name = "TYPE", value_parser = dtype, requires = "op")]
    pub act: Option<DType>,
    /// The first operand is stored transposed
    #[arg(long, requires = "op")]
    pub ta: bool,
    /// The second operand is stored transposed, (n, k): the usual weight
    #[arg(long, requires = "op")]
    pub tb: bool,
    /// Add a bias
    #[arg(long, requires = "op")]
    pub bias: bool,
    /// A function on the result: relu, gelu or silu
    #[arg(long, value_name = "NAME", value_parser = activation, default_value = "none", requires = "op")]
    pub activation: Activation,
    /// Factor on the product
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = 1.0, requires = "op")]
    pub alpha: f32,
    /// Factor on what the output holds, which is then added
    #[arg(long, value_name = "X", allow_negative_numbers = true, default_value_t = 0.0, requires = "op")]
    pub beta: f32,
    /// Rows see columns up to their own position (softmax)
    #[arg(long, requires = "op")]
    pub causal: bool,
}

/// An op that can be probed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProbeOp {
    /// Matrix products
    Matmul,
    /// Softmax of rows
    Softmax,
}

fn size(text: &str) -> Result<usize, String> {
    let wrong = || format!("{text:?} is no size: sizes are whole numbers from 1 to {}", i32::MAX);
    text.trim().parse().ok().filter(|s| (1..=i32::MAX as usize).contains(s)).ok_or_else(wrong)
}

fn dtype(text: &str) -> Result<DType, String> {
    let known = || DType::all().map(DType::name).collect::<Vec<_>>().join(", ");
    DType::from_name(text).ok_or_else(|| format!("types are {}", known()))
}

fn activation(text: &str) -> Result<Activation, String> {
    spec::activation(text).ok_or_else(|| "functions are none, relu, gelu and silu".to_owned())
}

#[cfg(test)]
mod tests {
    use super::{PROBE_HELP, spec};

    #[test]
    fn the_help_names_every_spec() {
        let line = PROBE_HELP.lines().find_map(|l| l.strip_prefix("Specs: ")).unwrap_or_default();
        let named = line.split(';').next().unwrap_or_default();
        assert_eq!(named, spec::SPECS.map(|(name, _)| name).join(", "));
    }
}
