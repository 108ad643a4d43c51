//! Every op x variant x case on a device, against the op's oracle.
//!
//! Outputs are poisoned before each run, inputs must stay as they were, and elements that no expectation names must keep the
//! poison. Every second case is recorded for more rows than it has, which a variant must leave alone.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use metallic_device::{Binding, Buffer, Device, Record, Rows, StepRows};
use metallic_kernels::contract::{Case, Key, Layout, Op, Params, Role, Variant};
use metallic_kernels::embed::EmbedParams;
use metallic_kernels::matmul::{MatmulParams, pack};
use metallic_kernels::{DType, OPS, quant};

/// A pattern that no kernel writes by chance: NaN in every float type, -1 in integers.
const POISON: u8 = 0xFF;

/// Which variants to run: `op`, `op/family` or `op/family/name`, each part whole; nothing runs all.
#[derive(Clone, Debug, Default)]
pub struct Filter(Vec<String>);

/// A filter that names nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no op, family or variant; write op, op/family or op/family/name")]
pub struct NoMatch(pub String);

impl Filter {
    /// Reads a list separated by commas.
    ///
    /// # Errors
    /// A part that nothing matches.
    pub fn parse(list: &str) -> Result<Filter, NoMatch> {
        let parts: Vec<String> = list.split(',').map(str::trim).filter(|p| !p.is_empty()).map(str::to_owned).collect();
        for part in &parts {
            let one = Filter(vec![part.clone()]);
            let some = |op: &&Op| op.variants().unwrap_or_default().iter().any(|v| one.takes(v));
            if !OPS.iter().any(some) {
                return Err(NoMatch(part.clone()));
            }
        }
        Ok(Filter(parts))
    }

    fn takes(&self, variant: &Variant) -> bool {
        let id = format!("{}/{}", variant.op, variant.id());
        let begins =
            |p: &String| id.strip_prefix(p.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.0.is_empty() || self.0.iter().any(begins)
    }
}

/// What became of one variant.
#[derive(Clone, Debug)]
pub struct Line {
    /// The op.
    pub op: &'static str,
    /// `family/name`.
    pub variant: String,
    /// Cases that ran.
    pub ran: usize,
    /// Cases that the variant refused, and the last reason.
    pub refused: (usize, String),
    /// The largest error, as a part of the budget.
    pub worst: f64,
    /// What went wrong, case by case.
    pub failures: Vec<String>,
    /// Time taken, with compiling.
    pub took: Duration,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Line { op, variant, ran, refused, worst, failures, took } = self;
        let verdict = if failures.is_empty() { "ok".to_owned() } else { format!("{} FAILED", failures.len()) };
        let id = format!("{op} {variant}");
        write!(f, "{id:44} {ran:4} cases  worst {worst:5.3} of budget  {:7.2} s  {verdict}", took.as_secs_f64())?;
        if refused.0 > 0 {
            write!(f, "  ({} refused: {})", refused.0, refused.1)?;
        }
        Ok(())
    }
}

/// Runs every variant that the filter takes and whose source the device runs; `each` sees every line as it is done.
pub fn run(device: &dyn Device, filter: &Filter, each: &mut dyn FnMut(&Line)) -> Vec<Line> {
    let mut lines = Vec::new();
    for &op in OPS {
        let variants = match op.variants() {
            Ok(list) => list,
            Err(e) => {
                lines.push(failed(op, e.to_string()));
                continue;
            }
        };
        let cases = (op.cases)();
        for variant in variants.into_iter().filter(|v| filter.takes(v)) {
            if device.limits().targets.contains(&variant.target()) {
                let line = run_variant(device, op, &Arc::new(variant), &cases);
                each(&line);
                lines.push(line);
            }
        }
    }
    lines
}

fn failed(op: &Op, why: String) -> Line {
    let (variant, refused) = (String::new(), (0, String::new()));
    Line { op: op.name, variant, ran: 0, refused, worst: 0.0, failures: vec![why], took: Duration::ZERO }
}

fn run_variant(device: &dyn Device, op: &'static Op, variant: &Arc<Variant>, cases: &[Case]) -> Line {
    let start = Instant::now();
    let mut line = Line { variant: variant.id(), failures: Vec::new(), ..failed(op, String::new()) };
    for (i, case) in cases.iter().enumerate() {
        let Some(mut case) = arrange(case, variant) else {
            line.refused = (line.refused.0 + 1, "the operand has no form in its layout".to_owned());
            continue;
        };
        if let Err(why) = variant.supports(&case.key, device.limits()) {
            line.refused = (line.refused.0 + 1, why.to_string());
            continue;
        }
        let padded = Key { m: case.key.m + 3, ..case.key };
        if i % 2 == 1 && !variant.supports.fixed_rows && variant.supports(&padded, device.limits()).is_ok() {
            case.key = padded;
        }
        let result = outputs(device, op, variant, &case);
        if let Err(why @ metallic_device::Error::NoAlgorithm { .. }) = result {
            line.refused = (line.refused.0 + 1, why.to_string());
            continue;
        }
        line.ran += 1;
        match result.map_err(|e| e.to_string()).and_then(|got| check(op, &case, &got).map_err(|e| e.to_string())) {
            Ok(worst) => line.worst = line.worst.max(worst),
            Err(why) => line.failures.push(format!("{} {} [{}]: {why}", op.name, variant.id(), case.name)),
        }
    }
    line.took = start.elapsed();
    line
}

