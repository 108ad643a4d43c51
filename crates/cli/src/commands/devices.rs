//! `devices`: what there is to run on, and why the rest is refused.

use crate::args::DevicesArgs;
use crate::output;
use metallic_device::Device;
use metallic_kernels::OPS;
use metallic_ops::Dispatch;
use serde::Serialize;
use std::collections::BTreeMap;
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
    threads: usize,
    features: Vec<&'static str>,
    /// Features that kernels could use, and how many variants wait for each.
    lacking: BTreeMap<String, usize>,
}

#[derive(Serialize)]
struct Refused {
    name: &'static str,
    reason: &'static str,
}

/// Devices of other builds, with the reason why this one does not have them.
const REFUSED: [Refused; 2] = [
    Refused { name: "cuda", reason: "not part of this build" },
    Refused { name: "metal", reason: "not part of this build" },
];

/// Prints the list.
pub fn run(args: &DevicesArgs) -> anyhow::Result<()> {
    let (cpu, dispatch) = super::cpu(args.device.threads, &args.device.choice)?;
    let limits = cpu.limits();
    let found = Found {
        name: cpu.name().to_owned(),
        description: cpu.describe(),
        threads: limits.max_threads,
        features: limits.features.clone(),
        lacking: lacking(&dispatch),
    };
    let report = Report { devices: vec![found], refused: REFUSED.into() };
    if args.json {
        return output::json(&report);
    }
    let mut out = output::stdout();
    for d in &report.devices {
        writeln!(out, "{}: {}", d.name, d.description)?;
        for (feature, variants) in &d.lacking {
            writeln!(out, "  without {feature}, which {variants} kernel variants need")?;
        }
    }
    for r in &report.refused {
        writeln!(out, "{}: refused, {}", r.name, r.reason)?;
    }
    out.flush()?;
    Ok(())
}

fn lacking(dispatch: &Dispatch) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let has = |f: &String| dispatch.limits().features.contains(&f.as_str());
    for variant in OPS.iter().flat_map(|op| dispatch.variants(op.name)) {
        for feature in variant.supports.features.iter().filter(|f| !has(f)) {
            *counts.entry(feature.clone()).or_default() += 1;
        }
    }
    counts
}
