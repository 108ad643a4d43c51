//! Holds the folder list and the ops' manifests together: a manifest that no op embeds fails the build.

use std::{env, fs, path::Path};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=lib.rs");
    let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let lib = fs::read_to_string(Path::new(&root).join("lib.rs")).unwrap_or_default();
    let folders = fs::read_dir(&root).into_iter().flatten().flatten();
    for folder in folders.filter(|f| f.path().join("variants.json").exists()) {
        let name = folder.file_name().to_string_lossy().into_owned();
        println!("cargo::rerun-if-changed={name}/variants.json");
        if !lib.contains(&format!("{name}::OP")) {
            println!("cargo::error=kernels/{name} has a variants.json, but lib.rs does not list {name}::OP");
        }
    }
}
