//! Does the comparison see a slowdown of 5 %, and nothing where there is none? `regression cpu|cuda [--tries 20]`, on a real kernel.
//!
//! Three queues run in turn: the kernel, the same kernel once more (unchanged), and the kernel on 5 % more outputs (slowed; it writes
//! the base's results and more, which is checked). All three work on the same memory: where a buffer lies changes the time of a
//! kernel that lives in a CPU's caches by as much as is sought here. Each try has memory of its own. Times are the device's; on a CPU
//! that is not ours alone, they are the processor time of the one thread that works, which leaves out when it had to wait.

use std::process::ExitCode;
use std::sync::Arc;

use metallic_device::cpu::{self, Cpu};
use metallic_device::cuda::{self, Cuda};
use metallic_device::{Binding, Buffer, Device, Queue, Record, Rows, StepRows};
use metallic_kernels::DType;
use metallic_kernels::cases::{self, Rng};
use metallic_kernels::contract::{Flags, Key, Layout, Params, Role, Variant};
use metallic_kernels::matmul::{self, MatmulParams, pack};
use metallic_ops::Dispatch;
use metallic_probe::compare::{Pairing, Rule, Verdict, shift};
use metallic_probe::stats::median;

type Failure = Box<dyn std::error::Error>;

const USAGE: &str =
    "usage: regression cpu|cuda [--tries N] [--rounds N] [--inject PART] [--force VARIANT] [--apart] [--wall]
  --inject PART   how much more the slowed kernel does [default: 0.05]
  --apart         all rounds of the base first, then the others: as two runs are compared
  --wall          on the CPU, time by the wall's clock instead of the thread's";

struct Settings {
    device: String,
    tries: usize,
    rounds: usize,
    inject: f64,
    force: Option<String>,
    pairing: Pairing,
    wall: bool,
}

fn settings() -> Result<Settings, Failure> {
    let mut args = std::env::args().skip(1);
    let device = args.next().filter(|d| d == "cpu" || d == "cuda").ok_or(USAGE)?;
    let rounds = if device == "cpu" { 120 } else { 20 };
    let (pairing, force) = (Pairing::Interleaved, None);
    let mut s = Settings { device, tries: 20, rounds, inject: 0.05, force, pairing, wall: false };
    while let Some(flag) = args.next() {
        match flag.as_str() {
            "--apart" => s.pairing = Pairing::Apart,
            "--wall" => s.wall = true,
            "--tries" => s.tries = args.next().ok_or(USAGE)?.parse()?,
            "--rounds" => s.rounds = args.next().ok_or(USAGE)?.parse()?,
            "--inject" => s.inject = args.next().ok_or(USAGE)?.parse()?,
            "--force" => s.force = Some(args.next().ok_or(USAGE)?),
            _ => return Err(USAGE.into()),
        }
    }
    Ok(s)
}

/// A matvec that fills the device: y (n) = x (k) times f16 weights (n, k).
struct Problem {
    n: usize,
    k: usize,
    act: DType,
    /// Copies of the weights that launches walk through: past the last-level cache on a GPU, one on a CPU, whose caches are its own.
    banks: usize,
    /// Launches of a round.
    launches: usize,
}

const GPU: Problem = Problem { n: 16000, k: 4096, act: DType::F16, banks: 2, launches: 32 };
const CPU: Problem = Problem { n: 320, k: 1024, act: DType::F32, banks: 1, launches: 64 };

/// What launches work on.
struct Operands {
    y: Buffer,
    x: Buffer,
    banks: Vec<Buffer>,
}

impl Operands {
    /// Memory for `key`, the largest problem; smaller ones take the first rows of it.
    fn new(device: &dyn Device, p: &Problem, key: Key) -> Result<Operands, Failure> {
        let bytes = pack::bytes(DType::F16, key.layout, key.n, p.k).ok_or("no such layout of f16 weights")?;
        let mut rng = Rng(7);
        let x = device.alloc(p.k * p.act.block_bytes())?;
        match p.act {
            DType::F16 => x.write(0, &cases::stored(&mut rng, DType::F16, 1, p.k, 1.0).bytes)?,
            _ => x.write(0, &cases::f32s(Role::Input, &rng.normals(p.k, 1.0)).bytes)?,
        }
        // One panel of rows, repeated.
        let mut unit = cases::stored(&mut rng, DType::F16, pack::ROWS, p.k, 0.05).bytes;
        match key.layout {
            Layout::Row => {}
            Layout::Panel16 => {
                let rows = std::mem::replace(&mut unit, vec![0; pack::panel_bytes(DType::F16, p.k)]);
                pack::pack_panel(DType::F16, &rows, p.k, &mut unit);
            }
            other => return Err(format!("rows of layout {other} do not lie one after another").into()),
        }
        let whole = unit.repeat(bytes.div_ceil(unit.len()));
        let bank = |_| {
            let w = device.alloc_weight(bytes)?;
            w.write(0, &whole[..bytes])?;
            Ok(w)
        };
        let banks = (0..p.banks).map(bank).collect::<Result<_, metallic_device::Error>>()?;
        Ok(Operands { y: device.alloc(key.n * p.act.block_bytes())?, x, banks })
    }
}

struct Side {
    queue: Box<dyn Queue>,
    y: Buffer,
    launches: usize,
}

