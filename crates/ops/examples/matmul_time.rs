//! Times the CPU matmul variants on one shape: `matmul_time M N K DTYPE [THREADS] [VARIANT]`. Cold: weights rotate through 512 MB.

use std::sync::Arc;
use std::time::Instant;

use metallic_device::cpu::{Cpu, Options, Pinning};
use metallic_device::{Binding, Device, Record, Rows, StepRows};
use metallic_kernels::DType;
use metallic_kernels::cases::{self, Rng};
use metallic_kernels::contract::{Flags, Layout, Params, Role};
use metallic_kernels::matmul::{self, MatmulParams, pack};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let num = |i: usize| args[i].parse::<usize>();
    let (m, n, k) = (num(0)?, num(1)?, num(2)?);
    let dtype = DType::from_name(&args[3]).ok_or("dtype")?;
    let threads = args.get(4).map_or(Ok(2), |t| t.parse())?;
    let device = Cpu::new(&Options { threads: Some(threads), pinning: Pinning::Cores, without: vec![] })?;
    for v in matmul::OP.variants()? {
        let v = Arc::new(v);
        if args.get(5).is_some_and(|want| v.name != *want) {
            continue;
        }
        let layout = v.supports.layout.unwrap_or(Layout::Row);
        let key = matmul::key(m, n, k, dtype, layout, Flags::NONE);
        if let Err(e) = v.supports(&key, device.limits()) {
            println!("{:16} {e}", v.name);
            continue;
        }
        let Some(bytes) = pack::bytes(dtype, layout, n, k) else { continue };
        let banks = (512usize << 20).div_ceil(bytes).min(64);
        let params = MatmulParams { dtype: dtype.ggml(), layout: layout.number(), ..MatmulParams::new(n, k) };
        let x = device.alloc(m * k * 4)?;
        let mut rng = Rng(1);
        x.write(0, &cases::f32s(Role::Input, &rng.normals(m * k, 1.0)).bytes)?;
        // One row of random weights, repeated: matrix units run slower on real data than on zeros.
        let row = cases::stored(&mut rng, dtype, pack::ROWS, k, 0.05).bytes;
        let mut panel = vec![0; pack::panel_bytes(dtype, k)];
        pack::pack_panel(dtype, &row, k, &mut panel);
        let unit = if layout == Layout::Row { &row } else { &panel };
        let y = device.alloc(m * n * 4)?;
        let records: Vec<Record> = (0..banks)
            .map(|_| {
                let w = device.alloc(bytes)?;
                for at in (0..bytes).step_by(unit.len()) {
                    w.write(at, &unit[..unit.len().min(bytes - at)])?;
                }
                Ok(Record {
                    op: &matmul::OP,
                    variant: v.clone(),
                    key,
                    params: Params::new(&params),
                    operands: vec![y.whole(), x.whole(), w.whole(), Binding::default(), Binding::default()],
                    rows: Rows::Tokens,
                })
            })
            .collect::<Result<_, metallic_device::Error>>()?;
        let mut queue = device.queue(&records)?;
        let mut best = f64::MAX;
        let start = Instant::now();
        let mut reps = 0;
        while reps < 3 || (start.elapsed().as_secs_f64() < 1.0) {
            let t = Instant::now();
            queue.run(StepRows { tokens: m, outputs: 0 })?;
            best = best.min(t.elapsed().as_secs_f64());
            reps += 1;
        }
        let each = best / banks as f64;
        println!(
            "{:16} {dtype} {m}x{n}x{k}: {:9.1} us  {:6.2} GB/s  {:8.1} GFLOP/s",
            v.name,
            each * 1e6,
            bytes as f64 / each / 1e9,
            2.0 * (m * n * k) as f64 / each / 1e9
        );
    }
    Ok(())
}
