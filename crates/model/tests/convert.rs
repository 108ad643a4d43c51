//! Conversions against files written by the gguf package, and round trips between types.

#[path = "hostile/mini.rs"]
#[allow(dead_code)]
mod mini;

use metallic_kernels::DType;
use metallic_kernels::quant::dequantize;
use metallic_model::config::Pairing;
use metallic_model::tokenizer::{Special, Tokenizer};
use metallic_model::{Arch, ModelFile, Synth, TokenizerSource, convert_bytes, synth_bytes};
use std::path::PathBuf;

fn open(name: &str) -> ModelFile {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name);
    ModelFile::open(&path).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn convert(src: &ModelFile, dtype: Option<DType>) -> ModelFile {
    ModelFile::from_gguf_bytes(convert_bytes(src, dtype).unwrap()).unwrap()
}

fn values(model: &ModelFile, name: &str) -> Vec<f32> {
    let t = model.tensor(name).unwrap();
    let mut out = vec![0.0; t.info.elements()];
    dequantize(t.info.dtype, t.bytes, &mut out).unwrap();
    out
}

/// Our conversion of transformers' folders must yield the tensors of the gguf package's files, bit for bit.
#[test]
fn converted_folders_equal_the_gguf_packages_files() {
    for name in ["qwen2-tied", "llama2", "llama3"] {
        let ours = convert(&open(name), None);
        let theirs = open(&format!("{name}/model.gguf"));
        assert_eq!(ours.tensors().len(), theirs.tensors().len(), "{name}");
        for t in theirs.tensors() {
            let (a, b) = (ours.tensor(&t.name).unwrap(), theirs.tensor(&t.name).unwrap());
            assert_eq!((a.info.dtype, &a.info.shape), (b.info.dtype, &b.info.shape), "{name} {}", t.name);
            if t.name == "rope_freqs.weight" {
                for (x, y) in values(&ours, &t.name).into_iter().zip(values(&theirs, &t.name)) {
                    assert!((x - y).abs() <= 1e-6 * y, "{name}: {x} {y}");
                }
            } else {
                assert!(a.bytes == b.bytes, "{name} {}", t.name);
            }
        }
        let (mut a, b) = (ours.config().clone(), theirs.config());
        if let (Some(ours), Some(theirs)) = (&mut a.rope.factors, &b.rope.factors) {
            ours.clone_from(theirs);
        }
        (a.bos, a.eos, a.add_bos) = (b.bos, b.eos.clone(), b.add_bos);
        assert_eq!(a, *b, "{name}");
    }
}

#[test]
fn converted_vocabulary_equals_the_gguf_packages() {
    let ours = convert(&open("qwen2-tied"), None);
    let theirs = open("qwen2-tied/model.gguf");
    let (Some(TokenizerSource::Gguf(a)), Some(TokenizerSource::Gguf(b))) =
        (ours.tokenizer_source(), theirs.tokenizer_source())
    else {
        panic!("no vocabulary")
    };
    assert_eq!((a.model, a.pre, &a.tokens, &a.types, &a.merges), (b.model, b.pre, &b.tokens, &b.types, &b.merges));
    assert_eq!((a.bos, a.eos, a.add_bos), (b.bos, b.eos, b.add_bos));
}

#[test]
fn every_family_converts_and_keeps_its_configuration() {
    for name in ["qwen2-untied", "qwen3", "llama2", "llama3", "llama-linear", "mistral", "smollm"] {
        let folder = open(name);
        let gguf = convert(&folder, Some(DType::F16));
        let (mut a, mut b) = (folder.config().clone(), gguf.config().clone());
        let (x, y) = (a.rope.frequencies(), b.rope.frequencies());
        assert!(x.iter().zip(&y).all(|(x, y)| (x - y).abs() <= 1e-6 * x), "{name}: {x:?} {y:?}");
        assert_eq!(b.rope.pairing, if a.arch == Arch::Llama { Pairing::Interleaved } else { Pairing::Halves });
        (a.rope, a.add_bos) = (b.rope.clone(), b.add_bos);
        a.eos.sort_unstable();
        b.eos.sort_unstable();
        assert_eq!(a, b, "{name}");
    }
}

