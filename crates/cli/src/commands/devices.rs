//! `devices`: what there is to run on, and why the rest is refused.

use crate::args::DevicesArgs;
use crate::output;
use metallic_device::cuda::{self, Cuda};
use metallic_device::emulator::{Emulator, Mode};
use metallic_device::{Device, Error, metal};
use metallic_kernels::OPS;
use metallic_kernels::contract::{Limits, Target, Variant};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

#[derive(Serialize)]
struct Report {
    devices: Vec<Found>,
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Found {
    name: String,
    description: String,
    /// Commands that run kernels on it.
    commands: &'static [&'static str],
    /// Workers of a CPU; threads of a threadgroup at most elsewhere.
    threads: usize,
    features: Vec<&'static str>,
    /// Libraries whose variants run here beside ours.
    libraries: BTreeSet<String>,
    /// Features that kernels for this device could use, and how many variants wait for each.
    lacking: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct Refused {
    name: &'static str,
    reason: String,
}

/// A device that `probe` opens: its name, the commands that run on it, and how.
type Open = (&'static str, &'static [&'static str], fn() -> Result<Box<dyn Device>, Error>);

/// Models run on the CPU alone so far, from the command line.
const ON_CPU: &[&str] = &["run", "chat", "bench", "logits", "probe"];

/// Every device but the CPU, which flags are about.
const OTHERS: [Open; 3] = [
    ("emulator", &["emulate", "probe"], || Ok(Box::new(Emulator::new(Mode::Checked)?))),
    ("cuda", &["probe"], || Ok(Box::new(Cuda::new(&cuda::Options { libraries: true, ..cuda::Options::default() })?))),
    ("metal", &["probe"], || metal::open(metal::Options { libraries: true, ..metal::Options::default() })),
];

/// Prints the list.
pub fn run(args: &DevicesArgs) -> anyhow::Result<()> {
    let (cpu, _) = super::cpu(args.device.threads, &args.device.choice)?;
    let mut report = Report { devices: vec![found(&cpu, ON_CPU)?], refused: Vec::new() };
    for (name, commands, open) in OTHERS {
        match open() {
            Ok(device) => report.devices.push(found(&*device, commands)?),
            Err(error) => report.refused.push(Refused { name, reason: reason(error) }),
        }
    }
    if args.json {
        return output::json(&report);
    }
    let mut out = output::stdout();
    for d in &report.devices {
        writeln!(out, "{}: {}", d.name, d.description)?;
        writeln!(out, "  runs the kernels of {}", d.commands.join(", "))?;
        if !d.libraries.is_empty() {
            writeln!(out, "  libraries: {}", d.libraries.iter().cloned().collect::<Vec<_>>().join(", "))?;
        }
        for (feature, variants) in &d.lacking {
            let need = if *variants == 1 { "needs" } else { "need" };
            writeln!(out, "  without {feature}, which {} {need}", output::Counted(*variants, "kernel variant"))?;
        }
    }
    for r in &report.refused {
        writeln!(out, "{}: not available: {}", r.name, r.reason)?;
    }
    out.flush()?;
    Ok(())
}

/// What is wrong, without the name of the device, which stands beside it.
fn reason(error: Error) -> String {
    match error {
        Error::Unavailable { reason, .. } => reason,
        other => other.to_string(),
    }
}

fn found(device: &dyn Device, commands: &'static [&'static str]) -> anyhow::Result<Found> {
    let limits = device.limits();
    let mut variants: Vec<Variant> = Vec::new();
    for op in OPS {
        variants.extend(op.variants()?);
    }
    Ok(Found {
        name: device.name().to_owned(),
        description: device.describe(),
        commands,
        threads: limits.max_threads,
        features: limits.features.clone(),
        libraries: libraries(&variants, limits),
        lacking: lacking(&variants, limits),
    })
}

fn has(limits: &Limits, feature: &str) -> bool {
    limits.features.contains(&feature)
}

/// Libraries with a variant that this device has all features for.
fn libraries(variants: &[Variant], limits: &Limits) -> BTreeSet<String> {
    let here =
        |v: &&Variant| limits.targets.contains(&v.target()) && v.supports.features.iter().all(|f| has(limits, f));
    variants.iter().filter(here).filter_map(|v| v.library().map(str::to_owned)).collect()
}

/// Features that our kernels for this kind of device ask for and that it does not have.
fn lacking(variants: &[Variant], limits: &Limits) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let ours = |v: &&Variant| v.target() != Target::Library && limits.targets.contains(&v.target());
    for variant in variants.iter().filter(ours) {
        for feature in variant.supports.features.iter().filter(|f| !has(limits, f)) {
            *counts.entry(feature.clone()).or_default() += 1;
        }
    }
    counts
}
