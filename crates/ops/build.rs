//! Embeds every table of `tuned/` in release builds; development builds read them from disk.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let folder = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default()).join("../../tuned");
    let embed = env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_none();
    let mut tables = Vec::new();
    if embed {
        println!("cargo::rerun-if-changed={}", folder.display());
        let mut files: Vec<_> = fs::read_dir(&folder).into_iter().flatten().flatten().map(|f| f.path()).collect();
        files.sort();
        for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "json")) {
            let name = file.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
            tables.push(format!("({name:?}, include_str!({file:?})),"));
        }
    }
    let text = format!("static EMBEDDED: &[(&str, &str)] = &[{}];\n", tables.join("\n"));
    let out = Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("tables.rs");
    if let Err(e) = fs::write(&out, text) {
        println!("cargo::error=cannot write {}: {e}", out.display());
    }
}