#[test]
fn types_round_trip_within_their_step() {
    let synth = Synth { shape: "tiny-qwen2", dtype: DType::F32, seed: 7, vocab: None };
    let src = ModelFile::from_gguf_bytes(synth_bytes(&synth).unwrap()).unwrap();
    let name = "blk.0.ffn_gate.weight";
    let exact = values(&src, name);
    // Root mean square error relative to that of the values: about step / sqrt(12) for a normal's range.
    for (dtype, most) in [(DType::F16, 3e-4), (DType::BF16, 3e-3), (DType::Q8_0, 0.01), (DType::Q4_0, 0.12)] {
        let model = convert(&src, Some(dtype));
        assert_eq!(model.tensor(name).unwrap().info.dtype, dtype);
        let back = convert(&model, Some(DType::F32));
        let error: f64 = exact.iter().zip(values(&back, name)).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let power: f64 = exact.iter().map(|a| f64::from(*a).powi(2)).sum();
        assert!((error / power).sqrt() < most, "{dtype}: {}", (error / power).sqrt());
        assert_eq!(
            src.tensor("blk.0.attn_norm.weight").unwrap().bytes,
            back.tensor("blk.0.attn_norm.weight").unwrap().bytes
        );
        assert_eq!(src.config(), back.config());
        assert_eq!(src.chat_template(), back.chat_template());
    }
}

#[test]
fn rows_that_are_no_blocks_fall_back_with_a_note() {
    let src = open("smollm");
    let dst = std::env::temp_dir().join(format!("metallic-fallback-{}.gguf", std::process::id()));
    let refused = metallic_model::quantize(&src, &dst, DType::I32, metallic_model::Progress::none());
    assert!(refused.unwrap_err().to_string().contains("i32"));
    assert!(!dst.exists());
    let done = metallic_model::quantize(&src, &dst, DType::Q4_0, metallic_model::Progress::none()).unwrap();
    assert!(done.notes.is_empty(), "96 and 64 are whole blocks: {:?}", done.notes);
    if metallic_kernels::quant::can_quantize(DType::Q4_K) {
        let done = metallic_model::quantize(&src, &dst, DType::Q4_K, metallic_model::Progress::none()).unwrap();
        assert!(done.notes[0].contains("q8_0 instead of q4_k"), "{:?}", done.notes);
        let model = ModelFile::open(&dst).unwrap();
        assert_eq!(model.tensor("blk.0.attn_q.weight").unwrap().info.dtype, DType::Q8_0);
    }
    std::fs::remove_file(dst).unwrap();
}

/// A vocabulary must cut texts into the same ids after it went from tokenizer.json to GGUF.
#[test]
fn converted_vocabularies_give_the_references_ids() {
    let fixtures = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/tokenizers");
    for name in ["gpt2", "llama2", "llama2-noprefix", "llama3", "qwen2", "smollm"] {
        let read = |file: &str| std::fs::read(fixtures.join(name).join(file)).unwrap();
        let vocab = 4096;
        let config = mini::config_json().replace("259", &vocab.to_string());
        let weights = mini::safetensors_for(vocab);
        let src = ModelFile::from_safetensors_bytes(config.as_bytes(), weights, read("tokenizer.json")).unwrap();
        let model = convert(&src, Some(DType::Q8_0));
        let tokenizer = Tokenizer::from_model(&model).unwrap_or_else(|e| panic!("{name}: {e}"));
        let cases: serde_json::Value = serde_json::from_slice(&read("cases.json")).unwrap();
        for case in cases.as_array().unwrap() {
            let special = if case["parse_special"] == true { Special::Parse } else { Special::AsText };
            let text = case["text"].as_str().unwrap();
            let expected: Vec<u32> = serde_json::from_value(case["ids"].clone()).unwrap();
            assert_eq!(tokenizer.encode(text, special), expected, "{name} {text:?}");
        }
    }
}
