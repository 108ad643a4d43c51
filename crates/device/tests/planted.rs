//! Planted defects: one kernel for each way to go wrong, caught with its class, its kernel and the line marked `// fault`, and
//! without a word once it is compiled with `FIXED`.

use std::path::PathBuf;

use metallic_device::emulator::{Emulator, Fault, FaultKind, Faults, Grid, Launch, Mode, Schedules};
use metallic_device::{Buffer, Device};
use metallic_msl::{NoIncludes, ParseOptions, Unit};

use FaultKind::*;

/// Threads of a threadgroup, and threadgroups.
const THREADS: u32 = 64;
const GROUPS: u32 = 2;
const N: usize = (THREADS * GROUPS) as usize;

/// A kernel of `planted/` and what is wrong with it.
struct Plant {
    name: &'static str,
    kind: FaultKind,
    /// Words that the cause holds.
    says: &'static str,
    /// Elements of the output.
    outputs: usize,
    /// What lies in buffer 2, where the kernel takes one.
    extra: Extra,
}

#[derive(Clone, Copy)]
enum Extra {
    Nothing,
    Count(u32),
    Scratch,
}

const fn plant(name: &'static str, kind: FaultKind, says: &'static str) -> Plant {
    Plant { name, kind, says, outputs: N, extra: Extra::Nothing }
}

const fn with(name: &'static str, kind: FaultKind, says: &'static str, extra: Extra) -> Plant {
    Plant { name, kind, says, outputs: N, extra }
}

const PLANTS: &[Plant] = &[
    with("out_of_bounds_read", OutOfBounds, "right behind the end of buffer 0 \"x\"", Extra::Count(N as u32)),
    with("out_of_bounds_write", OutOfBounds, "buffer 1 \"y\"", Extra::Count(N as u32)),
    with("out_of_bounds_struct", OutOfBounds, "buffer 0 \"x\"", Extra::Count(15)),
    plant("out_of_bounds_threadgroup", OutOfBounds, "threadgroup argument 0 \"tile\""),
    plant("out_of_bounds_private", OutOfBounds, "outside of the array"),
    plant("out_of_bounds_negative", OutOfBounds, "buffer 0 \"x\""),
    Plant { outputs: 96, ..plant("misaligned", Misaligned, "multiple of 16 bytes") },
    plant("read_only", ReadOnly, "read-only"),
    Plant { outputs: 2, ..plant("uninitialised_threadgroup", Uninitialised, "threadgroup variable \"part\"") },
    plant("uninitialised_device", Uninitialised, "buffer 1 \"y\""),
    plant("race_missing_barrier", Race, "no barrier is between them"),
    plant("race_reused_tile", Race, "no barrier is between them"),
    with("race_wrong_flags", Race, "mem_flags::mem_device", Extra::Scratch),
    plant("race_simdgroup_barrier", Race, "no barrier is between them"),
    with("race_threadgroups", ThreadgroupRace, "run in any order", Extra::Count(N as u32)),
    with("mixed_atomic", MixedAtomic, "atomic and plain", Extra::Count(0)),
    with("divergent_barrier_return", DivergentBarrier, "have returned", Extra::Count(N as u32)),
    plant("divergent_barrier_branches", DivergentBarrier, "different barriers"),
    plant("divergent_simd", DivergentSimd, "wait at the barrier"),
    plant("divergent_simd_functions", DivergentSimd, "different SIMD functions"),
    plant("inactive_lane", InactiveLane, "not active"),
    Plant { outputs: 126, ..with("unwritten", Unwritten, "2 of 126 elements", Extra::Count(126)) },
    with("order_dependent", OrderDependent, "depend on the order", Extra::Count(0)),
    with("endless", Endless, "does not end", Extra::Count(0)),
    plant("stack_overflow", StackOverflow, "stack"),
    with("divide_by_zero", DivideByZero, "zero", Extra::Count(N as u32)),
    plant("too_many_threads", TooManyThreads, "64 threads"),
    plant("threadgroup_memory", ThreadgroupMemory, "40960 bytes"),
    plant("unbound", Unbound, "buffer 7 \"bias\" is not bound"),
    plant("partial_matrix", DivergentSimd, "all 32 lanes"),
];

#[derive(Clone, Copy, PartialEq)]
enum State {
    Planted,
    Fixed,
}

fn emulator(mode: Mode) -> Option<Emulator> {
    match Emulator::new(mode) {
        Ok(e) => Some(e),
        Err(e) => {
            use std::io::Write;
            // Past the test harness, which keeps the output of tests that pass.
            let _ = writeln!(std::io::stderr(), "REFUSED: planted defects were not run: {e}");
            None
        }
    }
}

fn source(name: &str) -> (String, String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/planted/{name}.metal"));
    let text = std::fs::read_to_string(&path).unwrap();
    (format!("{name}.metal"), text)
}

/// The marked line.
fn line(text: &str) -> u32 {
    text.lines().position(|l| l.contains("// fault")).unwrap() as u32 + 1
}

fn bytes_of(values: impl Iterator<Item = f32>) -> Vec<u8> {
    values.flat_map(f32::to_le_bytes).collect()
}

struct Run {
    faults: Faults,
    y: Vec<u8>,
}

