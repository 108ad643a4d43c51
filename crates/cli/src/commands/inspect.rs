//! `inspect`: what a model is made of, and what each part will run on.

use super::{forced, open};
use crate::args::InspectArgs;
use crate::output::{self, Align, Bytes, Count, Table};
use metallic_engine::{Explained, Options, Phase};
use metallic_kernels::DType;
use metallic_kernels::contract::{Flags, Key};
use metallic_model::{Config, ModelFile, TensorInfo};
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::{self, Write};

#[derive(Serialize)]
struct Report {
    path: String,
    format: &'static str,
    bytes: u64,
    parameters: u64,
    config: Vec<(&'static str, String)>,
    metadata: Vec<(String, String)>,
    chat_template: bool,
    totals: Vec<Total>,
    runs_on: Vec<Choice>,
    tensors: Vec<TensorRow>,
}

#[derive(Serialize)]
struct Total {
    dtype: &'static str,
    tensors: usize,
    parameters: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct TensorRow {
    name: String,
    dtype: &'static str,
    shape: Vec<usize>,
    bytes: usize,
}

/// What one kind of problem runs on.
#[derive(Serialize)]
struct Choice {
    op: &'static str,
    problem: String,
    times: usize,
    layout: String,
    decode: String,
    prefill: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    verdicts: Vec<Verdict>,
}

#[derive(Serialize)]
struct Verdict {
    m: usize,
    variant: String,
    verdict: String,
}

/// Whether the report holds what every variant says of a problem.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdicts {
    Shown,
    Left,
}

/// Prints the report.
pub fn run(args: &InspectArgs) -> anyhow::Result<()> {
    let model = open(&args.model)?;
    let (threads, choice) = (args.device.threads, &args.device.choice);
    let options = Options { threads, without: choice.without.clone(), force: forced(choice), ..Options::default() };
    let verdicts = if args.explain { Verdicts::Shown } else { Verdicts::Left };
    let report = Report {
        path: args.model.display().to_string(),
        format: match model.format() {
            metallic_model::Format::Gguf => "gguf",
            metallic_model::Format::Safetensors => "safetensors",
        },
        bytes: model.size_bytes(),
        parameters: model.tensors().map(|t| t.elements() as u64).sum(),
        config: config(model.config()),
        metadata: model.metadata(),
        chat_template: model.chat_template().is_some(),
        totals: totals(&model),
        runs_on: choices(&metallic_engine::explain(&model, &options)?, verdicts),
        tensors: model.tensors().map(tensor_row).collect(),
    };
    if args.json {
        return output::json(&report);
    }
    let mut out = output::stdout();
    report.write(&mut out)?;
    out.flush()?;
    Ok(())
}

fn tensor_row(t: &TensorInfo) -> TensorRow {
    TensorRow { name: t.name.clone(), dtype: t.dtype.name(), shape: t.shape.clone(), bytes: t.byte_len() }
}

fn config(c: &Config) -> Vec<(&'static str, String)> {
    let maybe = |v: Option<usize>| v.map_or("none".to_owned(), |v| v.to_string());
    let ids = |ids: &[u32]| ids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    vec![
        ("family", c.arch.name().to_owned()),
        ("name", c.name.clone()),
        ("layers", c.n_layers.to_string()),
        ("width", c.d_model.to_string()),
        ("feed-forward width", c.d_ff.to_string()),
        ("query heads", c.n_heads.to_string()),
        ("key and value heads", c.n_kv_heads.to_string()),
        ("head width", c.head_dim.to_string()),
        ("vocabulary", c.vocab.to_string()),
        ("context", c.context_length.to_string()),
        ("sliding window", maybe(c.sliding_window)),
        ("output matrix", if c.tied { "the embedding".to_owned() } else { "its own".to_owned() }),
        ("rope", format!("theta {}, {:?}, scaling {:?}", c.rope.theta, c.rope.pairing, c.rope.scaling)),
        ("bos", c.bos.map_or("none".to_owned(), |v| v.to_string())),
        ("end tokens", ids(&c.eos)),
    ]
}

fn totals(model: &ModelFile) -> Vec<Total> {
    let mut by_type: BTreeMap<DType, Total> = BTreeMap::new();
    for t in model.tensors() {
        let total =
            by_type.entry(t.dtype).or_insert(Total { dtype: t.dtype.name(), tensors: 0, parameters: 0, bytes: 0 });
        total.tensors += 1;
        total.parameters += t.elements() as u64;
        total.bytes += t.byte_len() as u64;
    }
    by_type.into_values().collect()
}

/// One row for each problem, with what it runs on in either phase.
fn choices(explained: &[Explained], verdicts: Verdicts) -> Vec<Choice> {
    let mut list: Vec<(Key, Choice)> = Vec::new();
    for e in explained {
        let key = Key { m: 1, ..e.key };
        let at = list.iter().position(|(known, _)| *known == key).unwrap_or_else(|| {
            list.push((key, Choice::new(e)));
            list.len() - 1
        });
        let choice = &mut list[at].1;
        let variant = e.variant.as_ref().map_or_else(|why| format!("nothing: {why}"), String::clone);
        match e.phase {
            Phase::Decode => choice.decode = variant,
            Phase::Prefill => choice.prefill = variant,
        }
        if verdicts == Verdicts::Shown {
            choice.verdicts.extend(e.tuned.iter().map(|t| Verdict {
                m: e.key.m,
                variant: "as measured".to_owned(),
                verdict: t.to_string(),
            }));
            choice.verdicts.extend(e.verdicts.iter().map(|(variant, refusal)| Verdict {
                m: e.key.m,
                variant: variant.clone(),
                verdict: refusal.as_ref().map_or_else(|| "accepts".to_owned(), ToString::to_string),
            }));
        }
    }
    list.into_iter().map(|(_, choice)| choice).collect()
}

impl Choice {
    /// The problem of `e`, with neither phase's choice yet.
    fn new(e: &Explained) -> Choice {
        let key = &e.key;
        let mut problem = format!("n={} k={} {}", key.n, key.k, key.w);
        if key.batch != 1 {
            problem += &format!(" batch={}", key.batch);
        }
        for (flag, name) in [(Flags::GATED, " gated"), (Flags::BIAS, " + bias"), (Flags::ACCUMULATE, " added")] {
            problem += if key.flags.has(flag) { name } else { "" };
        }
        Choice {
            op: key.op,
            problem,
            times: e.times,
            layout: key.layout.to_string(),
            decode: "-".to_owned(),
            prefill: "-".to_owned(),
            verdicts: Vec::new(),
        }
    }
}

impl Report {
    fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{}: {}, {}, {} parameters", self.path, self.format, Bytes(self.bytes), Count(self.parameters))?;
        writeln!(out, "\nModel")?;
        pairs(out, self.config.iter().map(|(k, v)| (*k, v.as_str())))?;
        writeln!(out, "\nMetadata")?;
        pairs(out, self.metadata.iter().map(|(k, v)| (k.as_str(), v.as_str())))?;
        writeln!(out, "\nTypes")?;
        self.write_totals(out)?;
        writeln!(out, "\nRuns on")?;
        self.write_choices(out)?;
        writeln!(out, "\nTensors")?;
        let mut table =
            Table::new(&[("name", Align::Left), ("type", Align::Left), ("shape", Align::Left), ("size", Align::Right)]);
        for t in &self.tensors {
            let shape = t.shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x ");
            table.row([t.name.clone(), t.dtype.to_owned(), shape, Bytes(t.bytes as u64).to_string()]);
        }
        table.write(out)
    }

