//! Softmax in half precision: MSL and its twin.

use std::sync::Arc;

use half::f16;

use metallic_device::cuda::{Arg, Cuda, Program};
use metallic_device::{Buffer, Device, Record, Rows, StepRows};
use metallic_kernels::DType;
use metallic_kernels::cases::Rng;
use metallic_kernels::contract::{Flags, Key, Params, Variant};
use metallic_kernels::softmax::{self, SoftmaxParams};

use crate::measure::Candidate;
use crate::twin::Twin;
use crate::{Any, Asked, COLD, overlaps, report};

const TEXT: &str = include_str!("../cuda/softmax.cu");

/// Rows, columns, problems.
const SHAPES: [(usize, usize, usize); 3] = [(256, 256, 14), (512, 1024, 14), (2048, 4096, 1)];

/// One shape with its data on the device: copies of x and y to rotate through, and what must come out.
struct Problem {
    key: Key,
    params: SoftmaxParams,
    rows: Buffer,
    banks: Vec<(Buffer, Buffer)>,
    want: Vec<f64>,
}

/// Times every shape.
pub fn run(cuda: &Cuda, asked: &Asked) -> Result<(), Any> {
    for (m, k, batch) in SHAPES {
        let problem = Problem::new(cuda, m, k, batch)?;
        let accepts = |v: &Variant| v.supports(&problem.key, cuda.limits()).is_ok();
        let variants: Vec<_> = softmax::OP
            .variants()?
            .into_iter()
            .filter(|v| v.enabled && v.source == "softmax.metal" && accepts(v))
            .collect();
        if variants.is_empty() {
            return Err(format!("no variant of softmax.metal takes {}", problem.key).into());
        }
        for variant in variants.into_iter().take(if asked.every { usize::MAX } else { 1 }) {
            problem.time(cuda, Arc::new(variant), asked)?;
        }
    }
    Ok(())
}

impl Problem {
    fn new(cuda: &Cuda, m: usize, k: usize, batch: usize) -> Result<Problem, Any> {
        let scale = 0.125f32;
        let params = SoftmaxParams {
            k: k as u32,
            ldx: k as u32,
            ldy: k as u32,
            bx: (m * k) as u32,
            by: (m * k) as u32,
            causal: 0,
            offset: 0,
            batch: batch as u32,
            act: DType::F16.ggml(),
            scale,
        };
        let x: Vec<f16> = Rng(11).normals(batch * m * k, 20.0).into_iter().map(f16::from_f32).collect();
        let mut want = Vec::with_capacity(x.len());
        for row in x.chunks_exact(k) {
            let value = |v: &f16| f64::from(scale) * v.to_f64();
            let top = row.iter().map(value).fold(f64::MIN, f64::max);
            let sum: f64 = row.iter().map(|v| (value(v) - top).exp()).sum();
            want.extend(row.iter().map(|v| (value(v) - top).exp() / sum));
        }
        let bytes = x.len() * 2;
        let bank = || -> Result<(Buffer, Buffer), Any> {
            let from = cuda.alloc(bytes)?;
            from.write(0, bytemuck::cast_slice(&x))?;
            Ok((cuda.alloc(bytes)?, from))
        };
        let rows = cuda.alloc(4)?;
        rows.write(0, &(m as u32).to_ne_bytes())?;
        Ok(Problem {
            key: softmax::key(m, k, batch, DType::F16, Flags::NONE),
            params,
            rows,
            banks: (0..COLD / (2 * bytes) + 1).map(|_| bank()).collect::<Result<_, _>>()?,
            want,
        })
    }

    fn time(&self, cuda: &Cuda, variant: Arc<Variant>, asked: &Asked) -> Result<(), Any> {
        let program = Program::of(&softmax::OP, &variant, cuda.info().capability)?;
        let geometry = variant.geometry(&self.key)?;
        let held = [("vec256", "8"), ("vec1024", "32")].into_iter().find(|(name, _)| variant.entry.contains(name));
        let mut macros = vec![("T", "__half")];
        macros.extend(held.map(|(_, per)| ("PER", per)));
        let entry = if held.is_some() { "softmax_vec" } else { "softmax_block" };
        let twin = Twin::new(cuda, ("softmax.cu", TEXT, entry), &variant, &program, (&macros, geometry))?;
        println!("{} {}, {} banks", self.key, variant.id(), self.banks.len());
        for cold in [true, false] {
            let banks: Vec<_> = (0..self.banks.len()).map(|i| &self.banks[if cold { i } else { 0 }]).collect();
            let records: Vec<Record> = banks.iter().map(|bank| self.record(&variant, bank)).collect();
            let mut queue = cuda.resolve(&records)?;
            queue.set_rows(StepRows { tokens: self.key.m, outputs: 0 })?;
            if cold {
                let kernel = queue.launches().next().ok_or("the queue is empty")?.kernel();
                let own = (kernel.registers(), kernel.local());
                println!("  registers, local bytes: MSL {own:?}, twin {:?}", twin.resources());
            }
            let block = Params::new(&self.params);
            let params: &[u8; 128] = block.get();
            let at = |b: &Buffer| cuda.address(b).map(Arg::Address).ok_or("memory of another device");
            let lists = banks.iter().map(|(y, x)| -> Result<Vec<Arg<'_>>, Any> {
                let params = Arg::Bytes(&params[..size_of::<SoftmaxParams>()]);
                Ok(vec![at(y)?, at(x)?, params, at(&self.rows)?])
            });
            let lists = lists.collect::<Result<Vec<_>, Any>>()?;
            for (overlap, how) in overlaps(program.overlap) {
                let candidates = [
                    Candidate { name: "MSL", graph: queue.graph(overlap)?, launches: banks.len() },
                    Candidate { name: "twin", graph: twin.graph(cuda, &lists, overlap)?, launches: banks.len() },
                ];
                for c in &candidates {
                    self.check(cuda, c, banks[banks.len() - 1])?;
                }
                let what = format!("{} {how}", if cold { "cold" } else { "hot" });
                report(cuda, &what, &candidates, 4 * self.want.len(), asked.rounds)?;
            }
        }
        Ok(())
    }

    fn record(&self, variant: &Arc<Variant>, (y, x): &(Buffer, Buffer)) -> Record {
        Record {
            op: &softmax::OP,
            variant: variant.clone(),
            key: self.key,
            params: Params::new(&self.params),
            operands: vec![y.whole(), x.whole()],
            rows: Rows::Tokens,
        }
    }

    /// Runs a candidate over a poisoned output, the last one that it writes, and compares.
    fn check(&self, cuda: &Cuda, candidate: &Candidate, (y, _): &(Buffer, Buffer)) -> Result<(), Any> {
        let mut bytes = vec![0xFF; y.len()];
        y.write(0, &bytes)?;
        cuda.stream().run(&candidate.graph)?;
        y.read(0, &mut bytes)?;
        for (i, (got, want)) in bytes.chunks_exact(2).zip(&self.want).enumerate() {
            let got = f16::from_le_bytes([got[0], got[1]]).to_f64();
            if got.is_nan() || (got - want).abs() > 5.5e-4 * want + 1e-7 {
                return Err(format!("{} {}: y[{i}] is {got}, not {want}", candidate.name, self.key).into());
            }
        }
        Ok(())
    }
}
