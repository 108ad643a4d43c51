//! What must come out of a product, in f64: all of it, or a sample with signed sums of every row.
//!
//! A signed sum over B columns. The op's budget is five standard deviations of an element's error (see `matmul`), and random signs make
//! the errors of a block independent, so their sum has a standard deviation of a fifth of the root of the squares of what each may be
//! off. Six of these are allowed: of a million sums of an honest kernel one in five hundred runs shows one beyond.

use metallic_kernels::act;

use super::*;

/// Columns that are decoded together, and that a sum is over.
const BLOCK: usize = 64;

/// Elements of a sample that lie anywhere.
const ANYWHERE: usize = 2048;

/// Elements of a sample along each edge.
const EDGE: usize = 64;

/// Everything that the output depends on, decoded but for the weights.
pub struct Inputs<'a> {
    shape: &'a MatmulShape,
    params: &'a MatmulParams,
    /// (batch, m, k) of each set.
    x: [Vec<f32>; 2],
    w: &'a [u8],
    gate: &'a [u8],
    bias: Vec<f32>,
    before: Vec<f32>,
}

/// What one block of columns of one problem gives, for each set.
#[derive(Default)]
struct Part {
    /// Place in the output, value and what is allowed.
    elements: [Vec<(usize, f64, f64)>; 2],
    /// Of every row, the sum's value and what is allowed.
    sums: [Vec<(f64, f64)>; 2],
}

