//! Which libraries a folder of kernels holds.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::{Error, Mode};

const MANIFEST: &str = "kernel.sources";
const VARIANTS: &str = "variants.json";

/// Constants that a source is compiled with.
pub type Knobs = BTreeMap<String, i64>;

/// A kernel library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Library {
    /// `folder` where the folder is one library, `folder/file` where it holds several.
    pub name: String,
    /// Path of its text below the root, e.g. `matmul/gemm.metal`. For stitched parts, a file that the build writes.
    pub path: String,
    /// The text that stitches the parts of a `kernel.sources`.
    pub stitched: Option<String>,
    /// The sets of knobs that it is compiled with; one that is empty where no variant has any.
    pub knobs: BTreeSet<Knobs>,
}

/// Every library in the folders of `root`, in order of their names.
///
/// # Errors
/// A file that cannot be read, a `variants.json` that does not parse, a `kernel.sources` that names what is not there.
pub fn libraries(root: &Path) -> Result<Vec<Library>, Error> {
    let mut all = Vec::new();
    for folder in sorted(root)?.iter().filter(|f| f.is_dir()) {
        all.extend(folder_libraries(folder)?);
    }
    Ok(all)
}

fn folder_libraries(folder: &Path) -> Result<Vec<Library>, Error> {
    let name = file_name(folder);
    let knobs = knobs(&folder.join(VARIANTS))?;
    let library = |library: String, file: &str, stitched: Option<String>| Library {
        name: library,
        path: format!("{name}/{file}"),
        stitched,
        knobs: knobs.get(file).cloned().unwrap_or_else(|| BTreeSet::from([Knobs::new()])),
    };
    let manifest = folder.join(MANIFEST);
    if manifest.exists() {
        let file = format!("{name}_includes.metal");
        return Ok(vec![library(name.clone(), &file, Some(stitch(&manifest)?))]);
    }
    let files: Vec<String> =
        sorted(folder)?.iter().filter(|f| f.extension().is_some_and(|e| e == "metal")).map(|f| file_name(f)).collect();
    Ok(match files.as_slice() {
        [only] => vec![library(name.clone(), only, None)],
        several => {
            several.iter().map(|f| library(format!("{name}/{}", f.trim_end_matches(".metal")), f, None)).collect()
        }
    })
}

/// The text that includes every file that `manifest` names, once and in its order.
fn stitch(manifest: &Path) -> Result<String, Error> {
    let lines = fs::read_to_string(manifest).map_err(Error::file(manifest))?;
    let folder = manifest.parent().unwrap_or(Path::new(""));
    let mut text = String::new();
    for (i, line) in lines.lines().enumerate() {
        let part = line.split('#').next().unwrap_or_default().trim();
        if part.is_empty() {
            continue;
        }
        if !folder.join(part).is_file() {
            return Err(Error::Part { path: manifest.to_owned(), line: i + 1, part: part.to_owned() });
        }
        text += &format!("#include \"{part}\"\n");
    }
    if text.is_empty() {
        return Err(Error::NoSource { path: manifest.to_owned() });
    }
    Ok(text)
}

#[derive(Deserialize)]
struct Variant {
    source: String,
    #[serde(default)]
    knobs: Knobs,
}

/// The sets of knobs of every source that a `variants.json` names; none where there is no such file.
fn knobs(path: &Path) -> Result<BTreeMap<String, BTreeSet<Knobs>>, Error> {
    if !path.exists() {
        return Ok(BTreeMap::new());
    }
    let text = fs::read_to_string(path).map_err(Error::file(path))?;
    let variants: Vec<Variant> =
        serde_json::from_str(&text).map_err(|source| Error::Variants { path: path.to_owned(), source })?;
    let mut all: BTreeMap<String, BTreeSet<Knobs>> = BTreeMap::new();
    for v in variants {
        all.entry(v.source).or_default().insert(v.knobs);
    }
    Ok(all)
}

/// What the table of `libraries` depends on. Texts are read at run time, so only what names them counts; binaries depend on everything.
pub(crate) fn inputs(root: &Path, libraries: &[Library], mode: &Mode) -> Vec<PathBuf> {
    if let Mode::Built(_) = mode {
        return vec![root.to_owned()];
    }
    let folders: BTreeSet<_> = libraries.iter().filter_map(|l| l.path.split('/').next()).collect();
    let named = |folder: &&str| [MANIFEST, VARIANTS].map(|file| root.join(folder).join(file));
    folders.iter().flat_map(named).filter(|path| path.exists()).collect()
}

fn sorted(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::file(folder))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
