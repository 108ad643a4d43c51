//! Kernels, devices and clocks that lie, each planted beside an honest twin: the lie is told, and the twin is measured.

mod common;

use std::sync::Mutex;

use common::{Lying, Wall, cpu, measure, only, with};
use metallic_device::emulator::{Emulator, Mode};
use metallic_kernels::DType;
use metallic_kernels::contract::{Args, Native, Op, Phase, Variant};
use metallic_kernels::matmul::MatmulParams;
use metallic_probe::problem::Problem;
use metallic_probe::record::Outcome;
use metallic_probe::spec::{MatmulShape, Shape};

/// Products of f32 in native code, honest and not.
static OP: Op = Op {
    name: "frauds",
    manifest: r#"[
      { "family": "cpu", "name": "honest", "source": "frauds.rs", "entry": "honest", "supports": { "transpose_b": true }, "enabled": true, "note": "-" },
      { "family": "cpu", "name": "half", "source": "frauds.rs", "entry": "half", "supports": { "transpose_b": true }, "enabled": true, "note": "-" },
      { "family": "cpu", "name": "quarter", "source": "frauds.rs", "entry": "quarter", "supports": { "transpose_b": true }, "enabled": true, "note": "-" },
      { "family": "cpu", "name": "stale", "source": "frauds.rs", "entry": "stale", "supports": { "transpose_b": true }, "enabled": true, "note": "-" },
      { "family": "cpu", "name": "idle", "source": "frauds.rs", "entry": "idle", "supports": { "transpose_b": true }, "enabled": true, "note": "-" },
      { "family": "cpu", "name": "beside", "source": "frauds.rs", "entry": "beside", "supports": { "transpose_b": true }, "enabled": true, "note": "-" },
      { "family": "cpu", "name": "eater", "source": "frauds.rs", "entry": "eater", "supports": { "transpose_b": true }, "enabled": true, "note": "-" },
      { "family": "library", "name": "search", "source": "frauds.rs", "entry": "honest", "search": { "ALGO": 8 },
        "supports": { "transpose_b": true }, "enabled": true, "note": "-" },
      { "family": "cpu", "name": "honest_too", "source": "frauds.rs", "entry": "honest", "supports": { "transpose_b": true }, "enabled": true, "note": "-" }
    ]"#,
    params: MatmulParams::INFO,
    native,
    cases: Vec::new,
    budget: |_| 4.3e-6,
};

fn native(entry: &str) -> Option<Native> {
    let phases: &[Phase] = match entry {
        "half" => &[half],
        "quarter" => &[quarter],
        "stale" => &[stale],
        "idle" => &[idle],
        "beside" => &[beside],
        "eater" => &[eater],
        _ => &[honest],
    };
    Some(Native { phases, scratch: |_, _| 0 })
}

/// Outputs `outputs` of the only row, over the first `k` weights of each.
///
/// # Safety
/// As `contract::Phase`.
unsafe fn product(a: &Args<'_>, outputs: std::ops::Range<usize>, k: usize) {
    let whole = a.params.get::<MatmulParams>().k as usize;
    // SAFETY: the contract's buffers; every worker has its own outputs.
    unsafe {
        let (x, w, y) = (a.input::<f32>(1), a.input::<f32>(2), a.output::<f32>(0));
        for j in outputs {
            let sum: f32 = x[..k].iter().zip(&w[j * whole..]).map(|(x, w)| x * w).sum();
            y.add(j).write(sum);
        }
    }
}

fn sizes(a: &Args<'_>) -> (usize, usize) {
    let p = a.params.get::<MatmulParams>();
    (p.n as usize, p.k as usize)
}

unsafe fn honest(a: &Args<'_>) {
    let (n, k) = sizes(a);
    // SAFETY: the caller's promise.
    unsafe { product(a, a.share(n, 1), k) }
}

/// Writes half of its output.
unsafe fn half(a: &Args<'_>) {
    let (n, k) = sizes(a);
    // SAFETY: the caller's promise.
    unsafe { product(a, a.share(n / 2, 1), k) }
}

/// Reads a quarter of its weights.
unsafe fn quarter(a: &Args<'_>) {
    let (n, k) = sizes(a);
    // SAFETY: the caller's promise.
    unsafe { product(a, a.share(n, 1), k / 4) }
}

