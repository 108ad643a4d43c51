//! What must come out, and the comparison with what did.
//!
//! Small outputs are known wholly. Of large products some elements are known, and of every row the sums over blocks of columns with random
//! signs (after Freivalds 1977): a sum over 64 columns costs a 64th of the product, and an element that is wrong by a few hundredths of
//! its size shows in it.

use metallic_kernels::DType;

use super::{parallel, random};

/// Bytes of an output that one thread looks through.
const PIECE: usize = 1 << 20;

/// What one output must hold.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    /// Elements that are known, in ascending order; empty where all are.
    pub at: Vec<usize>,
    /// Their exact values.
    pub value: Vec<f64>,
    /// How far from them an element may be.
    pub allowed: Vec<f64>,
    /// Sums over blocks of columns, where not every element is known.
    pub sums: Option<Sums>,
}

/// Signed sums over blocks of columns, of every row.
#[derive(Clone, Debug)]
pub struct Sums {
    /// Columns of a row.
    pub columns: usize,
    /// Columns of a block; the last may have fewer.
    pub block: usize,
    /// A sign for each column.
    pub signs: Vec<i8>,
    /// Exact sums, row by row.
    pub value: Vec<f64>,
    /// How far from them a sum may be.
    pub allowed: Vec<f64>,
}

/// How an output differs from what must come out.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Wrong {
    /// Elements that nobody wrote.
    #[error("{count} of {elements} elements were not written, the first is {first}")]
    Unwritten {
        /// How many.
        count: usize,
        /// Of how many.
        elements: usize,
        /// The first of them.
        first: usize,
    },
    /// A wrong value.
    #[error("element {at} is {got}, not {want}: off by {error:.3e}, {allowed:.3e} allowed")]
    Value {
        /// Its place in the output.
        at: usize,
        /// What the kernel wrote.
        got: f64,
        /// What the oracle says.
        want: f64,
        /// Distance of the two.
        error: f64,
        /// What the budget allows.
        allowed: f64,
    },
    /// Elements whose signed sum is wrong.
    #[error("elements {from} to {to} hold a wrong one: their signed sum is {got}, not {want}, {allowed:.3e} allowed")]
    Sum {
        /// The first element of the block.
        from: usize,
        /// The last.
        to: usize,
        /// What the kernel's elements add up to.
        got: f64,
        /// What the oracle says.
        want: f64,
        /// What the budget allows.
        allowed: f64,
    },
    /// An output of another size.
    #[error("the output has {got} elements, not {want}")]
    Size {
        /// Its elements.
        got: usize,
        /// Those of the problem.
        want: usize,
    },
}

impl Oracle {
    /// Elements that are compared one by one.
    pub fn compared(&self) -> usize {
        self.value.len()
    }

    /// As [`Oracle::check`], of an output that was poisoned before, so that elements which nobody wrote are told as that.
    ///
    /// # Errors
    /// The first difference.
    pub fn check_poisoned(&self, dtype: DType, bytes: &[u8], elements: usize) -> Result<f64, Wrong> {
        match unwritten(bytes, dtype.block_bytes()) {
            Some((first, count)) => Err(Wrong::Unwritten { count, elements, first }),
            None => self.check(dtype, bytes, elements),
        }
    }

    /// Compares an output of `elements`, and gives the largest error as a part of what is allowed.
    ///
    /// # Errors
    /// The first difference.
    pub fn check(&self, dtype: DType, bytes: &[u8], elements: usize) -> Result<f64, Wrong> {
        let size = dtype.block_bytes();
        if bytes.len() != elements * size {
            return Err(Wrong::Size { got: bytes.len() / size, want: elements });
        }
        let got = random::values(dtype, bytes);
        if got.len() != elements {
            return Err(Wrong::Size { got: got.len(), want: elements });
        }
        let mut worst = 0.0f64;
        for (i, (&want, &allowed)) in self.value.iter().zip(&self.allowed).enumerate() {
            let at = self.at.get(i).copied().unwrap_or(i);
            let got = f64::from(got[at]);
            let error = if got == want { 0.0 } else { (got - want).abs() };
            if error.is_nan() || error > allowed {
                return Err(Wrong::Value { at, got, want, error, allowed });
            }
            worst = worst.max(if allowed > 0.0 { error / allowed } else { 0.0 });
        }
        if let Some(sums) = &self.sums {
            worst = worst.max(sums.check(&got)?);
        }
        Ok(worst)
    }
}

