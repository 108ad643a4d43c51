//! NumPy's file format, version 1.0 (numpy.lib.format): a header of text, then the values.

use crate::args::Element;
use anyhow::{Context, bail, ensure};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A matrix of f32 that is being written row by row. Its file appears under its name only when it is whole.
pub struct Matrix {
    file: BufWriter<File>,
    temporary: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Matrix {
    /// Starts a matrix of `rows` x `columns`.
    pub fn create(path: &Path, rows: usize, columns: usize) -> anyhow::Result<Matrix> {
        let name = path.file_name().with_context(|| format!("{} is not the name of a file", path.display()))?;
        let temporary = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let file = File::create_new(&temporary).with_context(|| format!("cannot write {}", path.display()))?;
        let mut matrix =
            Matrix { file: BufWriter::with_capacity(1 << 20, file), temporary, path: path.to_owned(), finished: false };
        matrix.write(&header(rows, columns))?;
        Ok(matrix)
    }

    /// Appends a row.
    pub fn row(&mut self, values: &[f32]) -> anyhow::Result<()> {
        let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.write(&bytes)
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> anyhow::Result<()> {
        let failed = || format!("cannot write {}", self.path.display());
        self.file.flush().with_context(failed)?;
        fs::rename(&self.temporary, &self.path).with_context(failed)?;
        self.finished = true;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.file.write_all(bytes).with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Drop for Matrix {
    fn drop(&mut self) {
        if !self.finished {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// An array of any shape, in row-major order.
pub struct Array {
    /// What its elements are.
    pub element: Element,
    /// Its dimensions.
    pub shape: Vec<usize>,
    /// Its values, little-endian.
    pub bytes: Vec<u8>,
}

const TYPES: [(&str, Element); 11] = [
    ("<f2", Element::F16),
    ("<f4", Element::F32),
    ("|i1", Element::Int(1)),
    ("<i2", Element::Int(2)),
    ("<i4", Element::Int(4)),
    ("<i8", Element::Int(8)),
    ("|u1", Element::Uint(1)),
    ("<u2", Element::Uint(2)),
    ("<u4", Element::Uint(4)),
    ("<u8", Element::Uint(8)),
    ("|b1", Element::Bool),
];

/// Reads an array.
///
/// # Errors
/// A file that is no array, or one of a type or order that is not supported.
pub fn read(path: &Path) -> anyhow::Result<Array> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&bytes).with_context(|| format!("{} is not an array that can be used", path.display()))
}

fn parse(file: &[u8]) -> anyhow::Result<Array> {
    let rest = file.strip_prefix(b"\x93NUMPY").context("it is not a NumPy file")?;
    let (length, at) = match rest {
        [1, _, a, b, ..] => (usize::from(u16::from_le_bytes([*a, *b])), 10),
        [2 | 3, _, a, b, c, d, ..] => (u32::from_le_bytes([*a, *b, *c, *d]) as usize, 12),
        _ => bail!("its version is not known"),
    };
    let header = file.get(at..).and_then(|f| f.get(..length)).context("its header is cut off")?;
    let header = std::str::from_utf8(header).context("its header is not text")?;
    let value = |key: &str| {
        let (_, after) = header.split_once(&format!("'{key}':"))?;
        Some(after.trim_start())
    };
    let descr = value("descr").and_then(|v| v.strip_prefix('\'')?.split('\'').next()).context("it has no type")?;
    let known = || TYPES.map(|(n, _)| n).join(", ");
    let found = TYPES.iter().find(|(n, _)| *n == descr);
    let (_, element) = found.with_context(|| format!("its type is {descr}; types that Metal has: {}", known()))?;
    let tuple = value("shape").and_then(|v| v.strip_prefix('(')?.split(')').next()).context("it has no shape")?;
    let sizes = tuple.split(',').map(str::trim).filter(|s| !s.is_empty());
    let shape = sizes.map(str::parse).collect::<Result<Vec<usize>, _>>().context("its shape is not one of sizes")?;
    let columns = value("fortran_order").is_some_and(|v| v.starts_with("True"));
    ensure!(!columns || shape.len() < 2, "it is in column order; save numpy.ascontiguousarray of it");
    let bytes = &file[at + length..];
    let want = shape.iter().try_fold(element.bytes(), |p, &n| p.checked_mul(n));
    ensure!(want == Some(bytes.len()), "it has {} bytes of values, and its shape is ({tuple})", bytes.len());
    Ok(Array { element: *element, shape, bytes: bytes.to_vec() })
}

/// Writes an array; its file appears under its name only when it is whole. bfloat16 is written as u16.
///
/// # Errors
/// A file that cannot be written.
pub fn write(path: &Path, array: &Array) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let name = path.file_name().with_context(|| format!("{} is not the name of a file", path.display()))?;
    let temporary = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
    let element = if array.element == Element::Bf16 { Element::Uint(2) } else { array.element };
    let descr = TYPES.iter().find(|(_, e)| *e == element).map_or("|u1", |(n, _)| n);
    let sizes: String = array.shape.iter().map(|n| format!("{n}, ")).collect();
    let mut bytes = header_of(descr, &sizes);
    bytes.extend(&array.bytes);
    let done = fs::write(&temporary, bytes).and_then(|()| fs::rename(&temporary, path));
    if done.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    done.with_context(failed)
}

/// One value in words.
pub fn text(element: Element, bytes: &[u8]) -> String {
    let mut wide = [0u8; 8];
    wide.iter_mut().zip(bytes).for_each(|(to, b)| *to = *b);
    let bits = u64::from_le_bytes(wide);
    match element {
        Element::F16 => half::f16::from_bits(bits as u16).to_string(),
        Element::Bf16 => half::bf16::from_bits(bits as u16).to_string(),
        Element::F32 => f32::from_bits(bits as u32).to_string(),
        Element::Int(size) => {
            let unused = 64 - 8 * u32::from(size);
            (((bits << unused) as i64) >> unused).to_string()
        }
        Element::Uint(_) => bits.to_string(),
        Element::Bool => (bits != 0).to_string(),
    }
}

fn header(rows: usize, columns: usize) -> Vec<u8> {
    header_of("<f4", &format!("{rows}, {columns}"))
}

/// Magic, version, length and the dictionary, padded so that the values start at a multiple of 64.
fn header_of(descr: &str, shape: &str) -> Vec<u8> {
    const FIXED: usize = 10;
    let mut text = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({shape}), }}");
    let whole = (FIXED + text.len() + 1).next_multiple_of(64);
    text += &" ".repeat(whole - FIXED - text.len() - 1);
    text.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((text.len() as u16).to_le_bytes());
    bytes.extend(text.bytes());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_as_they_were_written() {
        for (element, shape) in [(Element::F32, vec![2, 3]), (Element::Uint(1), vec![5]), (Element::F16, vec![])] {
            let count: usize = shape.iter().product();
            let bytes: Vec<u8> = (0..count * element.bytes()).map(|i| i as u8).collect();
            let path = std::env::temp_dir().join(format!("metallic-npy-{}-{}", std::process::id(), shape.len()));
            write(&path, &Array { element, shape: shape.clone(), bytes: bytes.clone() }).unwrap();
            let got = read(&path).unwrap();
            assert_eq!((got.element, got.shape, got.bytes), (element, shape, bytes));
            fs::remove_file(path).unwrap();
        }
    }

    #[test]
    fn bad_files_are_refused_in_words() {
        let whole = [header_of("<f4", "2, "), vec![0; 8]].concat();
        assert!(parse(&whole).is_ok());
        for cut in 0..whole.len() {
            assert!(parse(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let says = |descr: &str, shape: &str| parse(&header_of(descr, shape)).err().unwrap().to_string();
        assert!(says("<f8", "0, ").contains("types that Metal has"));
        assert!(says("<f4", "99999999999, 99999999999").contains("shape"));
    }

    #[test]
    fn header_is_aligned_and_names_its_length() {
        let h = header(3, 151_936);
        assert_eq!(h.len() % 64, 0);
        assert_eq!(&h[..8], b"\x93NUMPY\x01\x00");
        assert_eq!(u16::from_le_bytes([h[8], h[9]]) as usize, h.len() - 10);
        assert!(h.ends_with(b"\n"));
        assert!(String::from_utf8_lossy(&h).contains("'shape': (3, 151936)"));
    }
}