    fn write_totals(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = Table::new(&[
            ("type", Align::Left),
            ("tensors", Align::Right),
            ("parameters", Align::Right),
            ("size", Align::Right),
        ]);
        for t in &self.totals {
            let size = Bytes(t.bytes).to_string();
            table.row([t.dtype.to_owned(), t.tensors.to_string(), Count(t.parameters).to_string(), size]);
        }
        table.write(out)
    }

    fn write_choices(&self, out: &mut impl Write) -> io::Result<()> {
        let mut table = Table::new(&[
            ("op", Align::Left),
            ("problem", Align::Left),
            ("times", Align::Right),
            ("layout", Align::Left),
            ("one token", Align::Left),
            ("a prompt", Align::Left),
        ]);
        for c in &self.runs_on {
            let names = [c.layout.clone(), c.decode.clone(), c.prefill.clone()];
            table.row([c.op.to_owned(), c.problem.clone(), c.times.to_string()].into_iter().chain(names));
        }
        table.write(out)?;
        for c in self.runs_on.iter().filter(|c| !c.verdicts.is_empty()) {
            writeln!(out, "\n  {} {} {}", c.op, c.problem, c.layout)?;
            for v in &c.verdicts {
                writeln!(out, "    m={:<4} {:<24} {}", v.m, v.variant, v.verdict)?;
            }
        }
        Ok(())
    }
}

/// Lines of `key  value`, values cut where they are long or of several lines.
fn pairs<'a>(out: &mut impl Write, items: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> io::Result<()> {
    const LONGEST: usize = 100;
    let width = items.clone().map(|(k, _)| k.chars().count()).max().unwrap_or(0);
    for (key, value) in items {
        let mut shown: String = value.chars().take(LONGEST).flat_map(printable).collect();
        if value.chars().count() > LONGEST {
            shown += "...";
        }
        writeln!(out, "  {key:<width$}  {shown}")?;
    }
    Ok(())
}

/// A file's text must not steer the terminal.
fn printable(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}
