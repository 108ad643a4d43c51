//! Typed ops on a Plan: shapes are checked here, once, and a variant is chosen, once.
//!
//! Invariant: nothing here knows a model's name.

pub mod conformance;
mod dispatch;
mod plan;
pub mod tuned;
mod weight;

use metallic_device::{Binding, Buffer, Rows, StepRows};
use metallic_kernels::attention::{self, AttentionParams};
use metallic_kernels::contract::{Flags, Key, Params};
use metallic_kernels::embed::{self, EmbedParams};
use metallic_kernels::gather::{self, GatherParams};
use metallic_kernels::matmul::{self, MatmulParams};
use metallic_kernels::norm::{self, NormParams};
use metallic_kernels::rope::{self, Pairing, RopeParams};
use metallic_kernels::swiglu::{self, SwigluParams};
use metallic_kernels::{DType, kv};

pub use dispatch::{ChooseError, Dispatch, Skipped, Tuned, forced_by_environment};
pub use plan::{Plan, Tensor, fits_tiles};
pub use weight::{Linear, Source, Weight, joined, vector};

/// What can go wrong while a plan is built or run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No variant, or a bad `--force`.
    #[error(transparent)]
    Choose(#[from] ChooseError),
    /// The device failed.
    #[error(transparent)]
    Device(#[from] metallic_device::Error),
    /// A tensor's bytes do not match its shape.
    #[error("tensor {name}: {n}x{k} of {dtype} takes {expected:?} bytes, got {got}")]
    Size {
        /// Tensor.
        name: String,
        /// Stored type.
        dtype: DType,
        /// Rows.
        n: usize,
        /// Columns.
        k: usize,
        /// Bytes that the shape takes; `None` where it has no whole blocks.
        expected: Option<usize>,
        /// Bytes there are.
        got: usize,
    },
    /// Operands of an op do not fit together.
    #[error("{op}: {what} is {got}, expected {expected}")]
    Shape {
        /// The op.
        op: &'static str,
        /// What does not fit.
        what: &'static str,
        /// Expected.
        expected: usize,
        /// Got.
        got: usize,
    },
    /// A step of more rows than the plan was built for.
    #[error("a step of {got:?} on a plan for at most {most:?}")]
    Rows {
        /// Asked for.
        got: StepRows,
        /// Built for.
        most: StepRows,
    },
}

fn expect(op: &'static str, what: &'static str, expected: usize, got: usize) -> Result<(), Error> {
    if expected == got { Ok(()) } else { Err(Error::Shape { op, what, expected, got }) }
}

/// Tensors whose rows belong together have as many, and follow the same count.
fn same_rows<const N: usize>(op: &'static str, first: &Tensor, others: [&Tensor; N]) -> Result<(), Error> {
    for t in others {
        expect(op, "rows of an operand", first.rows, t.rows)?;
        expect(op, "row count that an operand follows", first.domain as usize, t.domain as usize)?;
    }
    Ok(())
}

/// Most kernels write and read rows.
fn in_rows(op: &'static str, t: &Tensor) -> Result<(), Error> {
    expect(op, "activations in tiles where rows are wanted", 0, usize::from(t.tiled()))
}

/// Some kernels take rows that lie one after another.
fn dense(op: &'static str, t: &Tensor) -> Result<(), Error> {
    expect(op, "stride of an operand", t.cols, t.stride)
}

/// Whether a result replaces what is there or is added to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// y = ...
    Store,
    /// y += ...
    Add,
}

/// `y = table[ids]`. ids: (T) i32, y: (T, D).
///
/// # Errors
/// Shapes that do not fit, or no variant.
pub fn embed(plan: &mut Plan, table: &Weight, ids: &Tensor, y: &Tensor) -> Result<(), Error> {
    expect("embed", "columns of y", table.k, y.cols)?;
    dense("embed", y)?;
    same_rows("embed", y, [ids])?;
    let key = embed::key(y.rows, table.n, table.k, table.dtype, table.layout);
    let params =
        EmbedParams { n: table.n as u32, k: table.k as u32, dtype: table.dtype.ggml(), layout: table.layout.number() };
    let operands = vec![y.binding(), ids.binding(), table.buffer.whole()];
    plan.push(&embed::OP, key, Params::new(&params), y.domain, operands)
}

