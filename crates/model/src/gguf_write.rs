//! Writing GGUF version 3. Tensors stream through; a file appears under its name only when it is whole.

use crate::Error;
use crate::gguf::{DEFAULT_ALIGNMENT, Kind, Value};
use metallic_kernels::DType;
use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The header of a file to be: metadata, and the tensors in the order in which they will be written.
#[derive(Debug, Default)]
pub struct GgufWriter {
    kvs: Vec<u8>,
    n_kvs: u64,
    keys: HashSet<String>,
    tensors: Vec<Planned>,
}

#[derive(Debug)]
struct Planned {
    name: String,
    dtype: DType,
    shape: Vec<usize>,
    len: usize,
}

impl GgufWriter {
    /// An empty file.
    pub fn new() -> GgufWriter {
        GgufWriter::default()
    }

    /// Adds a value. Arrays are copied as they are.
    ///
    /// # Errors
    /// The key is there already.
    pub fn put(&mut self, key: &str, value: Value) -> Result<(), Error> {
        self.start(key, value.kind())?;
        let out = &mut self.kvs;
        match value {
            Value::U8(v) => out.push(v),
            Value::I8(v) => out.push(v as u8),
            Value::Bool(v) => out.push(v.into()),
            Value::U16(v) => out.extend(v.to_le_bytes()),
            Value::I16(v) => out.extend(v.to_le_bytes()),
            Value::U32(v) => out.extend(v.to_le_bytes()),
            Value::I32(v) => out.extend(v.to_le_bytes()),
            Value::F32(v) => out.extend(v.to_le_bytes()),
            Value::U64(v) => out.extend(v.to_le_bytes()),
            Value::I64(v) => out.extend(v.to_le_bytes()),
            Value::F64(v) => out.extend(v.to_le_bytes()),
            Value::Str(s) => string(out, s.as_bytes()),
            Value::Array(a) => {
                out.extend((a.kind() as u32).to_le_bytes());
                out.extend((a.len() as u64).to_le_bytes());
                out.extend(a.raw());
            }
        }
        Ok(())
    }

    /// Adds an array of strings, which need not be UTF-8.
    ///
    /// # Errors
    /// The key is there already.
    pub fn put_strings<S: AsRef<[u8]>>(&mut self, key: &str, items: &[S]) -> Result<(), Error> {
        self.start_array(key, Kind::Str, items.len())?;
        items.iter().for_each(|s| string(&mut self.kvs, s.as_ref()));
        Ok(())
    }

    /// Adds an array of f32.
    ///
    /// # Errors
    /// The key is there already.
    pub fn put_f32s(&mut self, key: &str, items: &[f32]) -> Result<(), Error> {
        self.start_array(key, Kind::F32, items.len())?;
        items.iter().for_each(|v| self.kvs.extend(v.to_le_bytes()));
        Ok(())
    }

    /// Adds an array of i32.
    ///
    /// # Errors
    /// The key is there already.
    pub fn put_i32s(&mut self, key: &str, items: &[i32]) -> Result<(), Error> {
        self.start_array(key, Kind::I32, items.len())?;
        items.iter().for_each(|v| self.kvs.extend(v.to_le_bytes()));
        Ok(())
    }

    /// Announces the next tensor; `shape` is row-major, outermost first.
    ///
    /// # Errors
    /// Dimensions that the format or the type does not allow.
    pub fn tensor(&mut self, name: &str, dtype: DType, shape: &[usize]) -> Result<(), Error> {
        let rows_fit = shape.last().is_some_and(|k| k.is_multiple_of(dtype.block()));
        let elements = shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).filter(|n| *n > 0);
        match elements.and_then(|n| dtype.bytes(n)) {
            Some(len) if rows_fit && (1..=4).contains(&shape.len()) => {
                self.tensors.push(Planned { name: name.to_owned(), dtype, shape: shape.to_vec(), len });
                Ok(())
            }
            _ => Err(Error::tensor(name, format_args!("1 to 4 dimensions that {dtype} allows"), format!("{shape:?}"))),
        }
    }

    /// Bytes of all announced tensors.
    pub fn tensor_bytes(&self) -> u64 {
        self.tensors.iter().map(|t| t.len as u64).sum()
    }

    /// Writes the header to a new file next to `dst`, which takes the name `dst` when [`Body::finish`] is called.
    ///
    /// # Errors
    /// What the system says.
    pub fn create(self, dst: &Path) -> Result<Body<PendingFile>, Error> {
        let out = PendingFile::create(dst)?;
        self.write_to(out, dst)
    }

    /// Writes the header to `out`; `path` is what errors call it.
    ///
    /// # Errors
    /// What the system says.
    pub fn write_to<W: Write>(self, mut out: W, path: &Path) -> Result<Body<W>, Error> {
        let mut head = Vec::with_capacity(self.kvs.len() + 24 + self.tensors.len() * 96);
        head.extend(b"GGUF");
        head.extend(3u32.to_le_bytes());
        head.extend((self.tensors.len() as u64).to_le_bytes());
        head.extend(self.n_kvs.to_le_bytes());
        head.extend(&self.kvs);
        let mut offset = 0usize;
        for t in &self.tensors {
            string(&mut head, t.name.as_bytes());
            head.extend((t.shape.len() as u32).to_le_bytes());
            t.shape.iter().rev().for_each(|d| head.extend((*d as u64).to_le_bytes()));
            head.extend(t.dtype.ggml().to_le_bytes());
            head.extend((offset as u64).to_le_bytes());
            offset += t.len.next_multiple_of(DEFAULT_ALIGNMENT);
        }
        head.resize(head.len().next_multiple_of(DEFAULT_ALIGNMENT), 0);
        out.write_all(&head).map_err(Error::write(path))?;
        Ok(Body { out, path: path.to_owned(), tensors: self.tensors, current: 0, written: 0 })
    }

    fn start(&mut self, key: &str, kind: Kind) -> Result<(), Error> {
        if !self.keys.insert(key.to_owned()) {
            return Err(Error::key(key, "every key once", "the key twice"));
        }
        self.n_kvs += 1;
        string(&mut self.kvs, key.as_bytes());
        self.kvs.extend((kind as u32).to_le_bytes());
        Ok(())
    }

    fn start_array(&mut self, key: &str, kind: Kind, len: usize) -> Result<(), Error> {
        self.start(key, Kind::Array)?;
        self.kvs.extend((kind as u32).to_le_bytes());
        self.kvs.extend((len as u64).to_le_bytes());
        Ok(())
    }
}

