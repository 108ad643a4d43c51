//! Flags of `probe` that look for crossovers.

use clap::Args;
use metallic_probe::sweep::Axis;
use std::path::PathBuf;
use std::str::FromStr;

/// Where one variant overtakes another.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Sweep")]
pub struct ProbeSweepArgs {
    /// Measure every shape along a dimension, closer where the winner changes: n=1:4096. Prints where variants overtake each other
    /// and what the default order costs
    #[arg(long, value_name = "DIM=FROM:TO", conflicts_with_all = ["check", "list"])]
    pub sweep: Option<Range>,
    /// Write the winners into this table, or into the device's own in this folder, from which kernels are then chosen; entries about
    /// the same problems are replaced
    #[arg(long, value_name = "FILE", requires = "sweep", conflicts_with_all = ["check", "list"])]
    pub tuned: Option<PathBuf>,
}

/// A dimension from one value to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The dimension.
    pub axis: Axis,
    /// First value.
    pub from: usize,
    /// Last value.
    pub to: usize,
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Range, String> {
        let parts = text.split_once('=').and_then(|(axis, ends)| Some((axis, ends.split_once(':')?)));
        let (axis, (from, to)) = parts.ok_or("a dimension and its ends are wanted, for example n=1:4096")?;
        let axis = match axis.trim() {
            "m" => Axis::M,
            "n" => Axis::N,
            "k" => Axis::K,
            other => return Err(format!("{other:?} is no dimension; m, n and k are")),
        };
        let value = |v: &str| v.trim().parse().ok().filter(|v| *v > 0).ok_or(format!("{v:?} is no size"));
        let (from, to) = (value(from)?, value(to)?);
        if from < to { Ok(Range { axis, from, to }) } else { Err(format!("{from} is not below {to}")) }
    }
}
