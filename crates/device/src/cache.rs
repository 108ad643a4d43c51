//! Compiled programs on disk, by the content that they were made from.
//!
//! An entry is written whole under another name and then renamed, so that readers and writers in several processes never
//! see a part of one. An entry that is not what was written is treated as absent, and replaced.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

const MAGIC: &[u8; 8] = b"mtl-obj1";
const HEADER: usize = 8 + 32;

/// What a compiled program depends on, as one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of `parts`, in their order. Every input of a compilation must be a part: text, options, target, compiler.
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Key {
        let mut hash = blake3::Hasher::new();
        for part in parts {
            hash.update(&(part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        Key(*hash.finalize().as_bytes())
    }

    /// The key in hexadecimal digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

/// A folder of compiled programs of one kind.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
    extension: &'static str,
}

impl Cache {
    /// The user's cache of programs with `extension`: in `METALLIC_CACHE_DIR` where that is set, else in the system's usual
    /// place for caches. `None` where the system names no such place.
    pub fn user(extension: &'static str) -> Option<Cache> {
        Some(Cache::at(
            &folder(&|name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from))?,
            extension,
        ))
    }

    /// A cache in `folder`, which need not exist yet.
    pub fn at(folder: &Path, extension: &'static str) -> Cache {
        Cache { folder: folder.join(extension), extension }
    }

    /// Where the entry of `key` lies, or would.
    pub fn path(&self, key: &Key) -> PathBuf {
        self.folder.join(format!("{}.{}", key.hex(), self.extension))
    }

    /// The program stored under `key`; `None` where there is none, or what is there is not what was stored.
    pub fn load(&self, key: &Key) -> Option<Vec<u8>> {
        let mut bytes = fs::read(self.path(key)).ok()?;
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (sum, body) = rest.split_first_chunk::<32>()?;
        if magic != MAGIC || blake3::hash(body) != *sum {
            return None;
        }
        bytes.drain(..HEADER);
        Some(bytes)
    }

    /// Stores `program` under `key`, in place of what was there.
    ///
    /// # Errors
    /// A folder that cannot be made or written.
    pub fn store(&self, key: &Key, program: &[u8]) -> io::Result<()> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        fs::create_dir_all(&self.folder)?;
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let draft = self.folder.join(format!(".{}-{}-{serial}", &key.hex()[..16], std::process::id()));
        let write = || {
            let mut file = fs::File::create_new(&draft)?;
            file.write_all(MAGIC)?;
            file.write_all(blake3::hash(program).as_bytes())?;
            file.write_all(program)?;
            drop(file);
            fs::rename(&draft, self.path(key))
        };
        let done = write();
        if done.is_err() {
            let _ = fs::remove_file(&draft);
        }
        done
    }
}

fn folder(var: &dyn Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    if let Some(chosen) = var("METALLIC_CACHE_DIR") {
        return Some(chosen);
    }
    let base = if cfg!(target_os = "windows") {
        var("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        var("HOME").map(|home| home.join("Library/Caches"))
    } else {
        var("XDG_CACHE_HOME").filter(|p| p.is_absolute()).or_else(|| var("HOME").map(|home| home.join(".cache")))
    };
    base.map(|base| base.join("metallic"))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::fs;
    use std::path::PathBuf;

    use super::{Cache, HEADER, Key, folder};

    /// A folder of this test's own, gone when it ends.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Folder {
            let path = std::env::temp_dir().join(format!("metallic-cache-{name}-{}", std::process::id()));
            let _ = fs::remove_dir_all(&path);
            Folder(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn keys_differ_where_any_part_does() {
        let parts: [&[&[u8]]; 6] = [
            &[b"text", b"-DBN=8", b"sm_90a"],
            &[b"text", b"-DBN=4", b"sm_90a"],
            &[b"text", b"-DBN=8", b"sm_80"],
            &[b"text!", b"-DBN=8", b"sm_90a"],
            &[b"text-DBN=8", b"", b"sm_90a"],
            &[b"text", b"-DBN=8", b"sm_90a", b""],
        ];
        let keys: std::collections::HashSet<_> = parts.iter().map(|p| Key::of(p.iter().copied())).collect();
        assert_eq!(keys.len(), parts.len());
        assert_eq!(Key::of(parts[0].iter().copied()), Key::of(parts[0].iter().copied()));
    }

    #[test]
    fn what_was_stored_is_loaded_and_what_was_damaged_is_not() {
        let home = Folder::new("damage");
        let cache = Cache::at(&home.0, "cubin");
        let key = Key::of([b"a".as_slice()]);
        assert_eq!(cache.load(&key), None);
        cache.store(&key, b"program").unwrap();
        assert_eq!(cache.load(&key).as_deref(), Some(b"program".as_slice()));
        let whole = fs::read(cache.path(&key)).unwrap();
        for at in 0..whole.len() {
            let mut bad = whole.clone();
            bad[at] ^= 1;
            fs::write(cache.path(&key), &bad).unwrap();
            assert_eq!(cache.load(&key), None, "byte {at} changed");
            fs::write(cache.path(&key), &whole[..at]).unwrap();
            assert_eq!(cache.load(&key), None, "cut at {at}");
        }
        assert!(whole.len() > HEADER);
        cache.store(&key, b"again").unwrap();
        assert_eq!(cache.load(&key).as_deref(), Some(b"again".as_slice()));
    }

    #[test]
    fn many_writers_and_readers_see_whole_entries_and_leave_no_drafts() {
        let home = Folder::new("race");
        let cache = Cache::at(&home.0, "cubin");
        let key = Key::of([b"a".as_slice()]);
        std::thread::scope(|s| {
            for t in 0..6u8 {
                let cache = &cache;
                s.spawn(move || {
                    for _ in 0..40 {
                        cache.store(&key, &vec![t; 10_000]).unwrap();
                        let got = cache.load(&key).expect("renaming never leaves a gap");
                        assert_eq!(got.len(), 10_000);
                        assert!(got.iter().all(|b| *b == got[0]));
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(home.0.join("cubin")).unwrap().count(), 1);
    }

    #[test]
    fn an_unusable_folder_is_an_error_and_not_a_panic() {
        let home = Folder::new("file");
        fs::write(&home.0, b"a file where a folder should be").unwrap();
        let cache = Cache::at(&home.0, "cubin");
        let key = Key::of([b"a".as_slice()]);
        assert!(cache.store(&key, b"program").is_err());
        assert_eq!(cache.load(&key), None);
        fs::remove_file(&home.0).unwrap();
    }

    #[test]
    fn the_folder_is_the_one_asked_for() {
        let env = |list: &[(&str, &str)]| {
            let map: HashMap<_, _> = list.iter().map(|(k, v)| ((*k).to_owned(), PathBuf::from(v))).collect();
            folder(&move |name| map.get(name).cloned())
        };
        let chosen = env(&[("METALLIC_CACHE_DIR", "/x"), ("HOME", "/home/u"), ("XDG_CACHE_HOME", "/c")]);
        assert_eq!(chosen, Some(PathBuf::from("/x")));
        if cfg!(target_os = "linux") {
            assert_eq!(env(&[("HOME", "/home/u"), ("XDG_CACHE_HOME", "/c")]), Some(PathBuf::from("/c/metallic")));
            assert_eq!(env(&[("HOME", "/home/u")]), Some(PathBuf::from("/home/u/.cache/metallic")));
            assert_eq!(env(&[("HOME", "/home/u"), ("XDG_CACHE_HOME", "c")]), env(&[("HOME", "/home/u")]));
            assert_eq!(env(&[]), None);
        }
    }
}
