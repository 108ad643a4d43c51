//! `emulate`: one kernel of a Metal file on data from the command line, with every access checked.

use crate::args::{Contents, Element, EmulateArgs, Fill, Format};
use crate::errors::Usage;
use crate::npy::{self, Array};
use crate::output;
use anyhow::Context;
use metallic_device::emulator::{ArgumentKind, Emulator, Faults, Grid, Launch, Mode, Program, Schedules};
use metallic_device::{Buffer, Device};
use metallic_msl::{ConstantKey, Directories, ParseOptions, Unit, Value};
use serde::Serialize;
use std::io::Write;
use std::time::Instant;

/// How many values `--show` prints.
const SHOWN: usize = 16;

#[derive(Serialize)]
struct Report<'a> {
    kernel: &'a str,
    clean: bool,
    checked: bool,
    seeds: &'a [u64],
    seconds: f64,
    #[serde(flatten)]
    faults: &'a Faults,
}

/// A buffer with what its elements are, for `--save` and `--show`.
struct Held {
    index: u32,
    buffer: Buffer,
    element: Element,
    shape: Vec<usize>,
}

/// Runs the kernel and prints what was found.
pub fn run(args: &EmulateArgs) -> anyhow::Result<()> {
    let unit = parse(args)?;
    let entry = entry(args, &unit)?;
    let mode = if args.fast { Mode::Fast(None) } else { Mode::Checked };
    let emulator = Emulator::new(mode)?;
    let program = emulator.compile(&unit, entry, &constants(args, &unit)?)?;
    let Some(threads) = args.threads else {
        return Err(
            Usage(format!("--threads is missing: the threads of a threadgroup\n{}", arguments(&program))).into()
        );
    };
    let grid = match (args.grid, args.threads_total) {
        (Some(groups), _) => Grid::Groups(groups.0),
        (None, Some(total)) => Grid::Threads(total.0),
        (None, None) => {
            let what = "--grid is missing: how many threadgroups (or --threads-total)";
            return Err(Usage(format!("{what}\n{}", arguments(&program))).into());
        }
    };
    let held = buffers(args, &emulator)?;
    let inline = args.bytes.iter().map(|b| {
        let buffer = emulator.alloc(b.value.0.len())?;
        buffer.write(0, &b.value.0)?;
        Ok((b.index, buffer.whole()))
    });
    let inline = inline.collect::<anyhow::Result<Vec<_>>>()?;
    let launch = Launch {
        grid,
        threads: threads.0,
        buffers: held.iter().map(|h| (h.index, h.buffer.whole())).chain(inline).collect(),
        threadgroup: args.threadgroup.iter().map(|t| (t.index, t.value)).collect(),
        outputs: outputs(args),
    };
    known(args, &program)?;
    let rounds = args.schedules.unwrap_or(if args.seed == 0 { 4 } else { 1 }).max(1);
    let seeds: Vec<u64> = (0..rounds).map(|i| args.seed.wrapping_add(i)).collect();
    let start = Instant::now();
    let faults = emulator.launch(&program, &launch, &Schedules { seeds: seeds.clone(), steps: args.steps })?;
    let seconds = start.elapsed().as_secs_f64();
    print(
        args,
        &Report {
            kernel: entry,
            clean: faults.is_empty(),
            checked: !args.fast,
            seeds: &seeds,
            seconds,
            faults: &faults,
        },
    )?;
    for save in &args.save {
        let h = find(&held, save.index)?;
        npy::write(&save.value, &array(h)?)?;
    }
    for &index in &args.show {
        show(find(&held, index)?, args.output_format)?;
    }
    let found = faults.list().len();
    anyhow::ensure!(found == 0, "kernel {entry}: {found} fault{}", if found == 1 { "" } else { "s" });
    Ok(())
}