/// The first element that still holds the poison, and how many do.
fn unwritten(bytes: &[u8], size: usize) -> Option<(usize, usize)> {
    let parts = parallel(bytes.len().div_ceil(PIECE), |part| {
        let from = part * PIECE;
        let piece = &bytes[from..(from + PIECE).min(bytes.len())];
        let bare = |element: &&[u8]| element.iter().all(|b| *b == 0xff);
        let count = piece.chunks_exact(size).filter(bare).count();
        let first = piece.chunks_exact(size).position(|element| bare(&element))?;
        Some((from / size + first, count))
    });
    parts.into_iter().flatten().reduce(|a, b| (a.0.min(b.0), a.1 + b.1))
}

impl Sums {
    fn check(&self, got: &[f32]) -> Result<f64, Wrong> {
        let rows = got.len() / self.columns.max(1);
        let worst = parallel(rows, |r| self.row(r, &got[r * self.columns..(r + 1) * self.columns]));
        worst.into_iter().try_fold(0.0, |worst: f64, row| Ok(worst.max(row?)))
    }

    fn row(&self, r: usize, row: &[f32]) -> Result<f64, Wrong> {
        let mut worst = 0.0f64;
        let first = r * self.columns.div_ceil(self.block);
        let known = self.value[first..].iter().zip(&self.allowed[first..]);
        let blocks = row.chunks(self.block).zip(self.signs.chunks(self.block)).zip(known);
        for (b, ((block, signs), (&want, &allowed))) in blocks.enumerate() {
            let sum: f64 = block.iter().zip(signs).map(|(v, s)| f64::from(*v) * f64::from(*s)).sum();
            let error = (sum - want).abs();
            if error.is_nan() || error > allowed {
                let from = r * self.columns + b * self.block;
                return Err(Wrong::Sum { from, to: from + block.len() - 1, got: sum, want, allowed });
            }
            worst = worst.max(error / allowed);
        }
        Ok(worst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn what_is_missing_wrong_or_of_another_size_is_told() {
        let oracle = Oracle { value: vec![1.0, 2.0, 3.0], allowed: vec![0.1; 3], ..Oracle::default() };
        let check = |values: &[f32]| oracle.check_poisoned(DType::F32, &bytes(values), 3);
        assert!(check(&[1.0, 2.05, 3.0]).is_ok_and(|worst| (worst - 0.5).abs() < 1e-6));
        assert!(matches!(check(&[1.0, 2.2, 3.0]), Err(Wrong::Value { at: 1, .. })));
        let poison = f32::from_bits(u32::MAX);
        assert_eq!(check(&[1.0, poison, poison]), Err(Wrong::Unwritten { count: 2, elements: 3, first: 1 }));
        let unpoisoned = oracle.check(DType::F32, &bytes(&[1.0, poison, poison]), 3);
        assert!(matches!(unpoisoned, Err(Wrong::Value { at: 1, .. })));
        assert!(matches!(check(&[1.0, f32::NAN, 3.0]), Err(Wrong::Value { at: 1, .. })));
        assert!(matches!(check(&[1.0, 2.0]), Err(Wrong::Size { got: 2, want: 3 })));
    }

    #[test]
    fn a_block_with_one_wrong_element_is_found() {
        let sums = Sums {
            columns: 5,
            block: 2,
            signs: vec![1, -1, 1, 1, -1],
            value: vec![-1.0, 7.0, -5.0, -1.0, 7.0, -5.0],
            allowed: vec![0.1; 6],
        };
        let oracle = Oracle { at: vec![0], value: vec![1.0], allowed: vec![0.1], sums: Some(sums) };
        let mut y = [1.0, 2.0, 3.0, 4.0, 5.0, 1.0, 2.0, 3.0, 4.0, 5.0];
        assert!(oracle.check_poisoned(DType::F32, &bytes(&y), 10).is_ok());
        y[8] = 4.3;
        let wrong = oracle.check_poisoned(DType::F32, &bytes(&y), 10);
        assert!(matches!(wrong, Err(Wrong::Sum { from: 7, to: 8, .. })), "{wrong:?}");
    }
}
