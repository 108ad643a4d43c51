//! Where a step's time goes: `step_profile MODEL TOKENS [REPEATS]` prints seconds by op and variant.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use metallic_device::StepRows;
use metallic_engine::{Engine, Options, Request};
use metallic_model::ModelFile;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let tokens: usize = args[1].parse()?;
    let repeats: usize = args.get(2).map_or(Ok(5), |r| r.parse())?;
    let file = Arc::new(ModelFile::open(Path::new(&args[0]))?);
    let mut engine = Engine::load(file, &Options::default(), metallic_model::Progress::none())?;
    // A real step first: the plan's inputs keep its positions and pages.
    engine.add(Request { max_tokens: 1, ..Request::new(vec![1; tokens]) })?;
    let start = std::time::Instant::now();
    engine.step(&mut Vec::new())?;
    println!("first step {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    let rows = StepRows { tokens, outputs: 1 };
    let plan = engine.plan(tokens, 1)?;
    let mut seconds = vec![0.0; plan.records().len()];
    plan.run(rows)?;
    for _ in 0..repeats {
        plan.profile(rows, &mut seconds)?;
    }
    let mut by: BTreeMap<String, (usize, f64)> = BTreeMap::new();
    for (r, s) in plan.records().iter().zip(&seconds) {
        let name = format!("{} n={} k={} {} {}", r.op.name, r.key.n, r.key.k, r.key.w, r.variant.id());
        let e = by.entry(name).or_default();
        *e = (e.0 + 1, e.1 + s / repeats as f64);
    }
    for (name, (count, s)) in by {
        println!("{count:4} x {:8.1} us = {:8.2} ms  {name}", s / count as f64 * 1e6, s * 1e3);
    }
    println!("total {:.2} ms", seconds.iter().sum::<f64>() / repeats as f64 * 1e3);
    Ok(())
}
