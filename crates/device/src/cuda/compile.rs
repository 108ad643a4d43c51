//! From text to machine code, through the cache.

use std::io;

use super::error::Error;
use super::nvrtc::{Nvrtc, Source};
use crate::cache::{Cache, Key};

/// NVRTC and the user's cache of what it made.
pub struct Compiler {
    nvrtc: Nvrtc,
    cache: Option<Cache>,
}

/// Machine code, and where it comes from.
#[derive(Debug)]
pub struct Built {
    /// The cubin.
    pub cubin: Vec<u8>,
    /// Where it comes from.
    pub origin: Origin,
}

/// Where machine code comes from.
#[derive(Debug)]
pub enum Origin {
    /// The cache had it.
    Cache,
    /// It was compiled now.
    Compiled {
        /// What the compiler warned of.
        log: String,
        /// Why it could not be kept, where that is so.
        unkept: Option<io::Error>,
    },
}

impl Compiler {
    /// This machine's compiler, with the user's cache.
    ///
    /// # Errors
    /// [`Error::NoCompiler`].
    pub fn new() -> Result<Compiler, Error> {
        Ok(Compiler::with(Nvrtc::load()?, Cache::user("cubin")))
    }

    /// A compiler with another cache, or with none.
    pub fn with(nvrtc: Nvrtc, cache: Option<Cache>) -> Compiler {
        Compiler { nvrtc, cache }
    }

    /// The compiler itself.
    pub fn nvrtc(&self) -> &Nvrtc {
        &self.nvrtc
    }

    /// What `source` is cached under: everything that the result depends on.
    pub fn key(&self, source: &Source<'_>) -> Key {
        let options = self.nvrtc.options(source).join("\0");
        let (major, minor) = self.nvrtc.version();
        let version = format!("nvrtc {major}.{minor}");
        Key::of([source.text, source.file, &options, &version].map(str::as_bytes))
    }

    /// Machine code for `source`, from the cache where it has it.
    ///
    /// # Errors
    /// As [`Nvrtc::compile`].
    pub fn build(&self, source: &Source<'_>) -> Result<Built, Error> {
        let key = self.key(source);
        if let Some(cubin) = self.cache.as_ref().and_then(|c| c.load(&key)) {
            return Ok(Built { cubin, origin: Origin::Cache });
        }
        let out = self.nvrtc.compile(source)?;
        let unkept = self.cache.as_ref().and_then(|c| c.store(&key, &out.cubin).err());
        Ok(Built { cubin: out.cubin, origin: Origin::Compiled { log: out.log, unkept } })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::{Compiler, Origin};
    use crate::cache::Cache;
    use crate::cuda::nvrtc::{Nvrtc, Source};

    const TEXT: &str = "extern \"C\" __global__ void scale(float *y) { y[threadIdx.x] *= FACTOR; }";

    fn compiler(folder: &str) -> Option<(Compiler, PathBuf)> {
        let home = std::env::temp_dir().join(format!("metallic-compile-{folder}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&home);
        let nvrtc = Nvrtc::load().inspect_err(|why| eprintln!("REFUSED: {why}")).ok()?;
        Some((Compiler::with(nvrtc, Some(Cache::at(&home, "cubin"))), home))
    }

    #[test]
    fn a_second_build_comes_from_the_cache_and_a_damaged_entry_is_built_again() {
        let Some((compiler, home)) = compiler("again") else { return };
        let options = ["-DFACTOR=2.0f".to_owned()];
        let source =
            Source { file: "scale.cu", entry: "scale", symbol: "scale", text: TEXT, options: &options, arch: "sm_90a" };
        let first = compiler.build(&source).unwrap();
        assert!(matches!(first.origin, Origin::Compiled { unkept: None, .. }));
        let second = compiler.build(&source).unwrap();
        assert!(matches!(second.origin, Origin::Cache));
        assert_eq!(first.cubin, second.cubin);

        let path = Cache::at(&home, "cubin").path(&compiler.key(&source));
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        fs::write(&path, &bytes).unwrap();
        let third = compiler.build(&source).unwrap();
        assert!(matches!(third.origin, Origin::Compiled { unkept: None, .. }));
        assert!(matches!(compiler.build(&source).unwrap().origin, Origin::Cache));
        fs::remove_dir_all(&home).unwrap();
    }

    #[test]
    fn whatever_a_program_depends_on_changes_its_key() {
        let Some((compiler, _)) = compiler("keys") else { return };
        let [two, three] = ["-DFACTOR=2.0f", "-DFACTOR=3.0f"].map(|o| [o.to_owned()]);
        let base =
            Source { file: "scale.cu", entry: "scale", symbol: "scale", text: TEXT, options: &two, arch: "sm_90a" };
        let others = [
            Source { options: &three, ..base },
            Source { arch: "sm_80", ..base },
            Source { text: "extern \"C\" __global__ void scale(float *y) {}", ..base },
            Source { file: "other.cu", ..base },
            Source { options: &[], ..base },
        ];
        for other in &others {
            assert_ne!(compiler.key(&base).hex(), compiler.key(other).hex(), "{other:?}");
        }
        assert_eq!(compiler.key(&base).hex(), compiler.key(&base).hex());
    }

    #[test]
    fn without_a_usable_cache_programs_are_still_built() {
        let Some((compiler, home)) = compiler("file") else { return };
        fs::write(&home, b"a file where a folder should be").unwrap();
        let source = Source {
            file: "s.cu",
            entry: "scale",
            symbol: "scale",
            text: TEXT,
            options: &["-DFACTOR=1".into()],
            arch: "sm_90a",
        };
        let built = compiler.build(&source).unwrap();
        assert!(matches!(built.origin, Origin::Compiled { unkept: Some(_), .. }));
        fs::remove_file(&home).unwrap();
    }
}