impl Side {
    fn new(device: &dyn Device, variant: &Arc<Variant>, p: &Problem, key: Key, on: &Operands) -> Result<Side, Failure> {
        let bytes = pack::bytes(DType::F16, key.layout, key.n, p.k).ok_or("no such layout of f16 weights")?;
        let params = MatmulParams {
            dtype: DType::F16.ggml(),
            layout: key.layout.number(),
            act: p.act.ggml(),
            ..MatmulParams::new(key.n, p.k)
        };
        let record = |i: usize| Record {
            op: &matmul::OP,
            variant: variant.clone(),
            key,
            params: Params::new(&params),
            operands: vec![
                on.y.slice(0, key.n * p.act.block_bytes()),
                on.x.whole(),
                on.banks[i % p.banks].slice(0, bytes),
                Binding::default(),
                Binding::default(),
            ],
            rows: Rows::Tokens,
        };
        let records: Vec<Record> = (0..p.launches).map(record).collect();
        Ok(Side { queue: device.queue(&records)?, y: on.y.clone(), launches: p.launches })
    }

    /// Microseconds a launch.
    fn time(&mut self, clock: Clock) -> Result<f64, Failure> {
        let rows = StepRows { tokens: 1, outputs: 0 };
        let seconds = match clock {
            Clock::Thread => {
                let start = thread_seconds();
                self.queue.run(rows)?;
                thread_seconds() - start
            }
            Clock::Device => {
                let timing = self.queue.time(rows, 1)?;
                timing.device.unwrap_or(timing.host)
            }
        };
        Ok(1e6 * seconds / self.launches as f64)
    }

    /// The first `bytes` of what this queue alone writes.
    fn result(&mut self, bytes: usize) -> Result<Vec<u8>, Failure> {
        let mut out = vec![0; bytes];
        self.y.poison()?;
        self.queue.run(StepRows { tokens: 1, outputs: 0 })?;
        self.y.read(0, &mut out)?;
        Ok(out)
    }
}

#[derive(Clone, Copy)]
enum Clock {
    Device,
    Thread,
}

fn thread_seconds() -> f64 {
    let mut t = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut t) };
    t.tv_sec as f64 + 1e-9 * t.tv_nsec as f64
}

/// Rounds of every side, microseconds a launch.
fn measure(sides: &mut [Side], s: &Settings, clock: Clock) -> Result<Vec<Vec<f64>>, Failure> {
    let mut rounds = vec![Vec::with_capacity(s.rounds); sides.len()];
    for side in sides.iter_mut() {
        for _ in 0..3 {
            side.time(clock)?;
        }
    }
    let count = sides.len();
    for i in 0..s.rounds * count {
        // In turn, each round beginning with the next side and every other one walked backwards.
        let (round, place) = (i / count, i % count);
        let turn = if round % 2 == 0 { place } else { count - 1 - place };
        let side = match s.pairing {
            Pairing::Interleaved => (turn + round) % count,
            Pairing::Apart => i / s.rounds,
        };
        rounds[side].push(sides[side].time(clock)?);
    }
    Ok(rounds)
}

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("{e}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool, Failure> {
    let s = settings()?;
    let (device, problem, clock): (Box<dyn Device>, _, _) = if s.device == "cpu" {
        let options = cpu::Options { threads: Some(1), ..cpu::Options::default() };
        (Box::new(Cpu::new(&options)?), CPU, if s.wall { Clock::Device } else { Clock::Thread })
    } else {
        (Box::new(Cuda::new(&cuda::Options::default())?), GPU, Clock::Device)
    };
    let forced: Vec<String> = s.force.iter().map(|v| format!("matmul={v}")).collect();
    let dispatch = Dispatch::new(device.limits().clone(), &forced)?;
    let key_of = |n, layout| Key { act: problem.act, ..matmul::key(1, n, problem.k, DType::F16, layout, Flags::NONE) };
    let layout = dispatch.layout(&key_of(problem.n, Layout::Row))?;
    let base = key_of(problem.n, layout);
    let slowed = key_of((problem.n as f64 * (1.0 + s.inject) / 16.0).round() as usize * 16, layout);
    let variant = dispatch.choose(&base)?;
    println!("{}\n{base}, {}, {} rounds of {} launches", device.describe(), variant.id(), s.rounds, problem.launches);

    let rule = Rule::default();
    let (mut seen, mut alarms) = (0, 0);
    for attempt in 1..=s.tries {
        let operands = Operands::new(&*device, &problem, slowed)?;
        let mut sides = [base, base, slowed]
            .into_iter()
            .map(|key| Side::new(&*device, &variant, &problem, key, &operands))
            .collect::<Result<Vec<_>, _>>()?;
        let rounds = measure(&mut sides, &s, clock)?;
        let bytes = problem.n * problem.act.block_bytes();
        let expected = sides[0].result(bytes)?;
        if sides.iter_mut().any(|side| side.result(bytes).ok().as_ref() != Some(&expected)) {
            return Err("the queues do not give the same results".into());
        }
        let judged = |new: &[f64]| shift(&rounds[0], new, s.pairing, &rule).ok_or("too few rounds");
        let (same, slower) = (judged(&rounds[1])?, judged(&rounds[2])?);
        let [a, b] = [same, slower].map(|s| s.verdict(&rule));
        alarms += usize::from(a == Verdict::Slower);
        seen += usize::from(b == Verdict::Slower);
        let percent = |ratio: f64| 100.0 * (ratio - 1.0);
        println!(
            "{attempt:3}: {:8.3} us; unchanged {:+.2} % [{:+.2}, {:+.2}] {:6}; slowed {:+.2} % [{:+.2}, {:+.2}] {}",
            median(&rounds[0]),
            percent(same.ratio),
            percent(same.low),
            percent(same.high),
            a.name(),
            percent(slower.ratio),
            percent(slower.low),
            percent(slower.high),
            b.name()
        );
    }
    let tries = s.tries;
    println!(
        "{:.1} % more work: flagged in {seen} of {tries}; unchanged: flagged in {alarms} of {tries}",
        100.0 * (slowed.n as f64 / base.n as f64 - 1.0)
    );
    Ok(seen * 20 >= tries * 19 && alarms * 20 <= tries)
}
