//! Any opened model to GGUF, in the same or another type.

mod vocabulary;

use crate::config::{self, Arch, Config, Pairing, Vocabulary};
use crate::encode::{CHUNK, Matrix, check_writable, fitting};
use crate::gguf::ALIGNMENT_KEY;
use crate::gguf_write::{Body, GgufWriter};
use crate::progress::{Meter, Progress};
use crate::{Error, Format, ModelFile, TensorInfo};
use metallic_kernels::DType;
use metallic_kernels::quant::{dequantize, quantize as encode};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
pub(crate) use vocabulary::vocabulary;

/// What a conversion did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Bytes of tensors written.
    pub bytes: u64,
    /// What is not as it was asked for, one sentence each.
    pub notes: Vec<String>,
}

/// Writes `src` as one GGUF file. Matrices take the type `dtype`, or keep their own; vectors become F32.
///
/// A safetensors model of the llama family gets its q and k rows permuted for interleaved rotation, and its Llama 3 scaling
/// as the tensor `rope_freqs.weight`, as readers of GGUF expect. The keys of a GGUF source are copied.
///
/// # Errors
/// A type without an encoder, values that it cannot hold, a tokenizer that GGUF has no words for, cancellation, or
/// what the system says. In each case no file is left.
pub fn convert(src: &ModelFile, dst: &Path, dtype: Option<DType>, progress: Progress) -> Result<Summary, Error> {
    let job = Job::new(src, dtype)?;
    let body = job.header()?.create(dst)?;
    job.write(body, progress)?.finish()?;
    Ok(job.summary())
}

/// Writes `src` as a GGUF file with matrices of type `dtype`; the same as [`convert`] to a type.
///
/// # Errors
/// As [`convert`].
pub fn quantize(src: &ModelFile, dst: &Path, dtype: DType, progress: Progress) -> Result<Summary, Error> {
    convert(src, dst, Some(dtype), progress)
}

/// As [`convert`], in memory.
///
/// # Errors
/// As [`convert`].
pub fn convert_bytes(src: &ModelFile, dtype: Option<DType>) -> Result<Vec<u8>, Error> {
    let job = Job::new(src, dtype)?;
    let body = job.header()?.write_to(Vec::new(), Path::new("memory"))?;
    job.write(body, Progress::none())?.into_bytes()
}

struct Job<'a> {
    src: &'a ModelFile,
    dtype: Option<DType>,
    /// Contents of `rope_freqs.weight`, where it has to be made.
    factors: Option<Vec<f32>>,
}

impl<'a> Job<'a> {
    fn new(src: &'a ModelFile, dtype: Option<DType>) -> Result<Job<'a>, Error> {
        if let Some(dtype) = dtype {
            check_writable(dtype)?;
        }
        let factors = match src.format() {
            Format::Safetensors => src.config().rope.llama3_factors(),
            Format::Gguf => None,
        };
        Ok(Job { src, dtype, factors })
    }

    /// The type in which a tensor is written.
    fn target(&self, t: &TensorInfo) -> DType {
        fitting(self.dtype.unwrap_or(t.dtype), &t.shape)
    }

    fn header(&self) -> Result<GgufWriter, Error> {
        let mut w = GgufWriter::new();
        let widest = self.src.tensors().max_by_key(|t| t.elements()).map_or(DType::F32, |t| self.target(t));
        let kind = self.dtype.unwrap_or(widest);
        match self.src.keys() {
            Some(keys) => {
                for (key, value) in keys.header.metadata(keys.bytes) {
                    if key != ALIGNMENT_KEY && !config::is_type_key(key) {
                        w.put(key, value)?;
                    }
                }
                config::write_type(&mut w, kind)?;
            }
            None => {
                self.src.config().write(&mut w, kind)?;
                if self.src.tokenizer_source().is_some() {
                    Vocabulary::of(self.src)?.padded(self.src.config().vocab)?.write(&mut w)?;
                }
            }
        }
        if let Some(f) = &self.factors {
            w.tensor("rope_freqs.weight", DType::F32, &[f.len()])?;
        }
        for t in self.src.tensors() {
            w.tensor(&t.name, self.target(t), &t.shape)?;
        }
        Ok(w)
    }

    fn write<W: Write>(&self, mut body: Body<W>, progress: Progress) -> Result<Body<W>, Error> {
        let meter = Meter::new(progress, self.summary().bytes);
        if let Some(f) = &self.factors {
            let bytes: Vec<u8> = f.iter().flat_map(|v| v.to_le_bytes()).collect();
            body.write(&bytes)?;
            meter.advance(bytes.len());
        }
        for info in self.src.tensors() {
            let bytes = self.src.tensor(&info.name).map(|t| t.bytes).unwrap_or_default();
            let rows = RowOrder::of(self.src, &info.name)?;
            let source = Source { info, bytes, rows };
            source.write(self.target(info), &mut body, &meter)?;
            self.src.release(&info.name);
        }
        Ok(body)
    }

    fn summary(&self) -> Summary {
        let made = self.factors.as_ref().map_or(0, |f| f.len() * 4);
        let mut bytes = made as u64;
        // Rows of equal length share a note: type written, number of tensors, the first one's name.
        let mut fallen: BTreeMap<usize, (DType, usize, &str)> = BTreeMap::new();
        for t in self.src.tensors() {
            let target = self.target(t);
            bytes += target.bytes(t.elements()).unwrap_or(0) as u64;
            if t.shape.len() > 1 && self.dtype.is_some_and(|d| d != target) {
                fallen.entry(t.rows_cols().1).or_insert((target, 0, &t.name)).1 += 1;
            }
        }
        let wanted = self.dtype.unwrap_or(DType::F32);
        let note = |(cols, (target, n, first)): (usize, (DType, usize, &str))| {
            let block = wanted.block();
            format!(
                "{n} tensors ({first}, ...) are {target} instead of {wanted}: rows of {cols} are no blocks of {block}"
            )
        };
        Summary { bytes, notes: fallen.into_iter().map(note).collect() }
    }
}

/// In which order the rows of a tensor are written.
#[derive(Clone, Copy, Debug, PartialEq)]
enum RowOrder {
    Same,
    /// The two halves of each head of this width interleaved.
    Interleaved(usize),
}

impl RowOrder {
    fn of(src: &ModelFile, name: &str) -> Result<RowOrder, Error> {
        let c: &Config = src.config();
        let rotated = ["attn_q.weight", "attn_k.weight", "attn_q.bias", "attn_k.bias"];
        let is =
            c.arch == Arch::Llama && c.rope.pairing == Pairing::Halves && rotated.iter().any(|r| name.ends_with(r));
        match is {
            true if c.rope.dims != c.head_dim => {
                Err(Error::tensor(name, "a head that is rotated as a whole", format_args!("{} elements", c.rope.dims)))
            }
            true => Ok(RowOrder::Interleaved(c.head_dim)),
            false => Ok(RowOrder::Same),
        }
    }