fn run(e: &Emulator, plant: &Plant, state: State, seeds: &[u64]) -> Run {
    let (name, text) = source(plant.name);
    let defines: &[(&str, &str)] = if state == State::Fixed { &[("FIXED", "1")] } else { &[] };
    let options = ParseOptions { defines, loader: &NoIncludes, metal_version: 310 };
    let unit = Unit::parse(&name, &text, &options).unwrap_or_else(|e| panic!("{}: {e}", plant.name));
    let program = e.compile(&unit, "k", &[]).unwrap_or_else(|e| panic!("{}: {e}", plant.name));
    let filled = |bytes: &[u8]| -> Buffer {
        let b = e.alloc(bytes.len()).unwrap();
        b.write(0, bytes).unwrap();
        b
    };
    // The struct of one test takes 34 bytes; there 15 of them are bound.
    let mut x = bytes_of((0..N).map(|i| (i % 7) as f32 + 1.0));
    if plant.name == "out_of_bounds_struct" {
        x.truncate(15 * 34);
    }
    let x = filled(&x);
    let y = e.alloc_output(4 * plant.outputs).unwrap();
    let mut buffers = vec![(0, x.whole()), (1, y.whole())];
    match plant.extra {
        Extra::Nothing => {}
        Extra::Count(n) => buffers.push((2, filled(&n.to_le_bytes()).whole())),
        Extra::Scratch => buffers.push((2, e.alloc_output(4 * N).unwrap().whole())),
    }
    let grid = match plant.name {
        "misaligned" => Grid::Threads([96, 1, 1]),
        _ => Grid::Groups([GROUPS, 1, 1]),
    };
    let threadgroup = vec![(0, 4 * THREADS as usize)];
    let launch = Launch { grid, threads: [THREADS, 1, 1], buffers, threadgroup, outputs: vec![1] };
    let schedules = Schedules { seeds: seeds.to_vec(), steps: 1 << 20 };
    let faults = e.launch(&program, &launch, &schedules).unwrap();
    let mut bytes = vec![0; y.len()];
    y.read(0, &mut bytes).unwrap();
    Run { faults, y: bytes }
}

fn seeds(plant: &Plant) -> &'static [u64] {
    if plant.kind == OrderDependent { &[0, 1, 2, 3] } else { &[0] }
}

fn judge(plant: &Plant, fault: &Fault) -> Result<(), String> {
    let want = line(&source(plant.name).1);
    let place = fault.place.as_ref().ok_or("no place")?;
    // Of the two places of a race, either may come first.
    let other = fault.other.as_ref().and_then(|o| o.place.as_ref());
    let at = place.line == want || other.is_some_and(|p| p.line == want);
    if matches!(plant.kind, Race | ThreadgroupRace | MixedAtomic) && other.is_none() {
        return Err("only one of the two places".to_owned());
    }
    if fault.kind != plant.kind {
        return Err(format!("class {} instead of {}", fault.kind, plant.kind));
    }
    if place.file != format!("{}.metal", plant.name) || !at {
        return Err(format!("place {place} instead of line {want}"));
    }
    if fault.kernel != "k" || !fault.cause.contains(plant.says) {
        return Err(format!("cause without {:?}", plant.says));
    }
    Ok(())
}

#[test]
fn every_planted_defect_is_caught_at_its_line() {
    let Some(e) = emulator(Mode::Checked) else { return };
    let mut failures = Vec::new();
    for plant in PLANTS {
        let faults = run(&e, plant, State::Planted, seeds(plant)).faults;
        let first = faults.list().first().map_or(Err("nothing found".to_owned()), |f| judge(plant, f));
        if let Err(why) = first {
            failures.push(format!("{}: {why}\n{faults}", plant.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn without_the_defect_nothing_is_found() {
    let Some(e) = emulator(Mode::Checked) else { return };
    let mut failures = Vec::new();
    for plant in PLANTS {
        let faults = run(&e, plant, State::Fixed, &[0, 1, 2, 3]).faults;
        if !faults.is_empty() {
            failures.push(format!("{}:\n{faults}", plant.name));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn classes_of_fault_are_all_planted() {
    let found: std::collections::BTreeSet<_> = PLANTS.iter().map(|p| p.kind).collect();
    assert!(found.len() >= 18, "{found:?}");
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/planted");
    let files = std::fs::read_dir(folder).unwrap().count();
    assert_eq!(files, PLANTS.len(), "every file of planted/ has its entry");
}

#[test]
fn runs_are_the_same_every_time() {
    let Some(e) = emulator(Mode::Checked) else { return };
    for plant in PLANTS.iter().filter(|p| matches!(p.kind, Race | OrderDependent | MixedAtomic)) {
        for seed in [0, 7] {
            let report = || {
                let r = run(&e, plant, State::Planted, &[seed]);
                (serde_json::to_string(&r.faults).unwrap(), r.y)
            };
            assert_eq!(report(), report(), "{} under seed {seed}", plant.name);
        }
    }
}

#[test]
fn fast_runs_give_what_checked_runs_give() {
    let (Some(checked), Some(fast)) = (emulator(Mode::Checked), emulator(Mode::Fast(Some(2)))) else { return };
    for plant in PLANTS {
        let one = run(&checked, plant, State::Fixed, &[0]);
        let two = run(&fast, plant, State::Fixed, &[0]);
        assert!(two.faults.is_empty(), "{}: {}", plant.name, two.faults);
        assert_eq!(one.y, two.y, "{}", plant.name);
    }
}
