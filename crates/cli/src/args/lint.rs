//! `lint`.

use clap::Args;
use std::path::PathBuf;

const LINT_HELP: &str = "\
Rules that need types run clang++ (14 or newer) over the source with real address spaces; without
one they are refused, aloud, and the others still run. Nothing is executed, and no Metal is needed.
`metallic lint --rules` lists the rules.

--params names a JSON file with the structs that the host writes:
  [{ \"name\": \"Params\", \"bytes\": 8,
     \"fields\": [{ \"name\": \"n\", \"type\": \"uint\", \"offset\": 0 }, ...] }, ...]

Exit codes: 0 nothing found, 1 something found, 2 a file that cannot be read or wrong usage.

Examples:
  metallic lint kernels/*.metal -I include -D BN=32
  metallic lint softmax.metal --json | jq '.findings[] | .rule'
  metallic lint --kernels                       the kernels of this program, with every set of knobs

Environment:
  METALLIC_CLANG  the clang++ to run";

/// `lint`.
#[derive(Args, Clone, Debug)]
#[command(after_help = LINT_HELP)]
pub struct LintArgs {
    /// Metal sources
    #[arg(required_unless_present_any = ["kernels", "rules"])]
    pub files: Vec<PathBuf>,
    /// A macro, as NAME or NAME=VALUE
    #[arg(short = 'D', value_name = "NAME[=VALUE]")]
    pub define: Vec<String>,
    /// A folder in which headers are looked for
    #[arg(short = 'I', value_name = "DIR")]
    pub include: Vec<PathBuf>,
    /// Layouts that argument structs must have (JSON)
    #[arg(long, value_name = "FILE")]
    pub params: Option<PathBuf>,
    /// The clang++ to run; without it METALLIC_CLANG, and without that clang++
    #[arg(long, value_name = "PATH", conflicts_with = "no_clang")]
    pub clang: Option<PathBuf>,
    /// Leave out the rules that need clang
    #[arg(long)]
    pub no_clang: bool,
    /// Check the kernels of this program
    #[arg(long, conflicts_with_all = ["files", "define", "include", "params"])]
    pub kernels: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    /// List the rules
    #[arg(long)]
    pub rules: bool,
}