/// y = x / rms(x) * w for each of `groups` groups of a row. In place where x and y are the same.
///
/// # Errors
/// Shapes that do not fit, or no variant.
pub fn rms_norm(plan: &mut Plan, x: &Tensor, w: &Buffer, eps: f32, y: &Tensor) -> Result<(), Error> {
    let k = w.len() / 4;
    same_rows("norm", y, [x])?;
    expect("norm", "columns of y", x.cols, y.cols)?;
    expect("norm", "columns past the last whole group", 0, x.cols % k.max(1))?;
    let groups = x.cols / k.max(1);
    in_rows("norm", x)?;
    if y.tiled() {
        expect("norm", "groups of a row in tiles", 1, groups)?;
    }
    let params = NormParams { k: k as u32, groups: groups as u32, ldx: x.stride as u32, ldy: y.stride as u32, eps };
    let operands = vec![y.binding(), x.binding(), w.whole()];
    let key = written(norm::key(x.rows, groups, k), y);
    plan.push(&norm::OP, key, Params::new(&params), x.domain, operands)
}

/// y = x W^T + b, or y += x W^T + b. x: (T, K), y: (T, N), the parts' columns side by side.
///
/// # Errors
/// Shapes that do not fit, or no variant.
pub fn matmul(plan: &mut Plan, x: &Tensor, w: &Linear, y: &Tensor, write: Write) -> Result<(), Error> {
    same_rows("matmul", y, [x])?;
    expect("matmul", "columns of y", w.n(), y.cols)?;
    in_rows("matmul", y)?;
    let mut from = 0;
    for (w, bias) in &w.parts {
        expect("matmul", "columns of x", w.k, x.cols)?;
        if let Some(b) = bias {
            expect("matmul", "bias", w.n, b.len() / 4)?;
        }
        let key = read(part_key(x.rows, w, bias.is_some(), write), x);
        let (accumulate, biased) = (u32::from(write == Write::Add), u32::from(bias.is_some()));
        let params = MatmulParams { accumulate, bias: biased, ..matmul_params(x, w, y) };
        let bias = bias.as_ref().map_or_else(Binding::default, Buffer::whole);
        let gate = Binding::default();
        let operands = vec![y.columns(from, w.n).binding(), x.binding(), w.buffer.whole(), bias, gate];
        plan.push(&matmul::OP, key, Params::new(&params), x.domain, operands)?;
        from += w.n;
    }
    Ok(())
}

fn part_key(rows: usize, w: &Weight, bias: bool, write: Write) -> Key {
    let mut flags = if bias { Flags::BIAS } else { Flags::NONE };
    if write == Write::Add {
        flags = flags.with(Flags::ACCUMULATE);
    }
    matmul::key(rows, w.n, w.k, w.dtype, w.layout, flags)
}

fn matmul_params(x: &Tensor, w: &Weight, y: &Tensor) -> MatmulParams {
    MatmulParams {
        ldx: x.stride as u32,
        ldy: y.stride as u32,
        dtype: w.dtype.ggml(),
        layout: w.layout.number(),
        act: if x.tiled() { DType::F32 } else { x.dtype }.ggml(),
        ..MatmulParams::new(w.n, w.k)
    }
}

/// y = silu(x G^T) * (x U^T), `w` holding G and U side by side. x: (T, K), y: (T, N / 2). One launch where a variant gates in its
/// epilogue, else a matmul into `both` (made on demand) and a swiglu.
///
/// # Errors
/// Shapes that do not fit, or no variant.
pub fn gated(
    plan: &mut Plan,
    x: &Tensor,
    w: &Linear,
    y: &Tensor,
    both: impl FnOnce(&mut Plan) -> Result<Tensor, Error>,
) -> Result<(), Error> {
    same_rows("gated", y, [x])?;
    expect("gated", "columns of y", w.n(), 2 * y.cols)?;
    if let Some((g, u)) = halves(w)
        && g.k == x.cols
    {
        let key = written(read(gated_key(x.rows, g), x), y);
        if y.tiled() || runs_well(plan.dispatch(), &key) {
            let params = MatmulParams { gated: 1, ..matmul_params(x, g, y) };
            let operands = vec![y.binding(), x.binding(), g.buffer.whole(), Binding::default(), u.buffer.whole()];
            return plan.push(&matmul::OP, key, Params::new(&params), x.domain, operands);
        }
    }
    let both = both(plan)?;
    matmul(plan, x, w, &both, Write::Store)?;
    swiglu(plan, &both, y)
}

/// Gate and up projection, where they are alike and without biases.
fn halves(w: &Linear) -> Option<(&Weight, &Weight)> {
    match w.parts.as_slice() {
        [(g, None), (u, None)] if (g.dtype, g.layout, g.n, g.k) == (u.dtype, u.layout, u.n, u.k) => Some((g, u)),
        _ => None,
    }
}

