//! What launching costs the host: a captured plan of 200 launches, and the same launches uncaptured, together and one by one.
//!
//! usage: cargo run --release -p metallic-device --example cuda_launch [REPEATS]
//!
//! Every launch adds 1 to the same 64 KiB, with two addresses, a struct of 36 bytes and a row count as arguments, as an op's
//! launches have. What the memory holds afterwards says whether each ran once and in order.

use std::cell::RefCell;
use std::process::ExitCode;
use std::time::Instant;

use metallic_device::cuda::{Arg, Batch, Cuda, Error, Launch, Options, Overlap, Shape, Source};
use metallic_device::{Buffer, Device};

const LAUNCHES: usize = 200;
const BLOCKS: usize = 64;
const THREADS: usize = 256;

const TEXT: &str = r#"
struct Params { unsigned n, add, rest[7]; };
extern "C" __global__ void step(float *y, const float *one, const __grid_constant__ Params p, const unsigned *rows) {
    asm volatile("griddepcontrol.launch_dependents;\n\tgriddepcontrol.wait;" ::: "memory");
    const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < p.n && *rows != 0) {
        y[i] += float(p.add) * one[0];
    }
}
"#;

struct Test {
    cuda: Cuda,
    y: Buffer,
    launches: Vec<Launch>,
    /// What each element should hold.
    expected: f32,
    /// Keeps the other operands alive.
    _operands: [Buffer; 2],
}

fn main() -> ExitCode {
    let repeats = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(1000);
    match Test::new().and_then(|test| test.run(repeats)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

type Any = Box<dyn std::error::Error>;

impl Test {
    fn new() -> Result<Test, Any> {
        let cuda = Cuda::new(&Options::default())?;
        println!("{}", cuda.describe());
        let kernel = cuda.kernel(&Source {
            file: "step.cu",
            entry: "step",
            symbol: "step",
            text: TEXT,
            options: &[],
            arch: cuda.arch(),
        })?;
        let y = cuda.alloc(BLOCKS * THREADS * 4)?;
        let (one, rows) = (cuda.alloc(4)?, cuda.alloc(4)?);
        one.write(0, &1.0f32.to_ne_bytes())?;
        rows.write(0, &1u32.to_ne_bytes())?;
        let mut params = [0u8; 36];
        params[..4].copy_from_slice(&((BLOCKS * THREADS) as u32).to_ne_bytes());
        params[4] = 1;
        let address = |b: &Buffer| cuda.address(b).map(Arg::Address).ok_or("memory of another device");
        let args = [address(&y)?, address(&one)?, Arg::Bytes(&params), address(&rows)?];
        let shape = Shape {
            grid: [BLOCKS as u32, 1, 1],
            threads: [THREADS as u32, 1, 1],
            shared: 0,
            overlap: Overlap::Programmatic,
        };
        let launches = (0..LAUNCHES).map(|_| Launch::new(&kernel, shape, &args)).collect::<Result<Vec<_>, _>>()?;
        Ok(Test { cuda, y, launches, expected: 0.0, _operands: [one, rows] })
    }

    fn run(mut self, repeats: usize) -> Result<(), Any> {
        for overlap in [Overlap::Serial, Overlap::Programmatic] {
            self.way(overlap, repeats)?;
        }
        Ok(())
    }

    fn way(&mut self, overlap: Overlap, repeats: usize) -> Result<(), Any> {
        let stream = self.cuda.stream();
        // SAFETY: operands live as long as the launches, and are as large as the kernel takes them to be.
        let each = || self.launches.iter().try_for_each(|l| unsafe { l.run(stream, overlap) });
        let graph = stream.capture::<Error>(each)?;
        let batch = RefCell::new(Batch::default());
        // SAFETY: as above.
        let together = || unsafe { batch.borrow_mut().run(stream, &self.launches, overlap) };
        let timed = |work: &dyn Fn() -> Result<(), Error>, per: usize| -> Result<[Vec<f64>; 2], Error> {
            let (mut host, mut whole) = (Vec::new(), Vec::new());
            for _ in 0..repeats {
                let start = Instant::now();
                work()?;
                host.push(start.elapsed().as_secs_f64() * 1e6 / per as f64);
                stream.wait()?;
                whole.push(start.elapsed().as_secs_f64() * 1e6);
            }
            Ok([host, whole])
        };
        let replay = || stream.run(&graph);
        replay()?;
        together()?;
        each()?;
        stream.wait()?;
        let [captured, captured_whole] = timed(&replay, 1)?;
        let [batched, batched_whole] = timed(&together, LAUNCHES)?;
        let [single, single_whole] = timed(&each, LAUNCHES)?;
        let mut device = Vec::new();
        for _ in 0..20 {
            let seconds = stream.time::<Error>(|| (0..10).try_for_each(|_| stream.run(&graph)))?;
            device.push(seconds * 1e6 / (10 * LAUNCHES) as f64);
        }
        println!("{overlap:?}, {LAUNCHES} launches, {repeats} repeats, median (10th to 90th percentile):");
        println!("  captured: host {} us a replay, {} us with the wait", spread(captured), spread(captured_whole));
        println!("  together: host {} us a launch, {} us with the wait", spread(batched), spread(batched_whole));
        println!("  one by one: host {} us a launch, {} us with the wait", spread(single), spread(single_whole));
        println!("  device: {} us a launch inside of the graph", spread(device));
        self.expected += (LAUNCHES * (3 + 3 * repeats + 200)) as f32;
        self.check()
    }

    fn check(&self) -> Result<(), Any> {
        let mut bytes = vec![0; self.y.len()];
        self.y.read(0, &mut bytes)?;
        let values = bytes.chunks_exact(4).map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]));
        match values.into_iter().find(|v| *v != self.expected) {
            None => Ok(()),
            Some(v) => {
                Err(format!("an element holds {v} after {} launches: times are not valid", self.expected).into())
            }
        }
    }
}

fn spread(mut values: Vec<f64>) -> String {
    values.sort_by(f64::total_cmp);
    let at = |part: f64| values.get((values.len() as f64 * part) as usize).copied().unwrap_or(f64::NAN);
    format!("{:.2} ({:.2} to {:.2})", at(0.5), at(0.1), at(0.9))
}
