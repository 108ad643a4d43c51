//! Where a step's time goes: `step_profile MODEL TOKENS [REPEATS] [THREADS]` prints, by op and variant, the mean and the shortest of
//! all launches: on a machine with other guests the shortest tells variants apart.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use metallic_device::StepRows;
use metallic_engine::{Engine, Options, Request};
use metallic_model::ModelFile;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [file, tokens, ..] = args.as_slice() else {
        return Err("usage: step_profile MODEL TOKENS [REPEATS] [THREADS]".into());
    };
    let tokens: usize = tokens.parse()?;
    let repeats: usize = args.get(2).map_or(Ok(5), |r| r.parse())?.max(1);
    let threads = args.get(3).map(|t| t.parse()).transpose()?;
    let file = Arc::new(ModelFile::open(Path::new(file))?);
    let options = Options { threads, ..Options::default() };
    let mut engine = Engine::load(file, &options, metallic_model::Progress::none())?;
    // A real step first: the plan's inputs keep its positions and pages.
    engine.add(Request { max_tokens: 1, ..Request::new(vec![1; tokens]) })?;
    let start = std::time::Instant::now();
    engine.step(&mut Vec::new())?;
    println!("first step {:.2} ms", start.elapsed().as_secs_f64() * 1e3);
    let rows = StepRows { tokens, outputs: 1 };
    let plan = engine.plan(tokens, 1)?;
    plan.run(rows)?;
    let mut by: BTreeMap<String, Launches> = BTreeMap::new();
    for _ in 0..repeats {
        let mut seconds = vec![0.0; plan.records().len()];
        plan.profile(rows, &mut seconds)?;
        for (r, s) in plan.records().iter().zip(&seconds) {
            let name = format!("{} {}", r.key, r.variant.id());
            let l = by.entry(name).or_insert(Launches { count: 0, sum: 0.0, shortest: f64::INFINITY });
            *l = Launches { count: l.count + 1, sum: l.sum + s, shortest: l.shortest.min(*s) };
        }
    }
    let (mut mean, mut shortest) = (0.0, 0.0);
    for (name, l) in by {
        let count = l.count / repeats;
        let ms = [l.sum / repeats as f64 * 1e3, l.shortest * count as f64 * 1e3];
        println!(
            "{count:4} x {:8.1} us = {:8.2} ms, shortest {:8.2} ms  {name}",
            ms[0] / count as f64 * 1e3,
            ms[0],
            ms[1]
        );
        mean += ms[0];
        shortest += ms[1];
    }
    println!("total {mean:.2} ms, shortest {shortest:.2} ms");
    Ok(())
}

/// The launches of one kind.
struct Launches {
    count: usize,
    sum: f64,
    shortest: f64,
}
