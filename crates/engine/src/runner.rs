//! Runs batches: one plan a bucket of row counts, built when first needed, over one set of inputs and activations.

use std::sync::Arc;

use metallic_device::{Device, Rows, StepRows};
use metallic_kernels::DType;
use metallic_model::Config;
use metallic_model::arch::{Activations, Batch, Model};
use metallic_model::config::Rope;
use metallic_ops::{BatchIndex, Dispatch, Plan, Tensor};

use crate::Error;
use crate::kv::KvPool;

/// Plans kept. A plan is a few hundred launches and its scratch memory.
const MOST_PLANS: usize = 24;

/// Inputs of a step on the device, and where they are gathered first.
struct Inputs {
    ids: Tensor,       // (T) i32
    slots: Tensor,     // (T) i32
    row_seq: Tensor,   // (T) i32
    positions: Tensor, // (T) i32
    angles: Tensor,    // (T, dims)
    outputs: Tensor,   // (O) i32
    host: Host,
}

#[derive(Default)]
struct Host {
    ids: Vec<i32>,
    slots: Vec<i32>,
    row_seq: Vec<i32>,
    positions: Vec<i32>,
    angles: Vec<f32>,
    outputs: Vec<i32>,
}

/// One token of a batch.
#[derive(Clone, Copy)]
pub(crate) struct Token {
    pub id: u32,
    pub position: usize,
    /// Where its keys and values go.
    pub slot: i32,
    /// Row of the page table.
    pub row: usize,
}

struct Planned {
    rows: StepRows,
    plan: Plan,
    used: u64,
}

pub(crate) struct Runner {
    device: Arc<dyn Device>,
    dispatch: Arc<Dispatch>,
    model: Box<dyn Model>,
    most: StepRows,
    inputs: Inputs,
    activations: Activations,
    frequencies: Vec<f32>,
    magnitude: f32,
    plans: Vec<Planned>,
    clock: u64,
}

impl Runner {
    pub fn new(
        device: Arc<dyn Device>,
        dispatch: Arc<Dispatch>,
        model: Box<dyn Model>,
        config: &Config,
        most: StepRows,
    ) -> Result<Runner, Error> {
        Ok(Runner {
            inputs: Inputs::new(&*device, config.rope.dims, most)?,
            activations: Activations::new(&*device, config, most)?,
            frequencies: config.rope.frequencies(),
            magnitude: config.rope.magnitude(),
            plans: Vec::with_capacity(MOST_PLANS),
            clock: 0,
            device,
            dispatch,
            model,
            most,
        })
    }

    /// Row counts a step may have.
    pub fn most(&self) -> StepRows {
        self.most
    }

    /// Starts a new batch.
    pub fn begin(&mut self) {
        let h = &mut self.inputs.host;
        for list in [&mut h.ids, &mut h.slots, &mut h.row_seq, &mut h.positions, &mut h.outputs] {
            list.clear();
        }
        h.angles.clear();
    }

    /// Adds a token; its place in the batch is the number of those before it.
    pub fn push(&mut self, token: Token) {
        let h = &mut self.inputs.host;
        h.ids.push(token.id as i32);
        h.slots.push(token.slot);
        h.row_seq.push(token.row as i32);
        h.positions.push(token.position as i32);
        let at = h.angles.len();
        h.angles.resize(at + 2 * self.frequencies.len(), 0.0);
        Rope::angles(&self.frequencies, self.magnitude, token.position, &mut h.angles[at..]);
    }

    /// Wants the logits of the token added last. Returns their row.
    pub fn want_logits(&mut self) -> usize {
        let h = &mut self.inputs.host;
        h.outputs.push(h.ids.len() as i32 - 1);
        h.outputs.len() - 1
    }

    /// Runs the batch. Until the next one, [`Runner::logits`] reads its results.
    pub fn run(&mut self, pool: &KvPool) -> Result<(), Error> {
        let h = &self.inputs.host;
        let rows = StepRows { tokens: h.ids.len(), outputs: h.outputs.len() };
        self.inputs.send()?;
        let at = self.plan(rows, pool)?;
        Ok(self.plans[at].plan.run(rows)?)
    }