fn parse(args: &EmulateArgs) -> anyhow::Result<Unit> {
    let name = args.file.display().to_string();
    let text = std::fs::read_to_string(&args.file).with_context(|| format!("cannot read {name}"))?;
    let split = |d: &str| match d.split_once('=') {
        Some((name, value)) => (name.to_owned(), value.to_owned()),
        None => (d.to_owned(), "1".to_owned()),
    };
    let defines: Vec<_> = args.define.iter().map(|d| split(d)).collect();
    let defines: Vec<_> = defines.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    let loader = Directories(args.include.clone());
    let options = ParseOptions { defines: &defines, loader: &loader, ..ParseOptions::default() };
    Ok(Unit::parse(&name, &text, &options)?)
}

/// The kernel that was asked for, or the only one.
fn entry<'a>(args: &'a EmulateArgs, unit: &'a Unit) -> anyhow::Result<&'a str> {
    let names: Vec<_> = unit.entries().iter().map(|e| e.name.as_str()).collect();
    let list = || names.iter().map(|n| format!("\n  {n}")).collect::<String>();
    match (&args.entry, names.as_slice()) {
        (Some(name), _) if names.contains(&name.as_str()) => Ok(name),
        (Some(name), _) => Err(Usage(format!("there is no kernel {name:?}; kernels of the file:{}", list())).into()),
        (None, [only]) => Ok(only),
        (None, []) => anyhow::bail!("{} has no kernel", args.file.display()),
        (None, _) => Err(Usage(format!("--entry is missing; kernels of the file:{}", list())).into()),
    }
}

/// Values of function constants, each of its declared type.
fn constants(args: &EmulateArgs, unit: &Unit) -> anyhow::Result<Vec<(ConstantKey, Value)>> {
    let one = |pair: &crate::args::Pair| {
        let all = unit.function_constants();
        let found = match pair.name.parse::<u32>() {
            Ok(index) => all.iter().find(|c| c.index == index),
            Err(_) => all.iter().find(|c| c.name == pair.name),
        };
        let Some(c) = found else {
            let known: Vec<_> = all.iter().map(|c| format!("{} {}", c.index, c.name)).collect();
            return Err(Usage(format!(
                "there is no function constant {:?}; there are: {}",
                pair.name,
                known.join(", ")
            )));
        };
        let text = pair.value.as_str();
        let bad = || Usage(format!("{text:?} is not a value of function constant {} of type {}", c.name, c.type_text));
        let value = match c.type_text.as_str() {
            "bool" => match text {
                "true" | "1" => Value::Bool(true),
                "false" | "0" => Value::Bool(false),
                _ => return Err(bad()),
            },
            "float" | "half" | "bfloat" => Value::Float(text.parse().map_err(|_| bad())?),
            t if t.starts_with('u') || t == "size_t" => Value::Uint(text.parse().map_err(|_| bad())?),
            _ => Value::Int(text.parse().map_err(|_| bad())?),
        };
        Ok((ConstantKey::Index(c.index), value))
    };
    Ok(args.constant.iter().map(one).collect::<Result<_, Usage>>()?)
}

fn buffers(args: &EmulateArgs, emulator: &Emulator) -> anyhow::Result<Vec<Held>> {
    args.buffer
        .iter()
        .map(|b| {
            let index = b.index;
            let (element, shape, bytes) = match &b.value {
                Contents::File(path) => {
                    let Array { element, shape, bytes } = npy::read(path)?;
                    (element, shape, Some(bytes))
                }
                Contents::Made(fill, element, shape) => {
                    let count: usize = shape.iter().product();
                    let bytes = match fill {
                        Fill::Output | Fill::Scratch => None,
                        Fill::Zero => Some(vec![0; count * element.bytes()]),
                        Fill::Random => Some(random(*element, count, index)),
                    };
                    (*element, shape.clone(), bytes)
                }
            };
            let count: usize = shape.iter().product();
            let buffer = emulator.alloc(count * element.bytes())?;
            match bytes {
                Some(bytes) => buffer.write(0, &bytes)?,
                None => buffer.poison()?,
            }
            Ok(Held { index, buffer, element, shape })
        })
        .collect()
}

