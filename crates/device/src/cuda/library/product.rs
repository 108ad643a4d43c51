//! A matmul as NVIDIA's libraries take it: column by column, and so with every matrix transposed and w first.

use std::ffi::c_int;

use metallic_kernels::DType;
use metallic_kernels::matmul::MatmulParams;

use super::Unfit;
use crate::Record;

/// A matrix as the libraries see it: `ld` elements from one column to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Matrix {
    pub address: u64,
    pub transposed: bool,
    pub rows: c_int,
    pub cols: c_int,
    pub ld: c_int,
    /// Elements from one problem to the next.
    pub stride: i64,
}

/// A matmul as the libraries take it: y^T (n, m) = alpha op(w) op(x) + beta y^T, and a bias for each of its n rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Product {
    pub kind: Kind,
    pub m: c_int,
    pub n: c_int,
    pub k: c_int,
    pub batch: c_int,
    pub w: Matrix,
    pub x: Matrix,
    pub y: Matrix,
    pub bias: Option<u64>,
    pub alpha: f32,
    pub beta: f32,
}

/// A type of elements, as its number in `cudaDataType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Kind {
    F32 = 0,
    F16 = 2,
    BF16 = 14,
}

impl Product {
    /// The product of `record`, with operands at `addresses`; else why it is none of the libraries'.
    pub fn of(record: &Record, addresses: &[u64]) -> Result<Product, Unfit> {
        let key = &record.key;
        let (&[y, x, w, bias, ..], "matmul") = (addresses, record.op.name) else {
            return Err(Unfit::Op { op: record.op.name, operands: addresses.len() });
        };
        let kind = match (key.w, key.act) {
            (DType::F32, DType::F32) => Kind::F32,
            (DType::F16, DType::F16) => Kind::F16,
            (DType::BF16, DType::BF16) => Kind::BF16,
            (w, act) => return Err(Unfit::Types { w, act }),
        };
        let int = |v: usize| c_int::try_from(v).map_err(|_| Unfit::Size(v));
        let word = |v: u32| int(v as usize);
        let p: &MatmulParams = record.params.get();
        let (m, n, k) = (int(key.m)?, int(key.n)?, int(key.k)?);
        let matrix = |address, transposed, [rows, cols]: [c_int; 2], ld, stride: u32| {
            let [rows, cols] = if transposed { [cols, rows] } else { [rows, cols] };
            Matrix { address, transposed, rows, cols, ld, stride: i64::from(stride) }
        };
        let (w_stored, x_stored) = (p.transpose_b != 0, p.transpose_a != 0);
        Ok(Product {
            kind,
            m,
            n,
            k,
            batch: word(p.batch)?,
            w: matrix(w, w_stored, [n, k], if w_stored { k } else { n }, p.bw),
            x: matrix(x, x_stored, [k, m], word(p.ldx)?, p.bx),
            y: matrix(y, false, [n, m], word(p.ldy)?, p.by),
            bias: (p.bias != 0).then_some(bias),
            alpha: p.alpha,
            beta: if p.accumulate != 0 { p.beta } else { 0.0 },
        })
    }

    /// Bytes from the first element of y to the last.
    pub fn y_bytes(&self) -> usize {
        let size = if self.kind == Kind::F32 { 4 } else { 2 };
        let last = i64::from(self.batch - 1) * self.y.stride + i64::from(self.m - 1) * i64::from(self.y.ld);
        (last.max(0) as usize + self.n as usize) * size
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use metallic_kernels::contract::{Case, Flags, Layout, Limits, Operand, Target, Variant};
    use metallic_kernels::matmul::OP;
    use metallic_kernels::{DType, quant};

    use super::{Matrix, Product, Unfit};
    use crate::{Binding, Record, Rows};

    fn record(case: &Case, variant: &Arc<Variant>) -> Record {
        let operands = vec![Binding::default(); case.operands.len()];
        let (key, params) = (case.key, case.params);
        Record { op: &OP, variant: variant.clone(), key, params, operands, rows: Rows::Tokens }
    }

    fn product(case: &Case, variant: &Arc<Variant>, addresses: &[u64]) -> Product {
        Product::of(&record(case, variant), addresses).unwrap()
    }

    /// Element (row, col) of op(M) in problem b, as the libraries' manuals define it.
    fn at(m: &Matrix, b: usize, row: usize, col: usize) -> usize {
        let (row, col) = if m.transposed { (col, row) } else { (row, col) };
        assert!((row as i32) < m.rows && (col as i32) < m.cols && m.rows <= m.ld.max(1), "{m:?}");
        b * m.stride as usize + col * m.ld as usize + row
    }

    fn values(operand: &Operand) -> Vec<f64> {
        let mut decoded = vec![0.0; operand.bytes.len() / operand.dtype.block_bytes()];
        quant::dequantize(operand.dtype, &operand.bytes, &mut decoded).unwrap();
        decoded.into_iter().map(f64::from).collect()
    }

    /// What the manuals say that a library computes for a product, against what the op's cases expect.
    #[test]
    fn products_say_what_the_formula_says() {
        let limits = Limits {
            targets: vec![Target::Library],
            features: vec!["cublas", "cublaslt"],
            max_threads: 1024,
            threadgroup_bytes: 0,
        };
        let (mut seen, cases) = (0, (OP.cases)());
        for variant in OP.variants().unwrap().into_iter().map(Arc::new) {
            for case in cases.iter().filter(|c| variant.supports(&c.key, &limits).is_ok()) {
                seen += 1;
                let p = product(case, &variant, &[0, 1, 2, 3, 4]);
                assert_eq!([p.y.address, p.x.address, p.w.address], [0, 1, 2]);
                assert_eq!(p.bias, case.key.flags.has(Flags::BIAS).then_some(3));
                let [y, x, w, bias, ..] = &case.operands[..] else { panic!("too few operands") };
                assert!(p.y_bytes() <= y.bytes.len());
                let [y, x, w, bias] = [y, x, w, bias].map(values);
                let expect = &case.expect[0];
                for (i, &to) in expect.at.iter().enumerate().step_by(7) {
                    let (m, n) = (p.m as usize, p.n as usize);
                    let (b, r, j) = (i / (m * n), i / n % m, i % n);
                    assert_eq!(at(&p.y, b, j, r), to);
                    let term = |l| w[at(&p.w, b, j, l)] * x[at(&p.x, b, l, r)];
                    let sum: f64 = (0..p.k as usize).map(term).sum();
                    let bias = p.bias.map_or(0.0, |_| bias[j]);
                    let before = if p.beta == 0.0 { 0.0 } else { y[to] };
                    let got = f64::from(p.alpha) * sum + f64::from(p.beta) * before + bias;
                    let error = (got - expect.value[i]).abs();
                    assert!(error <= 1e-6 * (expect.scale[i] + 1.0), "{}: {got} {}", case.name, expect.value[i]);
                }
            }
        }
        assert!(seen > 40, "only {seen} cases");
    }

    #[test]
    fn operands_of_two_types_are_refused() {
        let variant = Arc::new(OP.variants().unwrap().into_iter().find(|v| v.library().is_some()).unwrap());
        let mut case = (OP.cases)().into_iter().find(|c| c.key.w == DType::F16).unwrap();
        (case.key.act, case.key.layout) = (DType::F32, Layout::Row);
        let why = |operands: &[u64]| Product::of(&record(&case, &variant), operands).unwrap_err();
        assert_eq!(why(&[0; 5]), Unfit::Types { w: DType::F16, act: DType::F32 });
        assert_eq!(why(&[0; 2]), Unfit::Op { op: "matmul", operands: 2 });
    }
}
