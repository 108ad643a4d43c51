//! What `probe` was asked to measure.

use super::device::Opened;
use crate::args::{ProbeArgs, ProbeOp, ShapeArgs};
use crate::errors::Usage;
use crate::output::Bytes;
use crate::{commands, output};
use metallic_engine::{Explained, Options, explain};
use metallic_kernels::DType;
use metallic_kernels::contract::Flags;
use metallic_kernels::elementwise::Activation;
use metallic_probe::spec::{MatmulShape, Shape, SoftmaxShape, Spec, SpecError};
use metallic_probe::sweep::Axis;
use std::collections::BTreeMap;

/// Every shape, each once, in the order that it was asked for.
pub fn asked_for(args: &ProbeArgs, opened: &Opened) -> anyhow::Result<Vec<Shape>> {
    let mut shapes = Vec::new();
    for name in &args.specs {
        shapes.extend(Spec::load(name, opened.act()).map_err(usage)?.shapes);
    }
    shapes.extend(on_the_command_line(args, opened)?);
    if let Some(model) = &args.from {
        shapes.extend(of_model(model, opened)?);
    }
    let mut list: Vec<Shape> = Vec::new();
    for shape in shapes {
        if !list.contains(&shape) {
            list.push(shape);
        }
    }
    if list.is_empty() && !args.roofline {
        let what = "nothing to probe: name a spec, give --op with a shape, or --from a model; --help shows examples";
        return Err(Usage(what.to_owned()).into());
    }
    Ok(list)
}

fn on_the_command_line(args: &ProbeArgs, opened: &Opened) -> anyhow::Result<Vec<Shape>> {
    let s = &args.shape;
    let act = s.act.unwrap_or(opened.act());
    let mut list = Vec::new();
    if let (Some(op), Some(flag)) = (s.op, foreign(s)) {
        let takes = match op {
            ProbeOp::Matmul => "it takes every other flag of shapes",
            ProbeOp::Softmax => "it takes --m, --k, --batch, --act and --causal",
        };
        return Err(Usage(format!("--op {} has no {flag}; {takes}", name(op))).into());
    }
    // What a sweep goes along needs no value of its own.
    let swept = |axis, given: &[usize]| match args.sweep.sweep {
        Some(range) if given.is_empty() && range.axis == axis => vec![range.from],
        _ => given.to_vec(),
    };
    let (ns, ks) = (swept(Axis::N, &s.n), swept(Axis::K, &s.k));
    let missing = |op, flag| Err(Usage(format!("{} needs {flag}", name(op))).into());
    match s.op {
        None => {}
        Some(op) if ks.is_empty() => return missing(op, "--k"),
        Some(op @ ProbeOp::Matmul) if ns.is_empty() => return missing(op, "--n"),
        Some(ProbeOp::Matmul) => {
            for (&w, &m) in s.w.iter().flat_map(|w| s.m.iter().map(move |m| (w, m))) {
                for (&n, &k) in ns.iter().flat_map(|n| ks.iter().map(move |k| (n, k))) {
                    list.push(Shape::Matmul(MatmulShape {
                        m,
                        n,
                        k,
                        batch: s.batch,
                        w,
                        act,
                        ta: s.ta,
                        tb: s.tb,
                        bias: s.bias,
                        activation: s.activation,
                        gated: false,
                        alpha: s.alpha,
                        beta: s.beta,
                    }));
                }
            }
        }
        Some(ProbeOp::Softmax) => {
            for (&m, &k) in s.m.iter().flat_map(|m| ks.iter().map(move |k| (m, k))) {
                list.push(Shape::Softmax(SoftmaxShape { m, k, batch: s.batch, act, causal: s.causal }));
            }
        }
    }
    list.iter().try_for_each(|shape| shape.check("the command line")).map_err(usage)?;
    Ok(list)
}

fn name(op: ProbeOp) -> &'static str {
    match op {
        ProbeOp::Matmul => "matmul",
        ProbeOp::Softmax => "softmax",
    }
}

/// A flag of the command line that its op does not have.
fn foreign(s: &ShapeArgs) -> Option<&'static str> {
    let products = [
        ("--n", !s.n.is_empty()),
        ("--w", s.w != [DType::F16]),
        ("--ta", s.ta),
        ("--tb", s.tb),
        ("--bias", s.bias),
        ("--activation", s.activation != Activation::Identity),
        ("--alpha", s.alpha != 1.0),
        ("--beta", s.beta != 0.0),
    ];
    match s.op? {
        ProbeOp::Matmul => s.causal.then_some("--causal"),
        ProbeOp::Softmax => products.iter().find(|(_, set)| *set).map(|(flag, _)| *flag),
    }
}

/// Fails where data of a shape would not fit into this machine's memory, as far as the system tells how much there is.
pub fn fit(shapes: &[Shape], opened: &Opened) -> anyhow::Result<()> {
    let Some(free) = available() else { return Ok(()) };
    for shape in shapes {
        let needed = shape.bytes().saturating_mul(opened.copies());
        anyhow::ensure!(
            needed <= free,
            "{}: its data would take {} of memory, and {} are free here; take a smaller shape",
            shape.title(),
            Bytes(needed),
            Bytes(free)
        );
    }
    Ok(())
}

/// Bytes that programs may still take; `None` where the system does not tell.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// What was asked for cannot be meant.
fn usage(error: SpecError) -> Usage {
    Usage(error.to_string())
}

/// The products of a model's steps. What else they launch is named.
fn of_model(path: &std::path::Path, opened: &Opened) -> anyhow::Result<Vec<Shape>> {
    let file = commands::open(path)?;
    let (mut shapes, mut others) = (Vec::new(), BTreeMap::<&str, usize>::new());
    for Explained { key, times, .. } in explain(&file, &Options::default())? {
        match key.op {
            "matmul" => {
                let shape = Shape::Matmul(MatmulShape {
                    m: key.m,
                    n: key.n,
                    k: key.k,
                    batch: key.batch,
                    w: key.w,
                    act: opened.act(),
                    bias: key.flags.has(Flags::BIAS),
                    gated: key.flags.has(Flags::GATED),
                    beta: if key.flags.has(Flags::ACCUMULATE) { 1.0 } else { 0.0 },
                    ..MatmulShape::default()
                });
                shape.check(&path.display().to_string())?;
                shapes.push(shape);
            }
            other => *others.entry(other).or_default() += times,
        }
    }
    let others: Vec<String> = others.iter().map(|(op, times)| format!("{op} x{times}")).collect();
    if !others.is_empty() {
        output::note(format!("not probed, of a token and a chunk of the prompt together: {}", others.join(", ")));
    }
    Ok(shapes)
}
