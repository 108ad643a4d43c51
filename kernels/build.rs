//! Holds the folder list and the ops' manifests together: a manifest that no op embeds fails the build. In release builds,
//! embeds every kernel source; development builds read them from disk at run time.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=lib.rs");
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR").unwrap_or_default());
    let lib = fs::read_to_string(root.join("lib.rs")).unwrap_or_default();
    let embed = env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_none();
    let mut sources = Vec::new();
    for folder in sorted(&root).into_iter().filter(|f| f.is_dir()) {
        let name = file_name(&folder);
        if folder.join("variants.json").exists() {
            println!("cargo::rerun-if-changed={name}/variants.json");
            if !lib.contains(&format!("{name}::OP")) {
                println!("cargo::error=kernels/{name} has a variants.json, but lib.rs does not list {name}::OP");
            }
        }
        let gpu = |f: &PathBuf| f.extension().is_some_and(|e| e == "metal" || e == "cu" || e == "h");
        for file in sorted(&folder).into_iter().filter(gpu).filter(|_| embed) {
            println!("cargo::rerun-if-changed={}", file.display());
            sources.push(format!("({:?}, include_str!({file:?})),", format!("{name}/{}", file_name(&file))));
        }
        if embed {
            println!("cargo::rerun-if-changed={name}");
        }
    }
    let text = format!("static EMBEDDED: &[(&str, &str)] = &[{}];\n", sources.join("\n"));
    let out = Path::new(&env::var("OUT_DIR").unwrap_or_default()).join("sources.rs");
    if let Err(e) = fs::write(&out, text) {
        println!("cargo::error=cannot write {}: {e}", out.display());
    }
    metallic_kernel_build::run(&root);
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let mut list: Vec<_> = fs::read_dir(folder).into_iter().flatten().flatten().map(|f| f.path()).collect();
    list.sort();
    list
}

fn file_name(path: &Path) -> String {
    path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default()
}