/// Only half of the workers do their share.
unsafe fn idle(a: &Args<'_>) {
    if a.worker < a.workers.div_ceil(2) {
        // SAFETY: the caller's promise.
        unsafe { honest(a) }
    }
}

/// Keeps its first result, and returns it ever after.
unsafe fn stale(a: &Args<'_>) {
    static FIRST: Mutex<Vec<f32>> = Mutex::new(Vec::new());
    if a.worker > 0 {
        return;
    }
    let (n, k) = sizes(a);
    let mut first = FIRST.lock().unwrap();
    // SAFETY: the caller's promise; the others do nothing.
    unsafe {
        if first.is_empty() {
            product(a, 0..n, k);
            first.extend_from_slice(a.input(0));
        }
        std::ptr::copy_nonoverlapping(first.as_ptr(), a.output(0), n);
    }
}

/// Writes one element too many.
unsafe fn beside(a: &Args<'_>) {
    let (n, _) = sizes(a);
    // SAFETY: outputs of several banks lie in one buffer, with room between them.
    unsafe {
        honest(a);
        if a.worker == 0 {
            a.output::<f32>(0).add(n).write(1.0);
        }
    }
}

/// Overwrites x once it has read it.
unsafe fn eater(a: &Args<'_>) {
    let (n, k) = sizes(a);
    if a.worker == 0 {
        // SAFETY: the others do nothing.
        unsafe {
            product(a, 0..n, k);
            a.output::<f32>(1).write(0.0);
        }
    }
}

fn planted() -> Problem {
    let shape = MatmulShape { n: 96, k: 512, w: DType::F32, act: DType::F32, ..MatmulShape::default() };
    let mut problem = Problem::new(&Shape::Matmul(shape), 1);
    problem.op = &OP;
    problem.key.op = "frauds";
    problem
}

/// A product that variants of matmul take on the emulator.
fn small() -> Problem {
    Problem::new(&Shape::Matmul(MatmulShape { n: 24, k: 256, ..MatmulShape::default() }), 1)
}

fn of(outcomes: &[(String, Outcome)], name: &str) -> Outcome {
    outcomes.iter().find(|(id, _)| id == name).unwrap_or_else(|| panic!("{name} is missing")).1.clone()
}

fn failed(outcome: &Outcome, why: &str) {
    assert!(matches!(outcome, Outcome::Failed { reason } if reason.contains(why)), "{outcome:?}");
}

fn impossible(outcome: &Outcome, why: &str) {
    assert!(matches!(outcome, Outcome::Impossible { reason } if reason.contains(why)), "{outcome:?}");
}

fn measured(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Measured(m) if m.cold.median_us > 0.0), "{outcome:?}");
}

#[test]
fn kernels_that_do_less_or_more_than_their_work() {
    let outcomes = measure(&cpu(), &planted(), &only("cpu"), None);
    failed(&of(&outcomes, "cpu/half"), "48 of 96 elements were not written, the first is 48");
    failed(&of(&outcomes, "cpu/quarter"), "check, bank");
    failed(&of(&outcomes, "cpu/idle"), "48 of 96 elements were not written");
    failed(&of(&outcomes, "cpu/stale"), "with other inputs");
    failed(&of(&outcomes, "cpu/beside"), "memory beside the output was written");
    failed(&of(&outcomes, "cpu/eater"), "an input was written");
    // It comes behind the one that overwrites what all read.
    measured(&of(&outcomes, "cpu/honest_too"));
    measured(&of(&outcomes, "cpu/honest"));
}

#[test]
fn another_kernel_than_asked_for() {
    let swap = |v: &Variant| {
        (v.name == "quarter").then(|| Variant { name: "honest".into(), entry: "honest".into(), ..v.clone() })
    };
    let device = Lying::new(cpu()).replacing(swap);
    let outcomes = measure(&device, &planted(), &only("cpu"), None);
    impossible(&of(&outcomes, "cpu/quarter"), "asked for cpu/quarter quarter");
    measured(&of(&outcomes, "cpu/honest"));
}

#[test]
fn clocks_that_cannot_be_right() {
    for (seconds, why) in [(0.0, "a time of 0 s"), (f64::NAN, "a time of NaN s"), (-1.0, "a time of -1 s")] {
        let device = Lying::new(cpu()).with_clock(move |_| seconds);
        let outcomes = measure(&device, &planted(), &only("cpu/honest"), None);
        impossible(&of(&outcomes, "cpu/honest"), why);
    }
    measured(&of(&measure(&Lying::new(cpu()), &planted(), &only("cpu/honest"), None), "cpu/honest"));
}