    /// Copies one row of logits into `out: (V)`.
    pub fn logits(&self, row: usize, out: &mut [f32]) -> Result<(), Error> {
        let t = &self.activations.logits;
        Ok(t.buffer.read((t.offset + row * t.stride) * size_of::<f32>(), bytemuck::cast_slice_mut(out))?)
    }

    /// Drops all plans, and with them their hold on the KV pool's buffers.
    pub fn drop_plans(&mut self) {
        self.plans.clear();
    }

    /// The plan that a step of `rows` runs on.
    pub fn plan_for(&mut self, rows: StepRows, pool: &KvPool) -> Result<&mut Plan, Error> {
        let at = self.plan(rows, pool)?;
        Ok(&mut self.plans[at].plan)
    }

    fn plan(&mut self, rows: StepRows, pool: &KvPool) -> Result<usize, Error> {
        let bucket = StepRows {
            tokens: rows.tokens.max(1).next_power_of_two().min(self.most.tokens),
            outputs: rows.outputs.max(1).next_power_of_two().min(self.most.outputs),
        };
        self.clock += 1;
        if let Some(at) = self.plans.iter().position(|p| p.rows == bucket) {
            self.plans[at].used = self.clock;
            return Ok(at);
        }
        if self.plans.len() == MOST_PLANS
            && let Some(oldest) = (0..self.plans.len()).min_by_key(|&i| self.plans[i].used)
        {
            self.plans.swap_remove(oldest);
        }
        let plan = self.build(bucket, pool)?;
        self.plans.push(Planned { rows: bucket, plan, used: self.clock });
        Ok(self.plans.len() - 1)
    }

    fn build(&self, rows: StepRows, pool: &KvPool) -> Result<Plan, Error> {
        let mut plan = Plan::new(self.device.clone(), self.dispatch.clone(), rows);
        let cut = |t: &Tensor| Tensor { rows: rows.of(t.domain), ..t.clone() };
        let i = &self.inputs;
        let (table, max_pages) = pool.table();
        let batch = Batch {
            ids: cut(&i.ids),
            outputs: cut(&i.outputs),
            index: BatchIndex {
                angles: cut(&i.angles),
                slots: cut(&i.slots),
                row_seq: cut(&i.row_seq),
                positions: cut(&i.positions),
                table: table.clone(),
                max_pages,
            },
            kv: pool.layers(),
            activations: self.activations.first(rows),
        };
        self.model.forward(&mut plan, &batch)?;
        Ok(plan)
    }
}

impl Inputs {
    fn new(device: &dyn Device, dims: usize, most: StepRows) -> Result<Inputs, Error> {
        let tensor = |domain: Rows, cols: usize, dtype: DType| -> Result<Tensor, Error> {
            let rows = most.of(domain);
            let buffer = device.alloc(rows * cols * 4)?;
            Ok(Tensor { buffer, offset: 0, rows, cols, stride: cols, dtype, domain })
        };
        let numbers = |domain| tensor(domain, 1, DType::I32);
        let list = |rows| Vec::with_capacity(rows);
        Ok(Inputs {
            ids: numbers(Rows::Tokens)?,
            slots: numbers(Rows::Tokens)?,
            row_seq: numbers(Rows::Tokens)?,
            positions: numbers(Rows::Tokens)?,
            angles: tensor(Rows::Tokens, dims, DType::F32)?,
            outputs: numbers(Rows::Outputs)?,
            host: Host {
                ids: list(most.tokens),
                slots: list(most.tokens),
                row_seq: list(most.tokens),
                positions: list(most.tokens),
                angles: Vec::with_capacity(most.tokens * dims),
                outputs: list(most.outputs),
            },
        })
    }

    fn send(&self) -> Result<(), Error> {
        let h = &self.host;
        let numbers = [
            (&self.ids, &h.ids),
            (&self.slots, &h.slots),
            (&self.row_seq, &h.row_seq),
            (&self.positions, &h.positions),
            (&self.outputs, &h.outputs),
        ];
        for (to, from) in numbers {
            to.buffer.write(0, bytemuck::cast_slice(from))?;
        }
        Ok(self.angles.buffer.write(0, bytemuck::cast_slice(&h.angles))?)
    }
}
