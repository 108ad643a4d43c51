//! `bench`: prefill and decode, beside the limits of the machine, all measured in the same run.

mod measure;
mod record;

use super::cpu;
use crate::args::{BenchArgs, BenchFormat};
use crate::bench::cost::Cost;
use crate::interrupt::Cancel;
use crate::{output, progress, session, shipped};
use measure::{Sample, Test, measure};
use metallic_device::Device;
use metallic_engine::Engine;
use metallic_probe::roofline::compute::{Burst, burst};
use metallic_probe::roofline::cpu::Prober;
use record::{Fixed, Limits, Peak, Record, Work};
use std::path::Path;
use std::sync::Arc;

/// Measures every combination that was asked for and prints a record of each.
pub fn run(args: &BenchArgs, cancel: Cancel) -> anyhow::Result<()> {
    let path = shipped::or_shipped(args.model.as_deref())?;
    anyhow::ensure!(!tests(args).is_empty(), "nothing to measure: every -p and -n is 0");
    let mut records = Vec::new();
    for threads in thread_counts(args) {
        let mut bench = Bench::new(args, &path, threads, cancel)?;
        for test in tests(args) {
            let record = bench.run(test, args.repetitions, cancel)?;
            if args.output == BenchFormat::Jsonl {
                output::json_line(&record)?;
            }
            records.push(record);
        }
    }
    match args.output {
        BenchFormat::Jsonl => {}
        BenchFormat::Json => output::json(&records)?,
        BenchFormat::Csv => record::write_csv(&records)?,
        BenchFormat::Md => record::write_markdown(&records)?,
    }
    impossible(&records)
}

fn thread_counts(args: &BenchArgs) -> Vec<Option<usize>> {
    if args.threads.is_empty() { vec![None] } else { args.threads.iter().copied().map(Some).collect() }
}

fn tests(args: &BenchArgs) -> Vec<Test> {
    let prompts = args.n_prompt.iter().map(|&n| Test { prompt: n, generate: 0 });
    let generations = args.n_gen.iter().map(|&n| Test { prompt: 0, generate: n });
    prompts.chain(generations).filter(|t| t.prompt + t.generate > 0).collect()
}

/// A figure better than the machine's limit means that the work was not done, or the limit not found.
fn impossible(records: &[Record]) -> anyhow::Result<()> {
    const ALLOWED: f64 = 1.02;
    let of = |r: &Record| format!("{} at {:.0} % of the {}", r.test(), r.worst_fraction() * 100.0, r.worst_limit());
    let found: Vec<_> = records.iter().filter(|r| r.worst_fraction() > ALLOWED).map(of).collect();
    anyhow::ensure!(
        found.is_empty(),
        "faster than this machine allows, so the measurement or the limit is wrong: {}",
        found.join(", ")
    );
    Ok(())
}

/// A loaded model with what its records have in common.
struct Bench {
    engine: Engine,
    prober: Prober,
    cost: Cost,
    chunk: usize,
    fixed: Fixed,
}

impl Bench {
    fn new(args: &BenchArgs, path: &Path, threads: Option<usize>, cancel: Cancel) -> anyhow::Result<Bench> {
        let file = Arc::new(super::open(path)?);
        let options = session::options(&args.context, threads, &args.choice);
        let mut engine = session::load_engine(&file, &options, cancel)?;
        let (cpu, _) = cpu(threads, &args.choice)?;
        let cost = Cost::of(file.config(), &engine.stats());
        // As the plan has it, since `auto` is the engine's to resolve.
        let attention = engine.plan(1, 1)?.records().iter().find(|r| r.op.name == "attention");
        let kv = attention.map_or("none", |r| r.key.w.name());
        let fixed = Fixed::new(path, &file, &cpu, kv);
        let prober = Prober::new(cpu, cost.weights as usize)?;
        Ok(Bench { engine, prober, cost, chunk: options.chunk, fixed })
    }

    fn run(&mut self, test: Test, repetitions: u32, cancel: Cancel) -> anyhow::Result<Record> {
        let burst = self.instructions(test)?;
        let bar = progress::counted("measuring");
        measure(&mut self.engine, test, cancel)?;
        let mut samples: Vec<Sample> = Vec::new();
        for i in 0..repetitions {
            bar.at(i.into(), repetitions.into());
            self.prober.probe(burst)?;
            // Probing emptied the caches of everything small and put the engine's threads to sleep.
            measure(&mut self.engine, Test { prompt: 0, generate: 1 }, cancel)?;
            samples.push(measure(&mut self.engine, test, cancel)?);
        }
        self.prober.probe(burst)?;
        bar.clear();
        let (bytes, operations) = match test.generate {
            0 => (self.cost.prefill_bytes(test.prompt, self.chunk), self.cost.prefill_operations(test.prompt)),
            n => (self.cost.decode_bytes(n), self.cost.decode_operations(n)),
        };
        let peak = Peak { name: burst.name, operations: self.prober.peak(burst) };
        let limits = Limits { read: self.prober.bandwidth, resident: self.prober.resident, peak };
        Ok(Record::new(&self.fixed, test, &samples, &limits, Work { bytes, operations }))
    }

    /// What the largest matrix of the plan that this test runs on is multiplied with.
    fn instructions(&mut self, test: Test) -> anyhow::Result<Burst> {
        let present = &self.prober.cpu().limits().features;
        let plan = self.engine.plan(test.prompt.clamp(1, self.chunk), 1)?;
        let layers = plan.records().iter().filter(|r| r.op.name == "matmul");
        let largest = layers.max_by_key(|r| (r.key.m, r.key.n * r.key.k));
        Ok(burst(largest.map_or(&[], |r| r.variant.supports.features.as_slice()), present))
    }
}
