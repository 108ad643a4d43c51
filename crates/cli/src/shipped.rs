//! The model that ships with Metallic: where it lies, and what is done with it.

use anyhow::Context;
use metallic_model::ModelFile;
use std::path::{Path, PathBuf};

/// What a bare `metallic` asks, greedily, so that everybody's first text is the same.
pub const PROMPT: &str = "What is ownership?";

/// The model that was asked for; else METALLIC_MODEL; else the one that ships with Metallic.
pub fn or_shipped(asked: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = asked {
        return Ok(path.to_owned());
    }
    if let Some(path) = std::env::var_os("METALLIC_MODEL").filter(|p| !p.is_empty()) {
        return Ok(path.into());
    }
    find().context(
        "no model was given, and the one that ships with Metallic (models/*/*.gguf) is neither near the program nor in \
         the current directory; give the path of one, or set METALLIC_MODEL",
    )
}

/// The first model below a folder `models` beside the program or above it, in the current directory, or in the source
/// tree that the program was built from.
fn find() -> Option<PathBuf> {
    let program = std::env::current_exe().ok();
    let near = program.iter().flat_map(|p| p.ancestors().skip(1).take(4));
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2);
    near.chain([Path::new(".")]).chain(source).find_map(|dir| first_below(&dir.join("models"), 2))
}

/// The first .gguf file in the order of names, folders at most `depth` deep.
fn first_below(dir: &Path, depth: usize) -> Option<PathBuf> {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).ok()?.flatten().map(|e| e.path()).collect();
    entries.sort();
    let is_model = |p: &&PathBuf| p.extension().is_some_and(|e| e == "gguf") && p.is_file();
    entries.iter().find(is_model).cloned().or_else(|| {
        let deeper = depth.checked_sub(1)?;
        entries.iter().filter(|p| p.is_dir()).find_map(|p| first_below(p, deeper))
    })
}

/// A line or two on what a model is, from its own metadata.
pub fn describe(path: &Path, file: &ModelFile) -> String {
    let metadata = file.metadata();
    let said = |key: &str| metadata.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str()).filter(|v| !v.is_empty());
    let parameters: u64 = file.tensors().map(|t| t.elements() as u64).sum();
    let config = file.config();
    let mut text = format!(
        "{}: {}, {} parameters, family {}, context {}",
        path.display(),
        if config.name.is_empty() { "a model" } else { &config.name },
        crate::output::Count(parameters),
        config.arch.name(),
        config.context_length
    );
    for key in ["general.description", "general.license"] {
        if let Some(value) = said(key) {
            text += &format!("\n{value}");
        }
    }
    text
}
