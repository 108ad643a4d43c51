//! A Plan: the resolved launches of one bucket, recorded once and replayed every step.

use std::sync::Arc;

use metallic_device::{Binding, Buffer, Device, Queue, Record, Rows, StepRows};
use metallic_kernels::DType;
use metallic_kernels::contract::{Key, Op, Params};
use metallic_kernels::matmul;

use crate::{Dispatch, Error};

/// An activation: rows of f32 (or i32) in device memory, one row a token or one row an output.
#[derive(Clone)]
pub struct Tensor {
    /// Where it lies.
    pub buffer: Buffer,
    /// First element.
    pub offset: usize,
    /// Rows at most.
    pub rows: usize,
    /// Columns.
    pub cols: usize,
    /// Elements from one row to the next; 0 for tiles.
    pub stride: usize,
    /// `F32` or `I32`, or `BF16` in tiles.
    pub dtype: DType,
    /// Which row count it follows.
    pub domain: Rows,
}

impl Tensor {
    /// Columns `from..from + cols` of this tensor.
    ///
    /// # Panics
    /// Where they are not all inside.
    pub fn columns(&self, from: usize, cols: usize) -> Tensor {
        assert!(from + cols <= self.cols, "columns {from}..{} of {}", from + cols, self.cols);
        Tensor { offset: self.offset + from, cols, ..self.clone() }
    }

    /// The same memory as bf16 tiles, or `None` where they do not fit into it or would not be whole along the columns.
    pub fn in_tiles(&self) -> Option<Tensor> {
        let fits = fits_tiles(self.rows, self.cols) && self.dtype == DType::F32 && self.stride == self.cols;
        fits.then(|| Tensor { stride: 0, dtype: DType::BF16, ..self.clone() })
    }

    /// Whether it lies in bf16 tiles.
    pub fn tiled(&self) -> bool {
        self.dtype == DType::BF16
    }

    /// Bytes from the first element of the first row to the last of the last.
    pub fn binding(&self) -> Binding {
        if self.tiled() {
            return self.buffer.slice(self.offset * 4, matmul::tiled_bytes(self.rows, self.cols));
        }
        let elements = if self.rows == 0 { 0 } else { (self.rows - 1) * self.stride + self.cols };
        self.buffer.slice(self.offset * 4, elements * 4)
    }
}

/// Whether `rows` rows of `cols` f32 have room for as many in bf16 tiles, whole along the columns.
pub fn fits_tiles(rows: usize, cols: usize) -> bool {
    cols.is_multiple_of(32) && matmul::tiled_bytes(rows, cols) <= rows * cols * 4
}

/// The launches of one bucket, with the activations they use.
pub struct Plan {
    device: Arc<dyn Device>,
    dispatch: Arc<Dispatch>,
    rows: StepRows,
    records: Vec<Record>,
    queue: Option<Box<dyn Queue>>,
}

impl Plan {
    /// An empty plan for at most `rows` a step.
    pub fn new(device: Arc<dyn Device>, dispatch: Arc<Dispatch>, rows: StepRows) -> Plan {
        Plan { device, dispatch, rows, records: Vec::new(), queue: None }
    }

    /// Row counts it is built for.
    pub fn rows(&self) -> StepRows {
        self.rows
    }

    /// Chooses variants for its device.
    pub fn dispatch(&self) -> &Dispatch {
        &self.dispatch
    }

    /// A new f32 activation with one row per `domain` row.
    ///
    /// # Errors
    /// No memory.
    pub fn tensor(&self, domain: Rows, cols: usize) -> Result<Tensor, Error> {
        self.typed(domain, cols, DType::F32)
    }

    /// A new i32 vector with one entry per `domain` row.
    ///
    /// # Errors
    /// No memory.
    pub fn index(&self, domain: Rows) -> Result<Tensor, Error> {
        self.typed(domain, 1, DType::I32)
    }

    fn typed(&self, domain: Rows, cols: usize, dtype: DType) -> Result<Tensor, Error> {
        let rows = self.rows.of(domain);
        let buffer = self.device.alloc(rows * cols * 4)?;
        Ok(Tensor { buffer, offset: 0, rows, cols, stride: cols, dtype, domain })
    }

    /// Records a launch of the variant that dispatch chooses for `key`.
    pub(crate) fn push(
        &mut self,
        op: &'static Op,
        key: Key,
        params: Params,
        rows: Rows,
        operands: Vec<Binding>,
    ) -> Result<(), Error> {
        let variant = self.dispatch.choose(&key)?;
        self.queue = None;
        self.records.push(Record { op, variant, key, params, operands, rows });
        Ok(())
    }

    /// What was recorded, in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Runs every launch once, in order.
    ///
    /// # Errors
    /// More rows than the plan was built for, or a device error.
    pub fn run(&mut self, rows: StepRows) -> Result<(), Error> {
        self.queue_for(rows)?.run(rows).map_err(Error::from)
    }

    /// As [`Plan::run`], adding each launch's seconds to `seconds` (one entry per record).
    ///
    /// # Errors
    /// As [`Plan::run`].
    pub fn profile(&mut self, rows: StepRows, seconds: &mut [f64]) -> Result<(), Error> {
        self.queue_for(rows)?.profile(rows, seconds).map_err(Error::from)
    }

    fn queue_for(&mut self, rows: StepRows) -> Result<&mut Box<dyn Queue>, Error> {
        if rows.tokens > self.rows.tokens || rows.outputs > self.rows.outputs {
            return Err(Error::Rows { got: rows, most: self.rows });
        }
        if self.queue.is_none() {
            self.queue = Some(self.device.queue(&self.records)?);
        }
        self.queue.as_mut().ok_or(Error::Rows { got: rows, most: self.rows })
    }
}
