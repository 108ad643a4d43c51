//! The f16 matrix-vector product: MSL, its twin, cuBLAS.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use half::f16;

use metallic_device::cuda::{Arg, Cuda, CudaQueue, Overlap, Program};
use metallic_device::{Binding, Buffer, Device, Record, Rows, StepRows};
use metallic_kernels::DType;
use metallic_kernels::contract::{Flags, Key, Layout, Params, Variant};
use metallic_kernels::matmul::{self, MatmulParams};

use crate::measure::{self, Candidate};
use crate::twin::Twin;
use crate::{Any, Asked, COLD, overlaps, report};

const TEXT: &str = include_str!("../cuda/matvec.cu");

/// n, k, and whether there is a bias.
const SHAPES: [(usize, usize, bool); 5] =
    [(9728, 896, false), (896, 4864, false), (896, 896, false), (1152, 896, true), (151_936, 896, false)];

/// One shape with its data on the device: copies of w to rotate through, and what must come out.
struct Problem {
    key: Key,
    params: MatmulParams,
    y: Buffer,
    x: Buffer,
    bias: Option<Buffer>,
    rows: Buffer,
    banks: Vec<Buffer>,
    want: Vec<f64>,
    allowed: Vec<f64>,
}

/// Times every shape.
pub fn run(cuda: &Cuda, asked: &Asked) -> Result<(), Any> {
    let listed = matmul::OP.variants()?.into_iter().find(|v| v.id() == "cublas/baseline").map(Arc::new);
    let there = |v: &Arc<Variant>| v.supports.features.iter().all(|f| cuda.limits().features.contains(&f.as_str()));
    let cublas = listed.filter(there);
    for (n, k, biased) in SHAPES {
        let problem = Problem::new(cuda, n, k, biased)?;
        let accepts = |v: &Variant| v.supports(&problem.key, cuda.limits()).is_ok();
        let variants: Vec<_> = matmul::OP
            .variants()?
            .into_iter()
            .filter(|v| v.enabled && v.source == "matvec.metal" && accepts(v))
            .collect();
        if variants.is_empty() {
            return Err(format!("no variant of matvec.metal takes {}", problem.key).into());
        }
        if asked.sweep {
            problem.sweep(cuda, cublas.as_ref(), &variants[0], asked)?;
            continue;
        }
        for variant in variants.into_iter().take(if asked.every { usize::MAX } else { 1 }) {
            problem.time(cuda, cublas.as_ref(), Arc::new(variant), asked)?;
        }
    }
    Ok(())
}

impl Problem {
    fn new(cuda: &Cuda, n: usize, k: usize, biased: bool) -> Result<Problem, Any> {
        let flags = if biased { Flags::BIAS } else { Flags::NONE };
        let key = Key { act: DType::F16, ..matmul::key(1, n, k, DType::F16, Layout::Row, flags) };
        let params = MatmulParams {
            dtype: DType::F16.ggml(),
            act: DType::F16.ggml(),
            bias: u32::from(biased),
            ..MatmulParams::new(n, k)
        };
        let mut draw = Draw::new();
        let x: Vec<u16> = (0..k).map(|_| draw.bits()).collect();
        let w: Vec<u16> = (0..n * k).map(|_| draw.bits()).collect();
        let bias: Vec<u16> = (0..if biased { n } else { 0 }).map(|_| draw.bits()).collect();
        let (mut want, mut allowed) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for j in 0..n {
            let (mut sum, mut squares) = (0.0f64, 0.0f64);
            for (&a, &b) in x.iter().zip(&w[j * k..]) {
                let term = draw.value(a) * draw.value(b);
                sum += term;
                squares += term * term;
            }
            sum += bias.get(j).map_or(0.0, |&b| draw.value(b));
            want.push(sum);
            allowed.push((matmul::OP.budget)(DType::F16) * squares.sqrt() + 4.9e-4 * sum.abs() + 1e-7);
        }
        let put = |values: &[u16]| -> Result<Buffer, Any> {
            let buffer = cuda.alloc(values.len() * 2)?;
            buffer.write(0, bytemuck::cast_slice(values))?;
            Ok(buffer)
        };
        let banks = (COLD / (2 * n * k) + 1).max(2);
        let rows = cuda.alloc(4)?;
        rows.write(0, &1u32.to_ne_bytes())?;
        Ok(Problem {
            key,
            params,
            y: cuda.alloc(2 * n)?,
            x: put(&x)?,
            bias: if biased { Some(put(&bias)?) } else { None },
            rows,
            banks: (0..banks).map(|_| put(&w)).collect::<Result<_, _>>()?,
            want,
            allowed,
        })
    }

