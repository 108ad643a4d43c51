//! NumPy's file format, version 1.0 (numpy.lib.format): a header of text, then the values.

use anyhow::Context;
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

/// Magic, version, length and the dictionary, padded so that the values start at a multiple of 64.
fn header(rows: usize, columns: usize) -> Vec<u8> {
    const FIXED: usize = 10;
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {columns}), }}");
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
    fn header_is_aligned_and_names_its_length() {
        let h = header(3, 151_936);
        assert_eq!(h.len() % 64, 0);
        assert_eq!(&h[..8], b"\x93NUMPY\x01\x00");
        assert_eq!(u16::from_le_bytes([h[8], h[9]]) as usize, h.len() - 10);
        assert!(h.ends_with(b"\n"));
        assert!(String::from_utf8_lossy(&h).contains("'shape': (3, 151936)"));
    }
}
