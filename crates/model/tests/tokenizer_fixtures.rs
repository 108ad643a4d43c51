//! Small trained vocabularies, each as GGUF and as `tokenizer.json`, with the ids that Hugging Face's library gives.

use metallic_model::tokenizer::{Special, Tokenizer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::path::PathBuf;

const VOCABULARIES: [&str; 6] = ["gpt2", "llama2", "llama2-noprefix", "llama3", "qwen2", "smollm"];

#[derive(Deserialize)]
struct Case {
    text: String,
    parse_special: bool,
    ids: Vec<u32>,
    decoded: String,
}

#[derive(Deserialize)]
struct Decoding {
    ids: Vec<u32>,
    bytes: String,
}

fn path(vocabulary: &str, file: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../../fixtures/tokenizers", vocabulary, file].iter().collect()
}

fn json<T: DeserializeOwned>(vocabulary: &str, file: &str) -> T {
    serde_json::from_slice(&std::fs::read(path(vocabulary, file)).unwrap()).unwrap()
}

fn both(vocabulary: &str) -> [(&'static str, Tokenizer); 2] {
    [("vocab.gguf", open(vocabulary, "vocab.gguf")), ("tokenizer.json", open(vocabulary, "tokenizer.json"))]
}

fn open(vocabulary: &str, file: &str) -> Tokenizer {
    Tokenizer::open(&path(vocabulary, file)).unwrap()
}

#[test]
fn ids_and_texts_are_those_of_the_reference() {
    for vocabulary in VOCABULARIES {
        let cases: Vec<Case> = json(vocabulary, "cases.json");
        assert!(cases.len() > 100, "{vocabulary}");
        for (file, tokenizer) in both(vocabulary) {
            for case in &cases {
                let special = if case.parse_special { Special::Parse } else { Special::AsText };
                let ids = tokenizer.encode(&case.text, special);
                assert_eq!(ids, case.ids, "{vocabulary} {file} {:?}", case.text);
                // The reference writes control tokens out; here they are not text.
                if !ids.iter().any(|&id| tokenizer.is_special(id)) {
                    assert_eq!(tokenizer.decode(&ids), case.decoded, "{vocabulary} {file}");
                }
            }
        }
    }
}

#[test]
fn any_ids_give_the_bytes_of_the_reference() {
    for vocabulary in VOCABULARIES {
        for (file, tokenizer) in both(vocabulary) {
            for Decoding { ids, bytes } in json::<Vec<Decoding>>(vocabulary, "decode.json") {
                let got: String = ids
                    .iter()
                    .flat_map(|&id| tokenizer.token_bytes(id).unwrap())
                    .map(|byte| format!("{byte:02x}"))
                    .collect();
                assert_eq!(got, bytes, "{vocabulary} {file} {ids:?}");
            }
        }
    }
}

#[test]
fn prompts_start_as_the_files_ask() {
    for (vocabulary, starts) in
        [("llama3", true), ("llama2", true), ("qwen2", false), ("gpt2", false), ("smollm", false)]
    {
        for (file, tokenizer) in both(vocabulary) {
            let plain = tokenizer.encode("Hello", Special::Parse);
            let prompt = tokenizer.encode_prompt("Hello", Special::Parse);
            let bos: Vec<u32> = tokenizer.bos().filter(|_| starts).into_iter().collect();
            assert_eq!(prompt, [bos.clone(), plain].concat(), "{vocabulary} {file}");
            if let Some(&bos) = bos.first() {
                let name = String::from_utf8(tokenizer.token_bytes(bos).unwrap().to_vec()).unwrap();
                let twice = tokenizer.encode_prompt(&format!("{name}Hello"), Special::Parse);
                assert_eq!(twice.iter().filter(|&&id| id == bos).count(), 1, "{vocabulary} {file}");
            }
        }
    }
}