    fn time(
        &self,
        cuda: &Cuda,
        cublas: Option<&Arc<Variant>>,
        variant: Arc<Variant>,
        asked: &Asked,
    ) -> Result<(), Any> {
        let program = Program::of(&matmul::OP, &variant, cuda.info().capability)?;
        let geometry = variant.geometry(&self.key)?;
        let twin = Twin::new(cuda, ("matvec.cu", TEXT, "matvec"), &variant, &program, (&[], geometry))?;
        let bytes = self.banks[0].len();
        println!(
            "matvec f16 {}x{}{} {} ({} of {:?}), {} banks",
            self.key.n,
            self.key.k,
            if self.bias.is_some() { " + bias" } else { "" },
            variant.id(),
            geometry.grid[0],
            geometry.threads,
            self.banks.len()
        );
        for cold in [true, false] {
            let banks: Vec<&Buffer> = (0..self.banks.len()).map(|i| &self.banks[if cold { i } else { 0 }]).collect();
            let records: Vec<Record> = banks.iter().map(|w| self.record(&variant, w)).collect();
            let mut queue = cuda.resolve(&records)?;
            queue.set_rows(StepRows { tokens: 1, outputs: 0 })?;
            if cold {
                let kernel = queue.launches().next().ok_or("the queue is empty")?.kernel();
                println!(
                    "  registers, local bytes: MSL {:?}, twin {:?}",
                    (kernel.registers(), kernel.local()),
                    twin.resources()
                );
            }
            let block = Params::new(&self.params);
            let params: &[u8; 128] = block.get();
            let lists = banks.iter().map(|w| self.arguments(cuda, w, &params[..size_of::<MatmulParams>()]));
            let lists = lists.collect::<Result<Vec<_>, Any>>()?;
            let vendor = cublas.map(|c| self.vendor(cuda, c, &banks)).transpose()?;
            for (overlap, how) in overlaps(program.overlap) {
                let mut candidates = vec![
                    Candidate { name: "MSL", graph: queue.graph(overlap)?, launches: banks.len() },
                    Candidate { name: "twin", graph: twin.graph(cuda, &lists, overlap)?, launches: banks.len() },
                ];
                if let Some(vendor) = &vendor {
                    let graph = vendor.graph(overlap)?;
                    candidates.push(Candidate { name: "cuBLAS", graph, launches: banks.len() });
                }
                for c in &candidates {
                    self.check(cuda, c)?;
                }
                report(
                    cuda,
                    &format!("{} {how}", if cold { "cold" } else { "hot" }),
                    &candidates,
                    bytes,
                    asked.rounds,
                )?;
            }
        }
        Ok(())
    }