/// Numbers from -1 to 1, or from 0 to 99, the same in every run.
fn random(element: Element, count: usize, index: u32) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64.wrapping_mul(u64::from(index) + 1);
    let mut next = move || {
        // Xorshift (Marsaglia 2003).
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 40
    };
    let unit = |n: u64| n as f32 / (1u64 << 23) as f32 - 1.0;
    let value = |n: u64| match element {
        Element::F32 => unit(n).to_le_bytes().to_vec(),
        Element::F16 => half::f16::from_f32(unit(n)).to_le_bytes().to_vec(),
        Element::Bf16 => half::bf16::from_f32(unit(n)).to_le_bytes().to_vec(),
        Element::Int(size) | Element::Uint(size) => (n % 100).to_le_bytes()[..usize::from(size)].to_vec(),
        Element::Bool => vec![(n & 1) as u8],
    };
    (0..count).flat_map(|_| value(next())).collect()
}

fn outputs(args: &EmulateArgs) -> Vec<u32> {
    let is = |c: &Contents| matches!(c, Contents::Made(Fill::Output, ..));
    args.buffer.iter().filter(|b| is(&b.value)).map(|b| b.index).collect()
}

/// Refuses a buffer that the kernel does not take: most likely its index is wrong.
fn known(args: &EmulateArgs, program: &Program) -> anyhow::Result<()> {
    let given = args.buffer.iter().map(|b| b.index).chain(args.bytes.iter().map(|b| b.index));
    let takes = |index: u32| {
        let mut all = program.arguments().iter().filter(|a| a.kind != ArgumentKind::Threadgroup);
        all.any(|a| a.index == index)
    };
    for index in given {
        if !takes(index) {
            let what = format!("the kernel takes no buffer {index}\n{}", arguments(program));
            return Err(Usage(what).into());
        }
    }
    Ok(())
}

/// What the kernel takes, a line each.
fn arguments(program: &Program) -> String {
    let line = |a: &metallic_device::emulator::Argument| {
        let what = match a.kind {
            ArgumentKind::Writable => "buffer, written",
            ArgumentKind::ReadOnly => "buffer, read",
            ArgumentKind::Reference => "buffer, one value: --bytes",
            ArgumentKind::Threadgroup => "threadgroup memory: --threadgroup",
        };
        let size = a.element.map_or(String::new(), |e| format!(", elements of {e} bytes"));
        format!("\n  {:2} {} ({what}{size})", a.index, a.name)
    };
    format!("kernel {} takes:{}", program.name(), program.arguments().iter().map(line).collect::<String>())
}

fn print(args: &EmulateArgs, report: &Report<'_>) -> anyhow::Result<()> {
    if args.output_format == Format::Json {
        return output::json(report);
    }
    let mut out = output::stdout();
    if report.clean && report.checked {
        let n = report.seeds.len();
        let orders = if n == 1 { "1 schedule".to_owned() } else { format!("{n} schedules") };
        writeln!(out, "{}: no fault under {orders} ({:.2} s)", report.kernel, report.seconds)?;
    } else if report.clean {
        writeln!(out, "{}: ran without checks ({:.3} s)", report.kernel, report.seconds)?;
    } else {
        writeln!(out, "{}", report.faults)?;
    }
    out.flush()?;
    Ok(())
}

fn find(held: &[Held], index: u32) -> anyhow::Result<&Held> {
    let found = held.iter().find(|h| h.index == index);
    found.ok_or_else(|| Usage(format!("buffer {index} was not given with --buffer")).into())
}

fn array(h: &Held) -> anyhow::Result<Array> {
    let mut bytes = vec![0; h.buffer.len()];
    h.buffer.read(0, &mut bytes)?;
    Ok(Array { element: h.element, shape: h.shape.clone(), bytes })
}

fn show(h: &Held, format: Format) -> anyhow::Result<()> {
    let array = array(h)?;
    let values: Vec<_> = array.bytes.chunks(h.element.bytes()).take(SHOWN).map(|v| npy::text(h.element, v)).collect();
    let more = if array.bytes.len() / h.element.bytes() > SHOWN { " ..." } else { "" };
    let line = format!("buffer {}: {}{more}", h.index, values.join(" "));
    if format == Format::Json {
        output::note(line);
        return Ok(());
    }
    let mut out = output::stdout();
    writeln!(out, "{line}")?;
    out.flush()?;
    Ok(())
}