fn gated_key(rows: usize, gate: &Weight) -> Key {
    matmul::key(rows, gate.n, gate.k, gate.dtype, gate.layout, Flags::GATED)
}

/// `key` with `x` as it lies.
fn read(key: Key, x: &Tensor) -> Key {
    if x.tiled() { key.with(Flags::TILED_X) } else { key }
}

/// `key` with `y` as it lies.
fn written(key: Key, y: &Tensor) -> Key {
    if y.tiled() { key.with(Flags::TILED_Y) } else { key }
}

/// What writes an activation.
#[derive(Clone, Copy)]
pub enum Writer<'a> {
    /// [`rms_norm`] of whole rows.
    Norm,
    /// [`attention()`] over a cache of this type.
    Attention(Heads, DType),
    /// [`gated`], with this gate and up projection.
    Gated(&'a Linear),
}

/// What reads an activation.
#[derive(Clone, Copy)]
pub enum Reader<'a> {
    /// [`matmul()`].
    Product(&'a Linear, Write),
    /// [`gated`].
    Gated(&'a Linear),
}

/// `t` in bf16 tiles where the launches that write it and read it all have variants for that, else as it is. Products round what
/// they read to bf16 anyway; in tiles it takes half the memory, and nothing has to bring it into tiles again.
pub fn between(dispatch: &Dispatch, t: &Tensor, writer: Writer<'_>, reader: Reader<'_>) -> Tensor {
    let first = match writer {
        Writer::Norm => Some(norm::key(t.rows, 1, t.cols)),
        Writer::Attention(h, kv) => Some(attention::key(t.rows, h.heads, h.head_dim, kv)),
        Writer::Gated(w) => halves(w).map(|(gate, _)| gated_key(t.rows, gate)),
    };
    let parts = |w: &Linear, write| w.parts.iter().map(|(w, b)| part_key(t.rows, w, b.is_some(), write)).collect();
    let then: Vec<Key> = match reader {
        Reader::Product(w, write) => parts(w, write),
        Reader::Gated(w) => match halves(w).map(|(gate, _)| gated_key(t.rows, gate)) {
            Some(key) if runs_well(dispatch, &key) => vec![key],
            _ => parts(w, Write::Store),
        },
    };
    let tiles = t.in_tiles().filter(|_| first.is_some_and(|first| passes_tiles(dispatch, first, &then)));
    tiles.unwrap_or_else(|| t.clone())
}

/// Whether the result of `first` can go to all of `then` in tiles.
pub fn passes_tiles(dispatch: &Dispatch, first: Key, then: &[Key]) -> bool {
    runs_well(dispatch, &first.with(Flags::TILED_Y))
        && then.iter().all(|key| runs_well(dispatch, &key.with(Flags::TILED_X)))
}

/// Whether a problem has a variant that names its layout: not the product that accepts everything, which is slower than several fast
/// launches.
pub fn runs_well(dispatch: &Dispatch, key: &Key) -> bool {
    dispatch.choose(key).is_ok_and(|v| v.supports.layout.is_some())
}

/// Head counts and sizes of an attention layer.
#[derive(Clone, Copy, Debug)]
pub struct Heads {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads.
    pub kv_heads: usize,
    /// Elements of a head.
    pub head_dim: usize,
}

impl Heads {
    /// Columns of query, key and value side by side.
    pub fn qkv(&self) -> usize {
        (self.heads + 2 * self.kv_heads) * self.head_dim
    }
}

/// One layer's part of the KV cache.
#[derive(Clone)]
pub struct KvLayer {
    /// Keys, as `kernels::kv` lays them out.
    pub keys: Buffer,
    /// Values.
    pub values: Buffer,
    /// Stored type.
    pub dtype: DType,
}

/// What the tokens of a batch need to know of their sequences.
#[derive(Clone)]
pub struct BatchIndex {
    /// (T, dims / 2, 2) cosines and sines.
    pub angles: Tensor,
    /// (T) i32: page * PAGE + slot where the token's keys go.
    pub slots: Tensor,
    /// (T) i32: row of the page table.
    pub row_seq: Tensor,
    /// (T) i32: position in its sequence.
    pub positions: Tensor,
    /// (sequences, max_pages) i32.
    pub table: Buffer,
    /// Columns of the page table.
    pub max_pages: usize,
}

/// Rotates queries and keys in place and appends keys and values to the cache. qkv: (T, (H + 2 G) D).
///
/// # Errors
/// Shapes that do not fit, or no variant.
pub fn rope_append(
    plan: &mut Plan,
    qkv: &Tensor,
    h: Heads,
    pairing: Pairing,
    kv: &KvLayer,
    batch: &BatchIndex,
) -> Result<(), Error> {
    same_rows("rope", qkv, [&batch.angles, &batch.slots])?;
    dense("rope", &batch.angles)?;
    expect("rope", "columns of qkv", h.qkv(), qkv.cols)?;
    let dims = batch.angles.cols;
    if dims > h.head_dim {
        return Err(Error::Shape { op: "rope", what: "rotated elements", expected: h.head_dim, got: dims });
    }
    let params = RopeParams {
        heads: h.heads as u32,
        kv_heads: h.kv_heads as u32,
        head_dim: h.head_dim as u32,
        dims: dims as u32,
        ld: qkv.stride as u32,
        pairing: pairing as u32,
        kv_dtype: kv.dtype.ggml(),
    };
    let key = rope::key(qkv.rows, h.heads + 2 * h.kv_heads, h.head_dim, kv.dtype);
    let operands =
        vec![qkv.binding(), kv.keys.whole(), kv.values.whole(), batch.angles.binding(), batch.slots.binding()];
    plan.push(&rope::OP, key, Params::new(&params), qkv.domain, operands)
}

/// How far and how sharply attention looks.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Positions seen back, the token's own included; `None` for all.
    pub window: Option<usize>,
    /// Factor on the scores.
    pub scale: f32,
}