    /// One line for each choice of knobs: cold, overlapped, beside cuBLAS.
    fn sweep(&self, cuda: &Cuda, cublas: Option<&Arc<Variant>>, like: &Variant, asked: &Asked) -> Result<(), Any> {
        let mut choices = Vec::new();
        for simds in [1, 2, 4, 8] {
            for bn in [1, 2, 4, 8] {
                choices.extend([1, 2, 4].map(|unroll| [("BN", bn), ("SIMDS", simds), ("UNROLL", unroll)]));
            }
        }
        let variants: Vec<Arc<Variant>> = choices
            .iter()
            .map(|c| {
                Arc::new(Variant { knobs: c.iter().map(|(n, v)| ((*n).to_owned(), *v)).collect(), ..like.clone() })
            })
            .collect();
        let next = AtomicUsize::new(0);
        std::thread::scope(|s| {
            for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
                s.spawn(|| {
                    while let Some(v) = variants.get(next.fetch_add(1, Ordering::Relaxed)) {
                        // What is wrong with one is told when it is resolved below.
                        let _ = Program::of(&matmul::OP, v, cuda.info().capability)
                            .and_then(|p| cuda.compiler().build(&p.source(cuda.arch())));
                    }
                });
            }
        });
        println!("matvec f16 {}x{}, cold, serial and overlapped", self.key.n, self.key.k);
        let banks: Vec<&Buffer> = self.banks.iter().collect();
        let vendor = cublas.map(|c| self.vendor(cuda, c, &banks)).transpose()?;
        for variant in variants {
            let records: Vec<Record> = banks.iter().map(|w| self.record(&variant, w)).collect();
            let mut queue = cuda.resolve(&records)?;
            queue.set_rows(StepRows { tokens: 1, outputs: 0 })?;
            let candidate = |overlap| -> Result<Candidate, Any> {
                Ok(Candidate { name: "MSL", graph: queue.graph(overlap)?, launches: banks.len() })
            };
            let mut candidates = vec![candidate(Overlap::Serial)?, candidate(Overlap::Programmatic)?];
            if let Some(vendor) = &vendor {
                let graph = vendor.graph(Overlap::Serial)?;
                candidates.push(Candidate { name: "cuBLAS", graph, launches: banks.len() });
            }
            self.check(cuda, &candidates[1])?;
            let times = measure::rounds(cuda.stream(), &candidates, asked.rounds)?;
            let us: Vec<String> = times.iter().map(|t| format!("{:.2}", measure::median(t))).collect();
            println!("  {} {:?}", us.join(" "), variant.knobs);
        }
        Ok(())
    }

    fn record(&self, variant: &Arc<Variant>, w: &Buffer) -> Record {
        let bias = self.bias.as_ref().map_or_else(Binding::default, Buffer::whole);
        Record {
            op: &matmul::OP,
            variant: variant.clone(),
            key: self.key,
            params: Params::new(&self.params),
            operands: vec![self.y.whole(), self.x.whole(), w.whole(), bias, Binding::default()],
            rows: Rows::Tokens,
        }
    }

    fn arguments<'a>(&self, cuda: &Cuda, w: &Buffer, params: &'a [u8]) -> Result<Vec<Arg<'a>>, Any> {
        let at = |b: &Buffer| cuda.address(b).map(Arg::Address).ok_or("memory of another device");
        let bias = at(self.bias.as_ref().unwrap_or(&self.x))?;
        Ok(vec![at(&self.y)?, at(&self.x)?, at(w)?, bias, Arg::Bytes(params), at(&self.rows)?])
    }

    /// What cuBLAS does for each bank. It adds no bias here: that would be another launch.
    fn vendor(&self, cuda: &Cuda, variant: &Arc<Variant>, banks: &[&Buffer]) -> Result<CudaQueue, Any> {
        let key = Key { flags: Flags::TRANSPOSE_B, ..self.key };
        let params = Params::new(&MatmulParams { bias: 0, ..self.params });
        let records = banks.iter().map(|w| Record { key, params, ..self.record(variant, w) });
        Ok(cuda.resolve(&records.collect::<Vec<_>>())?)
    }

    /// Runs a candidate over a poisoned output and compares.
    fn check(&self, cuda: &Cuda, candidate: &Candidate) -> Result<(), Any> {
        let mut bytes = vec![0xFF; self.y.len()];
        self.y.write(0, &bytes)?;
        cuda.stream().run(&candidate.graph)?;
        self.y.read(0, &mut bytes)?;
        let added = self.bias.is_some() && candidate.name == "cuBLAS";
        for (j, (got, (want, allowed))) in bytes.chunks_exact(2).zip(self.want.iter().zip(&self.allowed)).enumerate() {
            let got = f16::from_le_bytes([got[0], got[1]]).to_f64();
            if !added && ((got - want).abs() > *allowed || got.is_nan()) {
                return Err(format!("{} {}: y[{j}] is {got}, not {want}", candidate.name, self.key).into());
            }
        }
        Ok(())
    }
}

/// Random halves out of a table, so that hundreds of megabytes take no time to make.
struct Draw {
    table: Vec<u16>,
    values: Vec<f64>,
    state: u64,
}

impl Draw {
    fn new() -> Draw {
        let mut rng = metallic_kernels::cases::Rng(7);
        let normals = rng.normals(4096, 0.25);
        let table = normals.iter().map(|&v| f16::from_f32(v)).map(f16::to_bits).collect();
        let values = (0..=u16::MAX).map(|b| f16::from_bits(b).to_f64()).collect();
        Draw { table, values, state: 0x2545_F491_4F6C_DD1D }
    }

    fn bits(&mut self) -> u16 {
        self.state = self.state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.table[(self.state >> 52) as usize]
    }

    fn value(&self, bits: u16) -> f64 {
        self.values[usize::from(bits)]
    }
}
