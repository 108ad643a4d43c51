//! Files that appear under their names only when they are whole.

use anyhow::Context;
use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::{Path, PathBuf};

/// Stands for standard output where a file is asked for.
pub const STDOUT: &str = "-";

/// Whether `path` stands for standard output.
pub fn is_stdout(path: &Path) -> bool {
    path == Path::new(STDOUT)
}

/// Fails where `path` could not be written: better said before minutes of measuring than after.
pub fn writable(path: &Path) -> anyhow::Result<()> {
    if is_stdout(path) || is_special(path) {
        return Ok(());
    }
    let exists = if path.is_file() { OpenOptions::new().append(true).open(path).map(drop) } else { Ok(()) };
    exists.and_then(|()| Pending::create(path).map(drop)).with_context(|| cannot(path))
}

/// Writes a file; it holds what it held before, or is not there, until all of `content` is written.
pub fn write(path: &Path, content: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let whole = || {
        if is_special(path) {
            let mut out = BufWriter::new(OpenOptions::new().write(true).open(path)?);
            content(&mut out)?;
            return Ok(out.flush()?);
        }
        let (pending, file) = Pending::create(path)?;
        let mut out = BufWriter::new(file);
        content(&mut out)?;
        out.flush()?;
        // Closed before it is renamed, which Windows insists on.
        drop(out);
        Ok::<_, anyhow::Error>(pending.commit()?)
    };
    whole().with_context(|| cannot(path))
}

fn cannot(path: &Path) -> String {
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty() && !f.exists());
    match folder {
        Some(folder) => format!("cannot write {}: make the folder {} first", path.display(), folder.display()),
        None => format!("cannot write {}", path.display()),
    }
}

/// A pipe or a device, which cannot be replaced.
fn is_special(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|m| !m.is_file() && !m.is_dir())
}

/// A file under another name in the same folder, removed where it is not committed.
struct Pending {
    temporary: PathBuf,
    path: PathBuf,
}

impl Pending {
    fn create(path: &Path) -> io::Result<(Pending, File)> {
        if path.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        // What a link names is replaced, not the link.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or(ErrorKind::InvalidFilename)?);
        name.push(format!(".{}.part", std::process::id()));
        let temporary = path.with_file_name(name);
        let file = File::create_new(&temporary)?;
        Ok((Pending { temporary, path }, file))
    }

    fn commit(mut self) -> io::Result<()> {
        fs::rename(&self.temporary, &self.path)?;
        self.temporary.clear();
        Ok(())
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.temporary.as_os_str().is_empty() {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}
