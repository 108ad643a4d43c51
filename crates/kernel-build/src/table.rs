//! The table of libraries as Rust: what `kernel_lib!` looks into.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::xcrun::Job;
use crate::{Error, Knobs, Library, Xcrun};

/// What the table holds.
#[derive(Clone, Debug)]
pub enum Mode {
    /// Names and paths: texts are compiled at run time.
    Text,
    /// Binaries as well.
    Built(Xcrun),
}

/// The table, as an item of the module that declares `Library` and `Binary`.
pub(crate) fn text(libraries: &[Library], root: &Path, out: &Path, mode: &Mode) -> Result<String, Error> {
    let mut table = "/// Every kernel library.\npub static LIBRARIES: &[Library] = &[\n".to_owned();
    for library in libraries {
        let Library { name, path, stitched, .. } = library;
        let binaries = match mode {
            Mode::Text => String::new(),
            Mode::Built(xcrun) => binaries(library, root, out, xcrun)?,
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            table,
            "    Library {{ name: {name:?}, path: {path:?}, stitched: {stitched:?}, binaries: &[{binaries}] }},"
        );
    }
    Ok(table + "];\n")
}

fn binaries(library: &Library, root: &Path, out: &Path, xcrun: &Xcrun) -> Result<String, Error> {
    let folder = out.join("kernels");
    std::fs::create_dir_all(&folder).map_err(Error::file(&folder))?;
    let file = library.name.replace('/', "_");
    let own = root.join(&library.path).parent().map_or_else(PathBuf::new, Path::to_owned);
    let source = match &library.stitched {
        None => root.join(&library.path),
        Some(text) => {
            let path = folder.join(format!("{file}_includes.metal"));
            std::fs::write(&path, text).map_err(Error::file(&path))?;
            path
        }
    };
    // As headers are found at run time: beside the source, in msl/, below the root.
    let include = [own, root.join("msl"), root.to_owned()];
    let mut list = String::new();
    for knobs in &library.knobs {
        let stem = folder.join(stem(&file, knobs));
        let job = Job { library: &library.name, source: &source, include: &include, knobs, stem: &stem };
        let path = xcrun.build(&job)?;
        let knobs: Vec<_> = knobs.iter().collect();
        let _ = write!(list, "Binary {{ knobs: &{knobs:?}, bytes: include_bytes!({path:?}) }}, ");
    }
    Ok(list)
}

/// `matmul_gemm-BM64-BN32`.
fn stem(file: &str, knobs: &Knobs) -> String {
    knobs.iter().fold(file.to_owned(), |name, (knob, value)| format!("{name}-{knob}{value}"))
}