/// out = attention of each token over its own sequence's cache. q: (T, H D), out: (T, H D).
///
/// # Errors
/// Shapes that do not fit, or no variant.
pub fn attention(
    plan: &mut Plan,
    q: &Tensor,
    h: Heads,
    look: Look,
    kv: &KvLayer,
    batch: &BatchIndex,
    out: &Tensor,
) -> Result<(), Error> {
    same_rows("attention", q, [out, &batch.row_seq, &batch.positions])?;
    expect("attention", "columns of q", h.heads * h.head_dim, q.cols)?;
    expect("attention", "columns of out", h.heads * h.head_dim, out.cols)?;
    expect("attention", "query heads past the last whole group", 0, h.heads % h.kv_heads.max(1))?;
    if kv::row_bytes(kv.dtype, h.head_dim).is_none() {
        return Err(Error::Shape {
            op: "attention",
            what: "head size for this KV type",
            expected: 32,
            got: h.head_dim,
        });
    }
    let params = AttentionParams {
        heads: h.heads as u32,
        kv_heads: h.kv_heads as u32,
        head_dim: h.head_dim as u32,
        max_pages: batch.max_pages as u32,
        ldq: q.stride as u32,
        ldo: out.stride as u32,
        window: look.window.unwrap_or(0) as u32,
        kv_dtype: kv.dtype.ggml(),
        scale: look.scale,
    };
    let operands = vec![
        out.binding(),
        q.binding(),
        kv.keys.whole(),
        kv.values.whole(),
        batch.table.whole(),
        batch.row_seq.binding(),
        batch.positions.binding(),
    ];
    let key = written(attention::key(q.rows, h.heads, h.head_dim, kv.dtype), out);
    plan.push(&attention::OP, key, Params::new(&params), q.domain, operands)
}

/// `y = silu(g[:, :K]) * g[:, K:]`. g: (T, 2 K), y: (T, K).
///
/// # Errors
/// Shapes that do not fit, or no variant.
pub fn swiglu(plan: &mut Plan, g: &Tensor, y: &Tensor) -> Result<(), Error> {
    expect("swiglu", "columns of g", 2 * y.cols, g.cols)?;
    same_rows("swiglu", y, [g])?;
    dense("swiglu", g)?;
    dense("swiglu", y)?;
    let params = SwigluParams { k: y.cols as u32 };
    let operands = vec![y.binding(), g.binding()];
    plan.push(&swiglu::OP, swiglu::key(y.rows, y.cols), Params::new(&params), y.domain, operands)
}

/// `y = x[index]`. x: (T, D), index: (O) i32, y: (O, D).
///
/// # Errors
/// Shapes that do not fit, or no variant.
pub fn gather(plan: &mut Plan, x: &Tensor, index: &Tensor, y: &Tensor) -> Result<(), Error> {
    same_rows("gather", y, [index])?;
    dense("gather", x)?;
    dense("gather", y)?;
    expect("gather", "columns of y", x.cols, y.cols)?;
    expect("gather", "rows that y follows", Rows::Outputs as usize, y.domain as usize)?;
    let params = GatherParams { k: x.cols as u32 };
    let operands = vec![y.binding(), x.binding(), index.binding()];
    plan.push(&gather::OP, gather::key(y.rows, y.cols), Params::new(&params), y.domain, operands)
}