/// The case as the variant wants it: the stored operand packed, the key and the arguments saying so. `None` where the stored type has
/// no such form.
pub fn arrange(case: &Case, variant: &Variant) -> Option<Case> {
    let mut case = case.clone();
    let layout = variant.supports.layout.unwrap_or(case.key.layout);
    if case.packed.is_empty() || layout == Layout::Row {
        return Some(case);
    }
    let (dtype, n, k) = (case.key.w, case.key.n, case.key.k);
    let bytes = pack::bytes(dtype, layout, n, k)?;
    for &at in &case.packed {
        let operand = &mut case.operands[at];
        if operand.bytes.is_empty() {
            continue;
        }
        // Not zeros, so that packing has to write all of it.
        let mut packed = vec![0x55u8; bytes];
        pack::pack(dtype, layout, &operand.bytes, n, k, &mut packed);
        operand.bytes = packed;
    }
    case.key.layout = layout;
    let number = layout.number();
    case.params = match case.key.op {
        "matmul" => Params::new(&MatmulParams { layout: number, ..*case.params.get::<MatmulParams>() }),
        "embed" => Params::new(&EmbedParams { layout: number, ..*case.params.get::<EmbedParams>() }),
        _ => case.params,
    };
    Some(case)
}

/// The bytes of every operand after one run.
///
/// # Errors
/// What the device says.
pub fn outputs(
    device: &dyn Device,
    op: &'static Op,
    variant: &Arc<Variant>,
    case: &Case,
) -> Result<Vec<Vec<u8>>, metallic_device::Error> {
    let mut buffers = Vec::new();
    for operand in &case.operands {
        let buffer = device.alloc(operand.bytes.len())?;
        match operand.role {
            Role::Output => buffer.poison()?,
            Role::Input | Role::InOut => buffer.write(0, &operand.bytes)?,
        }
        buffers.push(buffer);
    }
    let operands = buffers.iter().map(|b| if b.is_empty() { Binding::default() } else { b.whole() }).collect();
    let (key, params) = (case.key, case.params);
    let record = Record { op, variant: variant.clone(), key, params, operands, rows: Rows::Tokens };
    device.queue(&[record])?.run(StepRows { tokens: case.rows, outputs: 0 })?;
    let read = |b: &Buffer| {
        let mut bytes = vec![0; b.len()];
        b.read(0, &mut bytes).map(|()| bytes)
    };
    buffers.iter().map(read).collect()
}

/// How an output differs from what must come out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Mismatch {
    /// An input was written.
    #[error("operand {0} is an input, but was written")]
    Input(usize),
    /// A wrong value.
    #[error("operand {operand} element {at}: got {got}, want {want}, error {error:e} > {allowed:e}")]
    Value {
        /// The operand.
        operand: usize,
        /// Its element.
        at: usize,
        /// What the kernel wrote.
        got: f64,
        /// What the oracle says.
        want: f64,
        /// Distance of the two.
        error: f64,
        /// What the budget allows.
        allowed: f64,
    },
    /// An element outside of the result was written.
    #[error("operand {operand} element {at} is outside of the result, but was written")]
    Outside {
        /// The operand.
        operand: usize,
        /// Its element.
        at: usize,
    },
    /// An operand whose bytes are no whole elements.
    #[error("operand {0} cannot be decoded")]
    Bytes(usize),
}

/// Compares what a run left with what the case expects, and gives the largest error as a part of the budget.
///
/// # Errors
/// The first mismatch.
pub fn check(op: &Op, case: &Case, got: &[Vec<u8>]) -> Result<f64, Mismatch> {
    let mut worst = 0.0f64;
    for (o, (operand, bytes)) in case.operands.iter().zip(got).enumerate() {
        match operand.role {
            Role::Input if &operand.bytes != bytes => return Err(Mismatch::Input(o)),
            Role::Input => continue,
            Role::Output | Role::InOut => {}
        }
        let Some(expect) = case.expect.iter().find(|e| e.operand == o) else { continue };
        let values = decode(operand.dtype, bytes).ok_or(Mismatch::Bytes(o))?;
        let at = |i: usize| if expect.at.is_empty() { i } else { expect.at[i] };
        let mut named = vec![false; values.len()];
        for (i, (&want, &scale)) in expect.value.iter().zip(&expect.scale).enumerate() {
            let (at, allowed) = (at(i), (op.budget)(case.key.w) * scale);
            named[at] = true;
            let got = values[at];
            // Equal infinities have no difference.
            let error = if got == want { 0.0 } else { (got - want).abs() };
            if error.is_nan() || error > allowed {
                return Err(Mismatch::Value { operand: o, at, got, want, error, allowed });
            }
            worst = worst.max(if allowed > 0.0 { error / allowed } else { 0.0 });
        }
        let size = operand.dtype.block_bytes();
        if operand.role == Role::Output && operand.dtype.block() == 1 {
            let clean = |at: usize| bytes[size * at..size * (at + 1)].iter().all(|&b| b == POISON);
            if let Some(at) = (0..values.len()).find(|&at| !named[at] && !clean(at)) {
                return Err(Mismatch::Outside { operand: o, at });
            }
        }
    }
    Ok(worst)
}

fn decode(dtype: DType, bytes: &[u8]) -> Option<Vec<f64>> {
    if dtype == DType::I32 {
        return Some(bytes.as_chunks::<4>().0.iter().map(|&b| f64::from(i32::from_le_bytes(b))).collect());
    }
    let mut values = vec![0.0f32; bytes.len() / dtype.block_bytes() * dtype.block()];
    quant::dequantize(dtype, bytes, &mut values).ok()?;
    Some(values.into_iter().map(f64::from).collect())
}
