//! The cases published with llama.cpp's vocabularies, whose ids come from the models' own tokenizers.

use metallic_model::ModelFile;
use metallic_model::tokenizer::{Special, Tokenizer};
use std::path::{Path, PathBuf};

/// `<vocab>.gguf` with `<vocab>.gguf.inp` and `<vocab>.gguf.out` beside it.
fn published() -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vocab");
    let Ok(entries) = std::fs::read_dir(&dir) else {
        eprintln!("NOT TESTED: {} is absent, so no published vocabulary was read", dir.display());
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "gguf"));
    assert!(!paths.is_empty(), "no vocabulary in {}", dir.display());
    paths
}

fn cases(path: &Path) -> Vec<(String, Vec<u32>)> {
    let beside = |suffix| std::fs::read_to_string(format!("{}.{suffix}", path.display())).unwrap();
    let (input, output) = (beside("inp"), beside("out"));
    let mut texts: Vec<&str> = input.split("\n__ggml_vocab_test__\n").collect();
    assert_eq!(texts.pop(), Some(""), "the last case ends with a separator too");
    let ids = output.lines().map(|line| line.split_whitespace().map(|id| id.parse().unwrap()).collect());
    let cases: Vec<_> = texts.into_iter().map(str::to_owned).zip(ids).collect();
    assert_eq!(cases.len(), output.lines().count());
    cases
}

#[test]
fn published_cases_are_exact_and_decode_back() {
    for path in published() {
        let model = ModelFile::open(&path).unwrap();
        let tokenizer = Tokenizer::from_model(&model).unwrap();
        let cases = cases(&path);
        for (text, ids) in &cases {
            assert_eq!(&tokenizer.encode(text, Special::AsText), ids, "{text:?}");
            assert_eq!(&tokenizer.decode(ids), text);
        }
        assert!(cases.len() > 40, "only {} cases", cases.len());
    }
}

#[test]
fn qwen2_special_tokens_are_found_only_when_asked_for() {
    for path in published().iter().filter(|path| path.ends_with("ggml-vocab-qwen2.gguf")) {
        let tokenizer = Tokenizer::from_model(&ModelFile::open(path).unwrap()).unwrap();
        let text = "<|im_start|>user\nhi<|im_end|>";
        assert_eq!(tokenizer.encode(text, Special::Parse), [151644, 872, 198, 6023, 151645]);
        let spelled = tokenizer.encode(text, Special::AsText);
        assert!(spelled.iter().all(|&id| !tokenizer.is_special(id)));
        assert_eq!(tokenizer.decode(&spelled), text);
        assert_eq!(tokenizer.decode(&[151644, 872]), "user");
        assert_eq!(tokenizer.id("<|im_end|>"), Some(151645));
        assert_eq!(tokenizer.id(" user"), Some(1196));
        assert!(tokenizer.is_end(151645) && tokenizer.is_end(151643) && !tokenizer.is_end(872));
        assert_eq!(tokenizer.token_bytes(u32::MAX), None);
    }
}
