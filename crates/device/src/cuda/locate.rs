//! Where NVIDIA's libraries may be.

use std::path::{Path, PathBuf};

/// The newest major version of CUDA that is looked for, and the one before.
pub(super) const MAJORS: [u32; 2] = [13, 12];

/// Where a library with one of `names` may be, best first: names for the system's loader, then a toolkit's folders.
pub(super) fn candidates(names: &[String]) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = names.iter().map(PathBuf::from).collect();
    let homes = ["CUDA_HOME", "CUDA_PATH"].iter().filter_map(std::env::var_os).map(PathBuf::from);
    for home in homes.chain([PathBuf::from("/usr/local/cuda")]) {
        for folder in ["lib64", "lib", "bin"] {
            paths.extend(names.iter().map(|n| home.join(folder).join(n)));
        }
    }
    if cfg!(debug_assertions) {
        let wheels = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/nvrtc/nvidia/cu13/lib");
        paths.extend(names.first().map(|n| wheels.join(n)));
    }
    paths
}

/// Where NVIDIA's Python packages put a library of package `package`, seen from the file of another of theirs: beside it from CUDA 13 on,
/// in a folder of its own before.
pub(super) fn beside(other: &Path, package: &str, names: &[String]) -> Vec<PathBuf> {
    let folder = other.parent();
    let own = folder.and_then(|f| Some(f.parent()?.parent()?.join(package).join("lib")));
    let folders = folder.map(Path::to_owned).into_iter().chain(own);
    folders.flat_map(|f| names.iter().map(move |n| f.join(n))).filter(|p| p.is_file()).collect()
}
