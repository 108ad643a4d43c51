//! Activations in bf16 tiles: the ops pass them on, and their results are those of rows up to the rounding. The variants here are ones
//! that every CPU has; those that tiles are made for are checked by the conformance test where they run.

use std::sync::Arc;

use metallic_device::cpu::{Cpu, Options};
use metallic_device::{Device, Rows, StepRows};
use metallic_kernels::DType;
use metallic_kernels::cases::Rng;
use metallic_ops::{Dispatch, Error, Linear, Plan, Source, Tensor, Weight, Write, gated, matmul, rms_norm, vector};

const ROWS: usize = 37;

struct Bench {
    device: Arc<Cpu>,
    dispatch: Arc<Dispatch>,
    plan: Plan,
    rng: Rng,
}

impl Bench {
    fn new() -> Bench {
        let device = Arc::new(Cpu::new(&Options { threads: Some(2), ..Options::default() }).unwrap());
        let force = ["matmul=cpu/plain".to_owned()];
        let dispatch = Arc::new(Dispatch::new(device.limits().clone(), &force).unwrap());
        let plan = Plan::new(device.clone(), dispatch.clone(), StepRows { tokens: ROWS, outputs: 1 });
        Bench { device, dispatch, plan, rng: Rng(11) }
    }

    fn weights(&mut self, parts: usize, n: usize, k: usize) -> Linear {
        let mut part = || {
            let owner = Arc::new(self.rng.normals(n * k, 0.1));
            let bytes = bytemuck::cast_slice::<f32, u8>(&owner);
            let source = Source { name: "w", dtype: DType::F32, n, k, bytes, owner: owner.clone() };
            (Weight::load(&*self.device, &self.dispatch, &source, &|_| ()).unwrap(), None)
        };
        Linear { parts: (0..parts).map(|_| part()).collect() }
    }

    fn zeros(&self, cols: usize) -> Tensor {
        let t = self.plan.tensor(Rows::Tokens, cols).unwrap();
        t.buffer.write(0, &vec![0; ROWS * cols * 4]).unwrap();
        t
    }
}

fn values(t: &Tensor) -> Vec<f32> {
    let mut v = vec![0.0f32; ROWS * t.cols];
    t.buffer.read(0, bytemuck::cast_slice_mut(&mut v)).unwrap();
    v
}

/// Normed rows through a feed-forward layer, with the two activations between its launches as `lie` has them.
fn feed_forward(lie: impl Fn(&Tensor) -> Tensor) -> Vec<f32> {
    let mut b = Bench::new();
    let (x, y) = (b.zeros(64), b.zeros(48));
    x.buffer.write(0, bytemuck::cast_slice(&b.rng.normals(ROWS * 64, 3.0))).unwrap();
    let norm = vector(&*b.device, &b.rng.normals(64, 1.0)).unwrap();
    let (gate_up, down) = (b.weights(2, 96, 64), b.weights(1, 48, 96));
    let (normed, hidden) = (lie(&b.zeros(64)), lie(&b.zeros(96)));
    let both = b.zeros(192);
    rms_norm(&mut b.plan, &x, &norm, 1e-6, &normed).unwrap();
    gated(&mut b.plan, &normed, &gate_up, &hidden, |_| Ok(both)).unwrap();
    matmul(&mut b.plan, &hidden, &down, &y, Write::Add).unwrap();
    b.plan.run(StepRows { tokens: ROWS, outputs: 1 }).unwrap();
    values(&y)
}

#[test]
fn a_feed_forward_layer_in_tiles_is_that_in_rows() {
    let rows = feed_forward(Tensor::clone);
    let tiles = feed_forward(|t| t.in_tiles().unwrap());
    let largest = rows.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    let difference = rows.iter().zip(&tiles).fold(0.0f32, |m, (a, b)| m.max((a - b).abs()));
    assert!(largest > 1.0 && difference < 0.01 * largest, "{difference} of {largest}");
    assert!(difference > 0.0, "nothing was rounded, so nothing was in tiles");
}

#[test]
fn tiles_where_rows_are_wanted_are_refused() {
    let mut b = Bench::new();
    let (x, y) = (b.zeros(64), b.zeros(96));
    let (tiled_x, tiled_y) = (x.in_tiles().unwrap(), y.in_tiles().unwrap());
    let w = b.weights(1, 96, 64);
    let norm = vector(&*b.device, &[1.0; 32]).unwrap();
    let refused = |result: Result<(), Error>, what: &str| {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(what), "{message}");
    };
    refused(matmul(&mut b.plan, &x, &w, &tiled_y, Write::Store), "in tiles");
    refused(rms_norm(&mut b.plan, &tiled_x, &norm, 1e-6, &x), "in tiles");
    // Two groups a row.
    refused(rms_norm(&mut b.plan, &x, &norm, 1e-6, &tiled_x), "groups of a row in tiles");
}