impl<'a> Inputs<'a> {
    /// Decodes what is small.
    pub fn new(
        shape: &'a MatmulShape,
        params: &'a MatmulParams,
        x: &[Vec<u8>; 2],
        (w, gate): (&'a [u8], &'a [u8]),
        bias: &[u8],
        before: Option<&[u8]>,
    ) -> Inputs<'a> {
        let (m, k) = (shape.m, shape.k);
        let rows = |x: &Vec<u8>| {
            let values = random::values(shape.act, x);
            if !shape.ta {
                return values;
            }
            let turn = |problem: &[f32]| (0..m * k).map(|at| problem[at % k * m + at / k]).collect::<Vec<f32>>();
            values.chunks(m * k).flat_map(turn).collect()
        };
        Inputs {
            shape,
            params,
            x: x.each_ref().map(rows),
            w,
            gate,
            bias: random::values(shape.act, bias),
            before: before.map_or_else(Vec::new, |b| random::values(shape.act, b)),
        }
    }

    /// The expectation of each set.
    pub fn expect(&self, seed: u64) -> [Oracle; 2] {
        let MatmulShape { m, n, k, batch, .. } = *self.shape;
        let products = [n, k, batch].iter().fold(m, |all, &d| all.saturating_mul(d));
        let whole = products <= WHOLE_PRODUCTS && batch * m * n <= WHOLE_ELEMENTS;
        let sample = if whole { Vec::new() } else { self.sample(seed) };
        let mut rng = Rng(seed ^ 0x5196);
        let signs: Vec<i8> = (0..n).map(|_| if rng.bits() & 1 == 0 { 1 } else { -1 }).collect();
        let blocks = n.div_ceil(BLOCK);
        let linear = !whole && self.shape.activation == Activation::Identity && !self.shape.gated;
        let parts = parallel(batch * blocks, |part| {
            let (b, j0) = (part / blocks, part % blocks * BLOCK);
            let width = BLOCK.min(n - j0);
            let w = self.decode(self.w, b, j0, width);
            let gate = if self.shape.gated { self.decode(self.gate, b, j0, width) } else { Vec::new() };
            let mut out = Part::default();
            for set in 0..2 {
                if whole {
                    (0..m).for_each(|r| self.row(set, (b, r), (j0, width), (&w, &gate), &mut out.elements[set]));
                    continue;
                }
                let inside = |&&(ob, _, j): &&(usize, usize, usize)| ob == b && (j0..j0 + width).contains(&j);
                for &(_, r, j) in sample.iter().filter(inside) {
                    out.elements[set].push(self.element(set, (b, r), j, (&w, &gate), j - j0));
                }
                if linear {
                    out.sums[set] = self.sums(set, b, (j0, width), &w, &signs[j0..]);
                }
            }
            out
        });
        let of = |set: usize| {
            let mut elements: Vec<_> = parts.iter().flat_map(|p| p.elements[set].iter().copied()).collect();
            elements.sort_unstable_by_key(|e| e.0);
            let sums = linear.then(|| {
                // Parts are (problem, block), sums are wanted by (problem, row, block).
                let order = (0..batch)
                    .flat_map(|b| (0..m).flat_map(move |r| (0..blocks).map(move |block| (b * blocks + block, r))));
                let (value, allowed) = order.map(|(part, r)| parts[part].sums[set][r]).unzip();
                Sums { columns: n, block: BLOCK, signs: signs.clone(), value, allowed }
            });
            Oracle {
                at: if whole { Vec::new() } else { elements.iter().map(|e| e.0).collect() },
                value: elements.iter().map(|e| e.1).collect(),
                allowed: elements.iter().map(|e| e.2).collect(),
                sums,
            }
        };
        [of(0), of(1)]
    }

    /// Problems, rows and columns of a sample: corners, edges, and anywhere. Each once.
    fn sample(&self, seed: u64) -> Vec<(usize, usize, usize)> {
        let MatmulShape { m, n, batch, .. } = *self.shape;
        let mut rng = Rng(seed ^ 0x5A3F);
        let mut list = Vec::new();
        let ends = |count: usize| [0, 1, count.saturating_sub(2), count - 1].map(|v| v.min(count - 1));
        for b in [0, batch - 1] {
            list.extend(ends(m).into_iter().flat_map(|r| ends(n).map(|j| (b, r, j))));
            for _ in 0..EDGE {
                list.extend([(b, 0, rng.below(n)), (b, m - 1, rng.below(n))]);
                list.extend([(b, rng.below(m), 0), (b, rng.below(m), n - 1)]);
            }
        }
        list.extend((0..ANYWHERE).map(|_| (rng.below(batch), rng.below(m), rng.below(n))));
        list.sort_unstable();
        list.dedup();
        list
    }

    /// `width` columns of the output as weights: (k, width).
    fn decode(&self, from: &[u8], b: usize, j0: usize, width: usize) -> Vec<f32> {
        let MatmulShape { n, k, w, tb, .. } = *self.shape;
        let bytes = |first: usize, count: usize| {
            let size = |elements: usize| elements / w.block() * w.block_bytes();
            random::values(w, &from[size(first)..size(first + count)])
        };
        let mut out = vec![0.0; k * width];
        if !tb {
            for (i, to) in out.chunks_exact_mut(width).enumerate() {
                to.copy_from_slice(&bytes(b * n * k + i * n + j0, width));
            }
            return out;
        }
        for j in 0..width {
            for (i, v) in bytes(b * n * k + (j0 + j) * k, k).into_iter().enumerate() {
                out[i * width + j] = v;
            }
        }
        out
    }

    fn x_row(&self, set: usize, (b, r): (usize, usize)) -> &[f32] {
        let MatmulShape { m, k, .. } = *self.shape;
        &self.x[set][(b * m + r) * k..][..k]
    }

    /// Every element of a row's block.
    fn row(
        &self,
        set: usize,
        place: (usize, usize),
        (j0, width): (usize, usize),
        (w, gate): (&[f32], &[f32]),
        out: &mut Vec<(usize, f64, f64)>,
    ) {
        let x = self.x_row(set, place);
        let (sums, squares) = products(x, w, width);
        let (gates, gate_squares) = products(x, gate, if gate.is_empty() { 0 } else { width });
        for j in 0..width {
            let other = (!gate.is_empty()).then(|| (gates[j], gate_squares[j].sqrt()));
            out.push(self.finish(place, j0 + j, (sums[j], squares[j].sqrt()), other));
        }
    }

    fn element(
        &self,
        set: usize,
        place: (usize, usize),
        j: usize,
        (w, gate): (&[f32], &[f32]),
        column: usize,
    ) -> (usize, f64, f64) {
        let x = self.x_row(set, place);
        let dot = |w: &[f32]| {
            let width = w.len() / x.len();
            let terms = x.iter().enumerate().map(|(i, &x)| f64::from(x) * f64::from(w[i * width + column]));
            let (sum, squares) = terms.fold((0.0, 0.0), |(sum, squares), t| (sum + t, squares + t * t));
            (sum, squares.sqrt())
        };
        self.finish(place, j, dot(w), (!gate.is_empty()).then(|| dot(gate)))
    }

    /// Place, value and what is allowed of one element, from its sum and the root of the squares of the terms, as the op's cases have it.
    fn finish(
        &self,
        (b, r): (usize, usize),
        j: usize,
        (sum, size): (f64, f64),
        gate: Option<(f64, f64)>,
    ) -> (usize, f64, f64) {
        let MatmulShape { m, n, w, act: dtype, .. } = *self.shape;
        let at = (b * m + r) * n + j;
        let (value, scale) = match gate {
            Some((other, other_size)) => {
                let silu = sum / (1.0 + (-sum).exp());
                (silu * other, 1.1 * size * other.abs() + silu.abs() * other_size + 1e-2 * size * other_size)
            }
            None => {
                let bias = self.bias.get(j).map_or(0.0, |v| f64::from(*v));
                let before = self.before.get(at).map_or(0.0, |v| f64::from(*v));
                let slope = if self.shape.activation == Activation::Identity { 1.0 } else { 1.2 };
                let extra = bias.abs() + (f64::from(self.params.beta) * before).abs();
                let alpha = f64::from(self.shape.alpha).abs();
                (self.params.finish(sum, bias, before), slope * alpha * size + extra * 1e-3)
            }
        };
        let smallest = if dtype == DType::F16 { 3e-8 } else { 1e-30 };
        let rounding = if dtype == DType::F32 { 0.0 } else { act::rounding(dtype) * value.abs() };
        (at, value, (matmul::OP.budget)(w) * scale + rounding + smallest)
    }

    /// Of every row, the signed sum over a block of columns.
    fn sums(&self, set: usize, b: usize, (j0, width): (usize, usize), w: &[f32], signs: &[i8]) -> Vec<(f64, f64)> {
        let MatmulShape { m, n, act: dtype, w: stored, .. } = *self.shape;
        let (alpha, beta) = (f64::from(self.shape.alpha), f64::from(self.shape.beta));
        let signed = |row: &[f32]| row.iter().zip(signs).map(|(v, s)| f64::from(*v) * f64::from(*s)).sum::<f64>();
        let squared = |row: &[f32]| row.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>();
        let (mixed, squares): (Vec<f64>, Vec<f64>) =
            w.chunks_exact(width).map(|row| (signed(row), squared(row))).unzip();
        let bias = self.bias.get(j0..j0 + width).unwrap_or_default();
        let budget = (matmul::OP.budget)(stored);
        let rounding = if dtype == DType::F32 { 6e-8 } else { act::rounding(dtype) };
        (0..m)
            .map(|r| {
                let at = (b * m + r) * n + j0;
                let before = self.before.get(at..at + width).unwrap_or_default();
                let (mut sum, mut size) = (0.0, 0.0);
                for ((&x, mixed), squares) in self.x_row(set, (b, r)).iter().zip(&mixed).zip(&squares) {
                    let x = f64::from(x);
                    sum += x * mixed;
                    size += x * x * squares;
                }
                let value = alpha * sum + signed(bias) + beta * signed(before);
                let extra = squared(bias) + beta * beta * squared(before);
                // A value is about as large as the root of the squares of its terms.
                let off = (budget + 4.0 * rounding).powi(2) * alpha * alpha * size
                    + (1e-3 * budget + 4.0 * rounding).powi(2) * extra;
                (value, 6.0 / 5.0 * off.sqrt() + 1e-7 * (width as f64).sqrt())
            })
            .collect()
    }
}

/// Sums of x times each column of w, (k, width), and of the squares of the terms.
fn products(x: &[f32], w: &[f32], width: usize) -> (Vec<f64>, Vec<f64>) {
    let (mut sums, mut squares) = (vec![0.0; width], vec![0.0; width]);
    if width > 0 {
        for (&x, row) in x.iter().zip(w.chunks_exact(width)) {
            for ((sum, square), &w) in sums.iter_mut().zip(&mut squares).zip(row) {
                let term = f64::from(x) * f64::from(w);
                *sum += term;
                *square += term * term;
            }
        }
    }
    (sums, squares)
}
