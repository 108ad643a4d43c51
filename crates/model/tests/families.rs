//! The configuration of every family, from small models written by transformers and by the gguf package.

use metallic_model::config::{Pairing, RopeScaling};
use metallic_model::{Arch, Config, Format, ModelFile, TokenizerSource};
use std::path::PathBuf;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models").join(name)
}

fn open(name: &str) -> ModelFile {
    ModelFile::open(&fixture(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn config(name: &str) -> Config {
    open(name).config().clone()
}

#[test]
fn qwen2_tied_and_untied() {
    let model = open("qwen2-tied");
    let c = model.config();
    assert_eq!((c.arch, c.name.as_str(), c.tied), (Arch::Qwen2, "qwen2-tied", true));
    assert_eq!((c.n_layers, c.d_model, c.d_ff, c.vocab, c.context_length), (2, 64, 64, 260, 512));
    assert_eq!((c.n_heads, c.n_kv_heads, c.head_dim), (4, 2, 16));
    assert_eq!((c.rope.theta, c.rope.pairing, c.rope.scaling), (1e6, Pairing::Halves, RopeScaling::None));
    assert_eq!((c.sliding_window, c.bos, c.eos.as_slice()), (None, Some(257), &[258][..]));
    assert_eq!(model.format(), Format::Safetensors);
    assert!(model.tensor("blk.1.attn_q.bias").is_some());
    let Some(TokenizerSource::HfJson(files)) = model.tokenizer_source() else { panic!("no tokenizer") };
    assert!(files.tokenizer_json.starts_with(b"{"));

    let untied = open("qwen2-untied");
    assert!(!untied.config().tied);
    assert_eq!(untied.tensor("output.weight").unwrap().info.shape, [260, 64]);
}

#[test]
fn qwen3_has_its_own_head_width_and_norms() {
    let model = open("qwen3");
    assert_eq!((model.config().arch, model.config().head_dim), (Arch::Qwen3, 32));
    assert_eq!(model.tensor("blk.0.attn_q_norm.weight").unwrap().info.shape, [32]);
}

#[test]
fn llama_scaling() {
    let llama3 = RopeScaling::Llama3 { factor: 8.0, low: 1.0, high: 4.0, original: 64.0 };
    assert_eq!(config("llama3").rope.scaling, llama3);
    assert_eq!(config("llama3").eos, [258, 259]);
    let linear = config("llama-linear");
    assert_eq!((linear.rope.scaling, linear.rope.theta), (RopeScaling::Linear(4.0), 10_000.0));
    assert_eq!((config("smollm").rope.theta, config("smollm").rope.scaling), (100_000.0, RopeScaling::None));
    assert_eq!(config("mistral").sliding_window, Some(16));
    assert_eq!(config("llama2").n_kv_heads, 4);
}

/// The gguf package's files and transformers' folders of one model must tell the same story.
#[test]
fn gguf_and_safetensors_agree() {
    for name in ["qwen2-tied", "llama2", "llama3"] {
        let folder = open(name);
        let gguf = open(&format!("{name}/model.gguf"));
        let (mut a, b) = (folder.config().clone(), gguf.config().clone());
        for (x, y) in a.rope.frequencies().into_iter().zip(b.rope.frequencies()) {
            assert!((x - y).abs() <= 1e-6 * x, "{name}: frequencies {x} {y}");
        }
        let expected = if b.arch == Arch::Llama { Pairing::Interleaved } else { Pairing::Halves };
        assert_eq!(b.rope.pairing, expected, "{name}");
        a.rope = b.rope.clone();
        (a.bos, a.eos, a.add_bos) = (b.bos, b.eos.clone(), b.add_bos);
        assert_eq!(a, b, "{name}");
        for t in folder.tensors().filter(|t| b.arch == Arch::Qwen2 || !t.name.contains("attn_")) {
            assert_eq!(folder.tensor(&t.name).unwrap().bytes, gguf.tensor(&t.name).unwrap().bytes, "{name} {}", t.name);
        }
    }
}

#[test]
fn released_tensors_can_be_read_again() {
    let model = open("qwen2-tied/model.gguf");
    let name = "token_embd.weight";
    let before = model.tensor(name).unwrap().bytes.to_vec();
    model.release(name);
    model.release("no such tensor");
    assert_eq!(model.tensor(name).unwrap().bytes, before);
}

#[test]
fn a_file_of_a_folder_opens_the_folder() {
    let folder = config("qwen2-untied");
    for file in ["config.json", "model.safetensors.index.json", "model-00002-of-00002.safetensors"] {
        assert_eq!(config(&format!("qwen2-untied/{file}")), folder, "{file}");
    }
    // A bare name has an empty parent; what is missing is then looked for here.
    let e = ModelFile::open(std::path::Path::new("model.safetensors")).unwrap_err().to_string();
    assert!(e.contains("config.json"), "{e}");
}
