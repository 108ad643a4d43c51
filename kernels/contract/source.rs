//! Program text of GPU variants: a file of the op's folder and the headers that it includes, with knobs as macros.
//!
//! Development builds read the source tree, so that editing a kernel compiles no Rust; release builds hold every file, and read a
//! folder instead where `METALLIC_KERNELS` names one.

use std::borrow::Cow;
use std::path::{Component, Path, PathBuf};
use std::sync::OnceLock;

use super::{Target, Variant};
use crate::library::{Code, LIBRARIES};

include!(concat!(env!("OUT_DIR"), "/sources.rs"));

/// A kernel file's text with what it is compiled with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text {
    /// Path below the kernels folder, e.g. `matmul/matvec.metal`: how diagnostics name it.
    pub path: String,
    /// What it says.
    pub text: Cow<'static, str>,
    /// The variant's knobs, as macros.
    pub macros: Vec<(String, String)>,
}

/// A source that is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// Native code is linked, not compiled at run time.
    #[error("{0} is native code")]
    Native(String),
    /// The file does not exist.
    #[error("{variant} names kernels/{path}, which does not exist")]
    Missing {
        /// The variant.
        variant: String,
        /// The path below the kernels folder.
        path: String,
    },
}

/// A folder without kernels.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "METALLIC_KERNELS names {}, where no op's variants.json lies; name the folder kernels/ of the source or a copy of it, or unset it",
    path.display()
)]
pub struct NoKernels {
    /// The folder.
    pub path: PathBuf,
}

/// Fails where [`folder`] holds no manifest of any op: then everything would silently be what the build embedded.
///
/// # Errors
/// [`NoKernels`].
pub fn check_folder() -> Result<(), NoKernels> {
    folder().map_or(Ok(()), holds_kernels)
}

fn holds_kernels(folder: &Path) -> Result<(), NoKernels> {
    let there = crate::OPS.iter().any(|op| folder.join(op.name).join("variants.json").is_file());
    if there { Ok(()) } else { Err(NoKernels { path: folder.to_owned() }) }
}

/// The folder that manifests and sources are read from: what `METALLIC_KERNELS` names, else in development builds the source tree;
/// `None` where they are those that the build embedded.
pub fn folder() -> Option<&'static Path> {
    static FOLDER: OnceLock<Option<PathBuf>> = OnceLock::new();
    let named = || std::env::var_os("METALLIC_KERNELS").filter(|f| !f.is_empty()).map(PathBuf::from);
    let tree = || Some(PathBuf::from(env!("CARGO_MANIFEST_DIR"))).filter(|f| cfg!(debug_assertions) && f.exists());
    FOLDER.get_or_init(|| named().or_else(tree)).as_deref()
}

/// The text of a file below the kernels folder, such as `msl/simd.h`; `None` where there is none. Where [`folder`] has the file's own
/// folder, nothing of it comes from what the build embedded.
pub fn read(path: &str) -> Option<Cow<'static, str>> {
    let inside = Path::new(path).components().all(|c| matches!(c, Component::Normal(_)));
    let beside = |f: &Path| f.join(path).parent().is_some_and(Path::is_dir);
    match folder().filter(|f| inside && beside(f)) {
        Some(folder) => std::fs::read_to_string(folder.join(path)).ok().map(Cow::Owned),
        None => EMBEDDED.iter().find(|(name, _)| *name == path).map(|(_, text)| Cow::Borrowed(*text)),
    }
}

/// What `#include "name"` in the file `from` means: a file beside it, else one of the shared headers in `msl/`, else a path below
/// the kernels folder. Gives the path of the file and its text.
pub fn include(from: &str, name: &str) -> Option<(String, Cow<'static, str>)> {
    let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
    [format!("{folder}/{name}"), format!("msl/{name}"), name.to_owned()]
        .into_iter()
        .find_map(|path| read(&path).map(|text| (path, text)))
}

impl Variant {
    /// The program text of this variant.
    ///
    /// # Errors
    /// Native code has none; a file that is not there.
    pub fn text(&self) -> Result<Text, SourceError> {
        if self.target() == Target::Cpu {
            return Err(SourceError::Native(self.id()));
        }
        let path = format!("{}/{}", self.op, self.source);
        let text = read(&path).ok_or_else(|| SourceError::Missing { variant: self.id(), path: path.clone() })?;
        let macros = self.knobs.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
        Ok(Text { path, text, macros })
    }

    /// The binary of this variant's library where the build made one, else its program text.
    ///
    /// # Errors
    /// As [`Variant::text`].
    pub fn code(&self) -> Result<Code, SourceError> {
        let path = format!("{}/{}", self.op, self.source);
        let knobs: Vec<_> = self.knobs.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        match LIBRARIES.iter().find(|l| l.path == path) {
            Some(library) => library.code(&knobs),
            None => self.text().map(Code::Text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_holds_kernels_or_is_an_error_that_names_it() {
        assert_eq!(holds_kernels(Path::new(env!("CARGO_MANIFEST_DIR"))), Ok(()));
        for wrong in ["/nonexistent", concat!(env!("CARGO_MANIFEST_DIR"), "/matmul")] {
            let why = holds_kernels(Path::new(wrong)).unwrap_err().to_string();
            assert!(why.contains(wrong) && why.contains("METALLIC_KERNELS"), "{why}");
        }
    }
}
