//! Weights in device memory, in the layout that the variants chosen for them want.

use std::any::Any;
use std::sync::Arc;

use metallic_device::{Buffer, Device};
use metallic_kernels::DType;
use metallic_kernels::contract::{Flags, Key, Layout};
use metallic_kernels::matmul::{self, pack};

use crate::{Dispatch, Error, Write};

/// A weight matrix as a model file holds it.
pub struct Source<'a> {
    /// Name, for errors.
    pub name: &'a str,
    /// Stored type.
    pub dtype: DType,
    /// Rows.
    pub n: usize,
    /// Columns.
    pub k: usize,
    /// Row-major bytes.
    pub bytes: &'a [u8],
    /// Keeps `bytes` alive.
    pub owner: Arc<dyn Any + Send + Sync>,
}

/// An (n, k) matrix on a device.
#[derive(Clone)]
pub struct Weight {
    /// Its bytes.
    pub buffer: Buffer,
    /// Stored type.
    pub dtype: DType,
    /// Arrangement.
    pub layout: Layout,
    /// Rows.
    pub n: usize,
    /// Columns.
    pub k: usize,
}

/// Rows that one part of a parallel packing takes: whole panels.
const ROWS_PER_PART: usize = 16 * pack::ROWS;

impl Weight {
    /// Brings a matrix into the layout that its matmul variant wants. In file order it is used where it lies, in the mapped
    /// file; else it is packed by all threads, and `release` is called with each range of rows once they are packed.
    ///
    /// # Errors
    /// A size that does not match the shape, no variant for it, no memory, or a panic while packing.
    pub fn load(
        device: &dyn Device,
        dispatch: &Dispatch,
        source: &Source<'_>,
        release: &(dyn Fn(std::ops::Range<usize>) + Sync),
    ) -> Result<Weight, Error> {
        let Source { name, dtype, n, k, .. } = *source;
        let expected = pack::bytes(dtype, Layout::Row, n, k);
        if expected != Some(source.bytes.len()) || n == 0 || k == 0 {
            return Err(Error::Size { name: name.to_owned(), dtype, n, k, expected, got: source.bytes.len() });
        }
        let layout = dispatch.layout(&matmul::key(1, n, k, dtype, Layout::Row, Flags::NONE))?;
        let weight = |buffer| Weight { buffer, dtype, layout, n, k };
        if layout == Layout::Row {
            // SAFETY: the owner keeps the mapped bytes alive, and weights are only ever inputs.
            return Ok(weight(unsafe { device.adopt(source.bytes, source.owner.clone()) }?));
        }
        let bytes = pack::bytes(dtype, layout, n, k).unwrap_or(0);
        let buffer = device.alloc_weight(bytes)?;
        // A device that the host does not reach gets the panels in one copy.
        let mut staging = vec![0; if buffer.host().is_none() { bytes } else { 0 }];
        let to = buffer.host().unwrap_or(staging.as_mut_ptr()) as usize;
        let row = source.bytes.len() / n;
        device.parallel(n.div_ceil(ROWS_PER_PART), &|part| {
            let first = part * ROWS_PER_PART;
            let rows = first..(first + ROWS_PER_PART).min(n);
            // SAFETY: these rows' place in the new memory belongs to this part alone.
            unsafe { pack::pack_rows(dtype, layout, source.bytes, (n, k), rows.clone(), to as *mut u8) };
            release(rows.start * row..rows.end * row);
        })?;
        buffer.write(0, &staging)?;
        Ok(weight(buffer))
    }

    /// Bytes that a step reads of it.
    pub fn bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// A vector of f32 on a device: a norm's weight, a bias.
///
/// # Errors
/// No memory.
pub fn vector(device: &dyn Device, values: &[f32]) -> Result<Buffer, Error> {
    let buffer = device.alloc(values.len() * 4)?;
    // SAFETY: f32 are plain bytes.
    let bytes = unsafe { std::slice::from_raw_parts(values.as_ptr().cast::<u8>(), values.len() * 4) };
    buffer.write(0, bytes)?;
    Ok(buffer)
}

/// The problem that several over the same input are together: panels of one type, whole, all with a bias or none.
pub fn joined(keys: &[Key]) -> Option<Key> {
    let (first, last) = (keys.first()?, keys.last()?);
    let alike = keys.iter().all(|k| Key { n: first.n, ..*k } == *first) && first.layout == Layout::Panel16;
    let whole = keys.iter().all(|k| k.n.is_multiple_of(pack::ROWS) || std::ptr::eq(k, last));
    (alike && whole).then(|| Key { n: keys.iter().map(|k| k.n).sum(), ..*first })
}

/// Matrices that read the same input and write side by side: query, key and value, or gate and up.
pub struct Linear {
    /// Each with the bias of its columns.
    pub parts: Vec<(Weight, Option<Buffer>)>,
}

impl Linear {
    /// All parts as one matrix where [`joined`] says so and the host reaches their memory: one launch serves all, and their
    /// input is converted once.
    ///
    /// # Errors
    /// No memory.
    pub fn join(self, device: &dyn Device) -> Result<Linear, Error> {
        let keys: Vec<Key> = self.parts.iter().map(|(w, b)| crate::part_key(1, w, b.is_some(), Write::Store)).collect();
        let reached = self.parts.iter().all(|(w, _)| w.buffer.host().is_some());
        let Some(key) = joined(&keys).filter(|_| reached && keys.len() > 1) else { return Ok(self) };
        let bytes = |buffer: &Buffer| -> Result<Vec<u8>, Error> {
            let mut bytes = vec![0; buffer.len()];
            buffer.read(0, &mut bytes)?;
            Ok(bytes)
        };
        let buffer = device.alloc_weight(self.parts.iter().map(|(w, _)| w.buffer.len()).sum())?;
        let (mut at, mut biases) = (0, Vec::new());
        for (w, bias) in &self.parts {
            buffer.write(at, &bytes(&w.buffer)?)?;
            at += w.buffer.len();
            biases.extend(bias.as_ref().map_or(Ok(Vec::new()), bytes)?);
        }
        let bias = if biases.is_empty() { None } else { Some(device.alloc(biases.len())?) };
        if let Some(bias) = &bias {
            bias.write(0, &biases)?;
        }
        let weight = Weight { buffer, dtype: key.w, layout: key.layout, n: key.n, k: key.k };
        Ok(Linear { parts: vec![(weight, bias)] })
    }

    /// Output columns of all parts.
    pub fn n(&self) -> usize {
        self.parts.iter().map(|(w, _)| w.n).sum()
    }

    /// Columns of the input.
    pub fn k(&self) -> usize {
        self.parts.first().map_or(0, |(w, _)| w.k)
    }

    /// Bytes that a step reads of it.
    pub fn bytes(&self) -> usize {
        self.parts.iter().map(|(w, b)| w.bytes() + b.as_ref().map_or(0, Buffer::len)).sum()
    }
}
