//! Writes seeds into the corpus folders: `cargo run --bin make_seeds` in this folder.

#[path = "../../../crates/model/tests/hostile/mini.rs"]
mod mini;

use metallic_kernels::DType;
use metallic_model::Arch;
use std::path::{Path, PathBuf};

fn main() -> std::io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = |target: &str| -> std::io::Result<PathBuf> {
        let dir = root.join("corpus").join(target);
        std::fs::create_dir_all(&dir)?;
        Ok(dir)
    };
    let dir = corpus("gguf_open")?;
    for arch in Arch::ALL {
        for dtype in [DType::Q4_0, DType::Q8_0, DType::F16] {
            std::fs::write(dir.join(format!("{}-{dtype}", arch.name())), mini::gguf(arch, dtype))?;
        }
    }
    let mut tokenizers = Vec::new();
    for folder in ["models", "tokenizers"] {
        for entry in std::fs::read_dir(root.join("../fixtures").join(folder))? {
            tokenizers.extend(std::fs::read(entry?.path().join("tokenizer.json")));
        }
    }
    tokenizers.retain(|t| t.len() < 1 << 16);
    tokenizers.sort();
    tokenizers.dedup();
    let (open, json) = (corpus("safetensors_open")?, corpus("tokenizer_json")?);
    for (i, t) in tokenizers.iter().enumerate() {
        std::fs::write(json.join(format!("fixture-{i}")), t)?;
        let config = mini::config_json();
        let [a, b] = (config.len() as u16).to_le_bytes();
        let [c, d] = (t.len().min(usize::from(u16::MAX)) as u16).to_le_bytes();
        let mut bytes = vec![a, b, c, d];
        bytes.extend(config.as_bytes());
        bytes.extend(t);
        bytes.extend(mini::safetensors());
        std::fs::write(open.join(format!("fixture-{i}")), bytes)?;
    }
    Ok(())
}