    /// The row of the source that becomes row `row`.
    fn source(self, row: usize) -> usize {
        match self {
            RowOrder::Same => row,
            RowOrder::Interleaved(width) => {
                let (head, i) = (row / width, row % width);
                head * width + i % 2 * (width / 2) + i / 2
            }
        }
    }
}

struct Source<'a> {
    info: &'a TensorInfo,
    bytes: &'a [u8],
    rows: RowOrder,
}

impl Source<'_> {
    fn write<W: Write>(&self, target: DType, body: &mut Body<W>, meter: &Meter) -> Result<(), Error> {
        let (rows, cols) = self.info.rows_cols();
        if self.info.shape.len() < 2 {
            return self.write_vector(target, body, meter);
        }
        if target == self.info.dtype {
            return self.copy(rows, body, meter);
        }
        let row_bytes = self.bytes.len() / rows;
        let matrix = Matrix { name: &self.info.name, dtype: target, rows, cols };
        matrix.write(body, meter, |first, out| {
            for (row, values) in out.chunks_exact_mut(cols).enumerate() {
                let at = self.rows.source(first + row) * row_bytes;
                let bytes = self.bytes.get(at..at + row_bytes).unwrap_or_default();
                dequantize(self.info.dtype, bytes, values).map_err(|e| self.quant(e))?;
            }
            Ok(())
        })
    }

    fn copy<W: Write>(&self, rows: usize, body: &mut Body<W>, meter: &Meter) -> Result<(), Error> {
        let row_bytes = self.bytes.len() / rows;
        let step = match self.rows {
            RowOrder::Same => (CHUNK / row_bytes.max(1)).max(1),
            RowOrder::Interleaved(_) => 1,
        };
        for row in (0..rows).step_by(step) {
            meter.check()?;
            let at = self.rows.source(row) * row_bytes;
            let n = step.min(rows - row) * row_bytes;
            body.write(self.bytes.get(at..at + n).unwrap_or_default())?;
            meter.advance(n);
        }
        Ok(())
    }

    fn write_vector<W: Write>(&self, target: DType, body: &mut Body<W>, meter: &Meter) -> Result<(), Error> {
        let mut values = vec![0.0; self.info.elements()];
        dequantize(self.info.dtype, self.bytes, &mut values).map_err(|e| self.quant(e))?;
        let ordered: Vec<f32> = (0..values.len()).map(|i| values[self.rows.source(i)]).collect();
        let mut bytes = vec![0; target.bytes(values.len()).unwrap_or(0)];
        encode(target, &ordered, &mut bytes).map_err(|e| self.quant(e))?;
        body.write(&bytes)?;
        meter.advance(bytes.len());
        Ok(())
    }

    fn quant(&self, source: metallic_kernels::quant::QuantError) -> Error {
        Error::Quant { name: self.info.name.clone(), source }
    }
}