fn string(out: &mut Vec<u8>, s: &[u8]) {
    out.extend((s.len() as u64).to_le_bytes());
    out.extend(s);
}

/// A file whose header is written and whose tensors are being written, in the announced order.
#[derive(Debug)]
pub struct Body<W> {
    out: W,
    path: PathBuf,
    tensors: Vec<Planned>,
    current: usize,
    written: usize,
}

impl<W: Write> Body<W> {
    /// Writes the next bytes of the current tensor; at its end the next one becomes current.
    ///
    /// # Errors
    /// What the system says, or bytes beyond the announced ones.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Some(t) = self.tensors.get(self.current) else {
            return Err(Error::tensor("", "no bytes after the last tensor", bytes.len()));
        };
        let left = t.len - self.written;
        if bytes.len() > left {
            return Err(Error::tensor(&t.name, format_args!("at most {left} bytes more"), bytes.len()));
        }
        self.out.write_all(bytes).map_err(Error::write(&self.path))?;
        self.written += bytes.len();
        if self.written == t.len {
            let padding = t.len.next_multiple_of(DEFAULT_ALIGNMENT) - t.len;
            self.out.write_all(&[0; DEFAULT_ALIGNMENT][..padding]).map_err(Error::write(&self.path))?;
            self.current += 1;
            self.written = 0;
        }
        Ok(())
    }

    fn complete(mut self) -> Result<W, Error> {
        if let Some(t) = self.tensors.get(self.current) {
            return Err(Error::tensor(&t.name, format_args!("{} bytes", t.len), self.written));
        }
        self.out.flush().map_err(Error::write(&self.path))?;
        Ok(self.out)
    }
}

impl Body<PendingFile> {
    /// Gives the file its name.
    ///
    /// # Errors
    /// What the system says, or tensors that were announced and not written.
    pub fn finish(self) -> Result<(), Error> {
        self.complete()?.commit()
    }
}

impl Body<Vec<u8>> {
    /// The whole file.
    ///
    /// # Errors
    /// Tensors that were announced and not written.
    pub fn into_bytes(self) -> Result<Vec<u8>, Error> {
        self.complete()
    }
}

/// A file under a temporary name in the folder of its final one. It is removed unless committed.
#[derive(Debug)]
pub struct PendingFile {
    file: Option<BufWriter<File>>,
    temporary: PathBuf,
    dst: PathBuf,
}

impl PendingFile {
    fn create(dst: &Path) -> Result<PendingFile, Error> {
        let name = dst.file_name().ok_or_else(|| Error::Write {
            path: dst.to_owned(),
            source: std::io::Error::new(std::io::ErrorKind::InvalidInput, "not the name of a file"),
        })?;
        let mut hidden = std::ffi::OsString::from(".");
        hidden.push(name);
        hidden.push(format!(".{}.part", std::process::id()));
        let temporary = dst.with_file_name(hidden);
        let file = OpenOptions::new().write(true).create_new(true).open(&temporary).map_err(Error::write(dst))?;
        Ok(PendingFile { file: Some(BufWriter::with_capacity(1 << 20, file)), temporary, dst: dst.to_owned() })
    }

    fn commit(mut self) -> Result<(), Error> {
        // Closed before it is renamed, which Windows insists on.
        drop(self.file.take());
        std::fs::rename(&self.temporary, &self.dst).map_err(Error::write(&self.dst))?;
        self.temporary.clear();
        Ok(())
    }
}

impl Write for PendingFile {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match &mut self.file {
            Some(f) => f.write(bytes),
            None => Ok(0),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for PendingFile {
    fn drop(&mut self) {
        drop(self.file.take());
        if !self.temporary.as_os_str().is_empty() {
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}
