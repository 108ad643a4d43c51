//! Files mapped into memory.

use crate::Error;
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;

/// Bytes of one file: a map of it, or a buffer for tests and fuzzing.
#[derive(Debug)]
pub(crate) enum Map {
    File(Mmap),
    Memory(Vec<u8>),
}

impl Map {
    pub fn open(path: &Path) -> Result<Map, Error> {
        // Opening a pipe would wait for its writer.
        if !std::fs::metadata(path).map_err(Error::io(path))?.is_file() {
            let source = std::io::Error::new(std::io::ErrorKind::InvalidInput, "not a regular file");
            return Err(Error::Io { path: path.to_owned(), source });
        }
        let file = File::open(path).map_err(Error::io(path))?;
        // SAFETY: the map is only read. A program that shortens the file under us makes reads fault, as for any other
        // reader by map; nothing here turns on the bytes staying the same but the spans that `Span::of` checks again.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io(path))?;
        Ok(Map::File(map))
    }

    pub fn bytes(&self) -> &[u8] {
        match self {
            Map::File(m) => m,
            Map::Memory(v) => v,
        }
    }

    /// Drops the whole pages inside `start..start + len` from this process; a later read gets them from the file again.
    pub fn release(&self, start: usize, len: usize) {
        #[cfg(unix)]
        if let Map::File(m) = self {
            let page = page_size();
            let from = start.next_multiple_of(page);
            let to = start.saturating_add(len).min(m.len()) / page * page;
            if from < to {
                // SAFETY: the pages belong to a read-only shared map of a file, so dropping them loses nothing.
                let _ = unsafe { m.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, from, to - from) };
            }
        }
        #[cfg(not(unix))]
        let _ = (start, len);
    }
}

#[cfg(unix)]
fn page_size() -> usize {
    // SAFETY: sysconf takes no pointers.
    let n = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    usize::try_from(n).unwrap_or(4096).max(1)
}
