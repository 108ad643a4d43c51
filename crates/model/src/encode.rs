//! Producing the rows of a tensor in parallel, in chunks that bound the memory it takes.

use crate::Error;
use crate::gguf_write::Body;
use crate::progress::Meter;
use metallic_kernels::DType;
use metallic_kernels::quant::{can_quantize, quantize};
use rayon::prelude::*;
use std::io::Write;

/// Elements that are produced before they are written.
pub(crate) const CHUNK: usize = 1 << 22;
/// Elements that one thread produces at a time.
const PIECE: usize = 1 << 15;

/// A matrix of `rows` x `cols` to be written as `dtype`.
pub(crate) struct Matrix<'a> {
    pub name: &'a str,
    pub dtype: DType,
    pub rows: usize,
    pub cols: usize,
}

impl Matrix<'_> {
    /// Writes the matrix. `fill` gets the number of a row and whole rows from there on to fill; the result does not
    /// depend on how many threads call it.
    pub fn write<W: Write>(
        &self,
        body: &mut Body<W>,
        meter: &Meter,
        fill: impl Fn(usize, &mut [f32]) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        let row_bytes = self.dtype.bytes(self.cols).filter(|n| *n > 0).ok_or_else(|| self.partial())?;
        let piece_rows = (PIECE / self.cols).max(1);
        let chunk_rows = (CHUNK / self.cols).max(1).next_multiple_of(piece_rows).min(self.rows);
        let mut bytes = vec![0u8; chunk_rows * row_bytes];
        let mut row = 0;
        while row < self.rows {
            let n = chunk_rows.min(self.rows - row);
            let chunk = &mut bytes[..n * row_bytes];
            chunk.par_chunks_mut(piece_rows * row_bytes).enumerate().try_for_each_init(
                Vec::new,
                |values, (i, out)| {
                    meter.check()?;
                    values.resize(out.len() / row_bytes * self.cols, 0.0);
                    fill(row + i * piece_rows, values)?;
                    self.encode(values, out)
                },
            )?;
            body.write(chunk)?;
            meter.advance(chunk.len());
            row += n;
        }
        Ok(())
    }

    fn encode(&self, values: &[f32], out: &mut [u8]) -> Result<(), Error> {
        quantize(self.dtype, values, out).map_err(|source| Error::Quant { name: self.name.to_owned(), source })
    }

    fn partial(&self) -> Error {
        Error::tensor(self.name, format_args!("rows of whole blocks of {}", self.dtype), self.cols)
    }
}

/// The type in which a tensor is written when `wanted` is asked for: vectors stay F32, and rows that are no whole
/// blocks fall back to Q8_0 or else F16.
pub(crate) fn fitting(wanted: DType, shape: &[usize]) -> DType {
    let cols = shape.last().copied().unwrap_or(1);
    match wanted {
        _ if shape.len() < 2 => DType::F32,
        _ if cols.is_multiple_of(wanted.block()) => wanted,
        _ if cols.is_multiple_of(DType::Q8_0.block()) => DType::Q8_0,
        _ => DType::F16,
    }
}

/// Fails for types that nothing can be written in.
pub(crate) fn check_writable(dtype: DType) -> Result<(), Error> {
    if can_quantize(dtype) { Ok(()) } else { Err(Error::CannotConvert { from: DType::F32, to: dtype }) }
}
