//! The program against Hugging Face transformers: logits of every fixture, as a folder, converted, and token by token.

mod common;

use common::{Folder, npy, ok};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Largest difference allowed, relative to the range of the logits.
const ALLOWED: f64 = 1e-4;

fn models() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models");
    let mut list: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    list.sort();
    assert!(list.len() >= 8, "{list:?}");
    list
}

#[test]
fn logits_are_those_of_transformers_before_and_after_convert() {
    let folder = Folder::new();
    let file = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    for model in models() {
        let path = model.to_str().unwrap();
        let facts: Value = serde_json::from_slice(&std::fs::read(model.join("tokens.json")).unwrap()).unwrap();
        let prompt = facts["prompt"].as_array().unwrap();
        let tokens = prompt.iter().map(Value::to_string).collect::<Vec<_>>().join(",");
        let range = facts["logit_range"].as_f64().unwrap();
        let (_, expected) = npy(&model.join("logits.npy"));
        let gguf = file("converted.gguf");
        ok(&["convert", path, &gguf]);
        for (from, more) in [(path, None), (path, Some("--decode")), (&gguf, None)] {
            let out = file("out.npy");
            let args = ["logits", from, "--tokens", &tokens, "-o", &out];
            ok(&args.into_iter().chain(more).collect::<Vec<_>>());
            let (header, got) = npy(Path::new(&out));
            assert!(header.contains(&format!("({}, ", prompt.len())), "{header}");
            assert_eq!(got.len(), expected.len(), "{path}");
            let worst = got.iter().zip(&expected).map(|(g, e)| f64::from((g - e).abs())).fold(0.0, f64::max);
            assert!(worst <= ALLOWED * range, "{from} {more:?}: {worst} of a range of {range}");
        }
    }
}
