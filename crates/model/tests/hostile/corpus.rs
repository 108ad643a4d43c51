//! Inputs that the fuzz targets found, the smallest for each kind of outcome: opening them neither panics nor hangs.

use metallic_model::ModelFile;
use metallic_model::gguf::Gguf;
use std::path::Path;

fn inputs(kind: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/corpus").join(kind);
    std::fs::read_dir(dir).unwrap().map(|e| std::fs::read(e.unwrap().path()).unwrap()).collect()
}

/// Errors name something: a place, a key or a tensor, and what was expected of it.
fn names_something(message: &str) {
    let names = ["at byte ", "metadata key `", "tensor `", "unknown architecture `"];
    assert!(names.iter().any(|n| message.contains(n)), "{message}");
    assert!(message.contains("expected") || message.contains("known are"), "{message}");
}

#[test]
fn gguf_inputs_found_by_fuzzing() {
    let all = inputs("gguf");
    assert!(all.len() > 30);
    for bytes in all {
        if let Ok(gguf) = Gguf::parse(&bytes) {
            gguf.metadata().for_each(|(key, value)| assert_eq!(gguf.get(key).map(|v| v.kind()), Some(value.kind())));
            gguf.tensors().iter().for_each(|t| assert_eq!(gguf.data(t).len(), t.byte_len()));
        }
        if let Err(e) = ModelFile::from_gguf_bytes(bytes) {
            names_something(&e.to_string());
        }
    }
}

/// As the fuzz target cuts them: the lengths of config.json and tokenizer.json, the two, model.safetensors.
#[test]
fn safetensors_inputs_found_by_fuzzing() {
    let all = inputs("safetensors");
    assert!(all.len() > 10);
    for bytes in all {
        let (lengths, rest) = bytes.split_first_chunk::<4>().unwrap();
        let [a, b, c, d] = lengths.map(usize::from);
        let (config, rest) = rest.split_at((a | b << 8).min(rest.len()));
        let (tokenizer, weights) = rest.split_at((c | d << 8).min(rest.len()));
        if let Err(e) = ModelFile::from_safetensors_bytes(config, weights.to_vec(), tokenizer.to_vec()) {
            names_something(&e.to_string());
        }
    }
}
