//! Kernel libraries by name: their text, or what Apple's compiler made of it when this program was built.
//!
//! The build script finds them ([`LIBRARIES`]). Feature `src_kernels` (the default) leaves compiling to the device; with
//! `built_kernels` every library is there as a binary too, one for each set of knobs that its variants have.

use std::borrow::Cow;

use crate::contract::{SourceError, Text, source};

#[cfg(not(any(feature = "src_kernels", feature = "built_kernels")))]
compile_error!("metallic-kernels needs one of its features src_kernels and built_kernels");

include!(concat!(env!("OUT_DIR"), "/libraries.rs"));

/// A kernel library: a `.metal` file, or the files that a `kernel.sources` stitches.
#[derive(Debug)]
pub struct Library {
    /// `folder` where a folder is one library, `folder/file` where it holds several.
    pub name: &'static str,
    /// Path of its text below the kernels folder.
    pub path: &'static str,
    stitched: Option<&'static str>,
    binaries: &'static [Binary],
}

#[derive(Debug)]
struct Binary {
    knobs: &'static [(&'static str, i64)],
    bytes: &'static [u8],
}

/// What a library gives a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
    /// To be compiled at run time.
    Text(Text),
    /// A `metallib`.
    Binary(&'static [u8]),
}

impl Library {
    /// The library with these knobs, in the order of their names: its binary where it was built with them, else its text.
    ///
    /// # Errors
    /// [`SourceError::Missing`] where the text is gone since the program was built.
    pub fn code(&self, knobs: &[(&str, i64)]) -> Result<Code, SourceError> {
        if let Some(binary) = self.binaries.iter().find(|b| b.knobs == knobs) {
            return Ok(Code::Binary(binary.bytes));
        }
        let missing = || SourceError::Missing { variant: self.name.to_owned(), path: self.path.to_owned() };
        let text = self.stitched.map(Cow::Borrowed).or_else(|| source::read(self.path)).ok_or_else(missing)?;
        let macros = knobs.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())).collect();
        Ok(Code::Text(Text { path: self.path.to_owned(), text, macros }))
    }
}

/// Where the library of that name stands in [`LIBRARIES`]. In a constant, a name that is not there fails the build.
///
/// # Panics
/// Where there is none.
pub const fn position(name: &str) -> usize {
    let mut i = 0;
    while i < LIBRARIES.len() {
        if same(LIBRARIES[i].name.as_bytes(), name.as_bytes()) {
            return i;
        }
        i += 1;
    }
    panic!("no kernel library has this name")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

/// The kernel library of that name, with knobs where it has some: its text, or its binary. A misspelt name does not compile.
///
/// ```text
/// let code = kernel_lib!("softmax")?;
/// let code = kernel_lib!("matmul/gemm", &[("BM", 64), ("BN", 32)])?;
/// ```
#[macro_export]
macro_rules! kernel_lib {
    ($name:literal) => {
        $crate::kernel_lib!($name, &[])
    };
    ($name:literal, $knobs:expr) => {{
        const AT: usize = $crate::library::position($name);
        $crate::library::LIBRARIES[AT].code($knobs)
    }};
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::Target;

    /// The build script's list and the manifests are one list: what a variant names can be built, and is the text that it names.
    #[test]
    fn every_metal_source_is_in_a_library() {
        for op in crate::OPS {
            for variant in op.variants().unwrap().iter().filter(|v| v.target() == Target::Msl) {
                let path = format!("{}/{}", op.name, variant.source);
                assert!(LIBRARIES.iter().any(|l| l.path == path), "{path} is in no library");
                if cfg!(not(feature = "built_kernels")) {
                    assert_eq!(variant.code(), variant.text().map(Code::Text), "{}", variant.id());
                }
            }
        }
    }
}
