//! A shape with data: operands in the op's order, and what must come out of them.
//!
//! An op becomes measurable by a module here that makes its [`Problem`], and a [`Shape`] that names it. Two sets of inputs are made: a
//! variant is checked with the first before it is timed and with the second afterwards, so that what it returns must come from what it
//! reads.

mod matmul;
mod oracle;
mod random;
mod softmax;

use metallic_kernels::DType;
use metallic_kernels::contract::{Key, Layout, Op, Params};
use metallic_kernels::matmul::MatmulParams;

use crate::spec::Shape;

pub use oracle::{Oracle, Sums, Wrong};

/// An operand of a problem.
#[derive(Clone, Debug)]
pub enum Operand {
    /// What is written.
    Output {
        /// What it holds before, where that counts.
        before: Option<Vec<u8>>,
    },
    /// Read; one for each set of inputs.
    Changing([Vec<u8>; 2]),
    /// Read; the same in both sets.
    Fixed(Vec<u8>),
    /// Read; brought into the layout that a variant wants.
    Stored(Vec<u8>),
    /// Not there.
    Absent,
}

/// Arguments of the op, but for the layout of what is stored.
#[derive(Clone, Copy, Debug)]
pub enum Arguments {
    /// A product's.
    Matmul(MatmulParams),
    /// Those of an op without a stored operand.
    Plain(Params),
}

/// A shape with data.
#[derive(Clone)]
pub struct Problem {
    /// The op.
    pub op: &'static Op,
    /// The problem, its stored operand in `Layout::Row`.
    pub key: Key,
    /// How people read it.
    pub title: String,
    /// What the key does not say.
    pub detail: String,
    /// Fewest bytes that must move.
    pub bytes: u64,
    /// Operations.
    pub flops: u64,
    /// Operands in the op's order.
    pub operands: Vec<Operand>,
    /// Type of the output.
    pub output: DType,
    /// Elements of the output.
    pub elements: usize,
    /// What must come out, for each set of inputs.
    pub expect: [Oracle; 2],
    /// The op's arguments.
    pub arguments: Arguments,
}

/// The key of a shape, without its data.
pub fn key(shape: &Shape) -> Key {
    match shape {
        Shape::Matmul(s) => matmul::key(s),
        Shape::Softmax(s) => softmax::key(s),
    }
}

impl Problem {
    /// A problem of this shape with seeded random data.
    pub fn new(shape: &Shape, seed: u64) -> Problem {
        match shape {
            Shape::Matmul(s) => matmul::problem(s, &shape.title(), seed),
            Shape::Softmax(s) => softmax::problem(s, &shape.title(), seed),
        }
    }

    /// The op's argument struct for a stored operand in `layout`.
    pub fn params(&self, layout: Layout) -> Params {
        match &self.arguments {
            Arguments::Matmul(p) => Params::new(&MatmulParams { layout: layout.number(), ..*p }),
            Arguments::Plain(p) => *p,
        }
    }

    /// The bytes of a stored operand in `layout`; `None` where it has no such form.
    pub fn packed(&self, rows: &[u8], layout: Layout) -> Option<Vec<u8>> {
        if layout == Layout::Row {
            return Some(rows.to_vec());
        }
        matmul::packed(&self.key, rows, layout)
    }

    /// Whether anything that is stored has another layout.
    pub fn has_stored(&self) -> bool {
        self.operands.iter().any(|o| matches!(o, Operand::Stored(_)))
    }

    /// Bytes of the output.
    pub fn output_bytes(&self) -> usize {
        self.elements * self.output.block_bytes()
    }
}

/// Threads for making data and expectations.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}

/// Runs `job` for every part below `parts` on all threads, and gives what each returned, in order.
fn parallel<T: Send>(parts: usize, job: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let part = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if part >= parts {
                return done;
            }
            done.push((part, job(part)));
        }
    };
    let mut all: Vec<(usize, T)> = std::thread::scope(|s| {
        let helpers: Vec<_> = (1..threads().min(parts)).map(|_| s.spawn(work)).collect();
        let mut all = work();
        for helper in helpers {
            match helper.join() {
                Ok(done) => all.extend(done),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        all
    });
    all.sort_by_key(|(part, _)| *part);
    all.into_iter().map(|(_, value)| value).collect()
}