#[test]
fn times_that_memory_does_not_allow() {
    let device = Lying::new(cpu()).with_clock(|seconds| seconds * 1e-6);
    let outcomes = measure(&device, &planted(), &only("cpu/honest"), Some(Wall::new(1e12)));
    impossible(&of(&outcomes, "cpu/honest"), "memory gives 1000 GB/s at most");
    // A limit that turns out higher when it is measured again is believed.
    let outcomes = measure(&cpu(), &planted(), &only("cpu/honest"), Some(Wall::new(1.0).rising_to(1e15)));
    measured(&of(&outcomes, "cpu/honest"));
}

#[test]
fn half_of_the_threads_on_the_emulator() {
    let Ok(emulator) = Emulator::new(Mode::Checked).inspect_err(|why| eprintln!("REFUSED: {why}")) else { return };
    let fewer = |v: &Variant| {
        let threads = v.threads.clone().map(|t| t.map(|e| with(e, "32*SIMDS", "16*SIMDS")));
        Some(Variant { threads, ..v.clone() })
    };
    let name = "ksplit/f16_half_bn4_tg128";
    let device = Lying::new(emulator).replacing(fewer);
    impossible(&of(&measure(&device, &small(), &only(name), None), name), "of [64, 1, 1] ran");
    // A device that hides it is caught by what comes out.
    let hidden = device.hiding();
    assert!(matches!(of(&measure(&hidden, &small(), &only(name), None), name), Outcome::Failed { .. }));
    let honest = Lying::new(Emulator::new(Mode::Checked).unwrap());
    assert!(matches!(of(&measure(&honest, &small(), &only(name), None), name), Outcome::Checked { .. }));
}

#[test]
fn a_quarter_of_the_weights_on_the_emulator() {
    let Ok(emulator) = Emulator::new(Mode::Fast(None)).inspect_err(|why| eprintln!("REFUSED: {why}")) else { return };
    let device = Lying::new(emulator).with_params(|p| MatmulParams { k: p.k / 4, ..p });
    let name = "ksplit/f16_half_bn4_tg128";
    failed(&of(&measure(&device, &small(), &only(name), None), name), "check, bank 0: element");
    let honest = device.with_params(|p| p);
    assert!(matches!(of(&measure(&honest, &small(), &only(name), None), name), Outcome::Checked { .. }));
}

#[test]
fn a_search_ends_where_the_device_has_no_more() {
    let device = Lying::new(cpu()).with_algorithms(3);
    let found = of(&measure(&device, &planted(), &only("library"), None), "library/search");
    let Outcome::Measured(m) = &found else { panic!("{found:?}") };
    let chosen = m.entry.strip_prefix("honest ALGO=").and_then(|n| n.parse::<i64>().ok());
    assert!(chosen.is_some_and(|n| (0..3).contains(&n)), "{}", m.entry);
    let none = of(&measure(&device.with_algorithms(0), &planted(), &only("library"), None), "library/search");
    assert!(matches!(&none, Outcome::Gap { reason } if reason.contains("the library has 0")), "{none:?}");
}

/// A large product is sampled, and what the sample misses shows in the signed sums.
#[test]
fn one_wrong_element_of_a_large_product() {
    let shape = MatmulShape { m: 70, n: 5000, k: 1024, w: DType::F32, act: DType::F32, ..MatmulShape::default() };
    let problem = Problem::new(&Shape::Matmul(shape), 1);
    let oracle = &problem.expect[0];
    assert!(oracle.sums.is_some() && oracle.compared() < problem.elements / 50);
    let honest = common::product(&problem, &shape);
    let check = |y: &[f32]| oracle.check_poisoned(DType::F32, bytemuck_bytes(y), problem.elements);
    check(&honest).unwrap();
    let missed = (0..).find(|at| *at > 100_000 && oracle.at.binary_search(at).is_err()).unwrap();
    let mut wrong = honest.clone();
    wrong[missed] += 0.01;
    let why = check(&wrong).unwrap_err().to_string();
    assert!(why.contains("signed sum"), "{why}");
}

fn bytemuck_bytes(values: &[f32]) -> &[u8] {
    // SAFETY: floats have no padding, and bytes no alignment.
    unsafe { std::slice::from_raw_parts(values.as_ptr().cast(), size_of_val(values)) }
}
