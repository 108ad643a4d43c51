//! Every stored type through the whole path: a model of that type against the same weights decoded to F32, whose path agrees
//! with transformers (`parity`).

mod common;

use std::sync::Arc;

use common::{logits, options};
use metallic_engine::{Engine, Phase, explain};
use metallic_kernels::DType;
use metallic_model::{ModelFile, Progress, Synth, convert_bytes, synth_bytes};

/// All stored types with an encoder, and the largest difference of logits relative to their range. Quantized matrices may be
/// multiplied with activations rounded to bf16.
const TYPES: [(DType, f32); 14] = [
    (DType::F16, 5e-3),
    (DType::BF16, 5e-3),
    (DType::Q8_0, 2e-2),
    (DType::Q4_0, 2e-2),
    (DType::Q4_1, 2e-2),
    (DType::Q5_0, 2e-2),
    (DType::Q5_1, 2e-2),
    (DType::Q2_K, 2e-2),
    (DType::Q3_K, 2e-2),
    (DType::Q4_K, 2e-2),
    (DType::Q5_K, 2e-2),
    (DType::Q6_K, 2e-2),
    (DType::IQ4_NL, 2e-2),
    (DType::MXFP4, 2e-2),
];

fn model(bytes: Vec<u8>) -> Arc<ModelFile> {
    Arc::new(ModelFile::from_gguf_bytes(bytes).unwrap())
}

#[test]
fn every_stored_type_agrees_with_its_decoded_weights() {
    let tokens: Vec<u32> = (0..18).map(|i| i * 37 % 512).collect();
    for (i, (dtype, budget)) in TYPES.into_iter().enumerate() {
        let shape = ["tiny-qwen2", "tiny-qwen3", "tiny-llama"][i % 3];
        let stored = model(synth_bytes(&Synth { shape, dtype, seed: 5, vocab: None }).unwrap());
        assert_eq!(stored.tensor("blk.0.ffn_up.weight").unwrap().info.dtype, dtype);
        let decoded = model(convert_bytes(&stored, Some(DType::F32)).unwrap());
        let run = |file: &Arc<ModelFile>, chunk| {
            let options = metallic_engine::Options { chunk, kv: metallic_engine::KvType::F32, ..options() };
            logits(&mut Engine::load(file.clone(), &options, Progress::none()).unwrap(), &tokens)
        };
        let want = run(&decoded, 64);
        let range = want.iter().fold(f32::MIN, |m, &v| m.max(v)) - want.iter().fold(f32::MAX, |m, &v| m.min(v));
        for chunk in [64, 1] {
            let got = run(&stored, chunk);
            let worst = got.iter().zip(&want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / range;
            println!("{shape} {dtype}, chunk {chunk}: max |difference| / range = {worst:.1e}");
            assert!(got.iter().all(|v| v.is_finite()) && worst < budget, "{shape} {dtype}, chunk {chunk}: {worst}");
        }
    }
}

/// What `explain` says without loading is what a loaded engine's plans hold.
#[test]
fn explain_names_the_variants_that_run() {
    for (shape, dtype) in [("tiny-qwen2", DType::Q8_0), ("tiny-llama", DType::F16), ("tiny-qwen3", DType::Q6_K)] {
        let file = model(synth_bytes(&Synth { shape, dtype, seed: 5, vocab: None }).unwrap());
        let mut engine = Engine::load(file.clone(), &options(), Progress::none()).unwrap();
        let explained = explain(&file, &options()).unwrap();
        for (phase, tokens) in [(Phase::Decode, 1), (Phase::Prefill, 512)] {
            let plan = engine.plan(tokens, 1).unwrap();
            let mut ran: Vec<String> = plan.records().iter().map(|r| format!("{} {}", r.key, r.variant.id())).collect();
            let of_phase = explained.iter().filter(|e| e.phase == phase);
            let mut said: Vec<String> =
                of_phase.flat_map(|e| vec![format!("{} {}", e.key, e.variant.as_deref().unwrap()); e.times]).collect();
            ran.sort();
            said.sort();
            assert_eq!(ran, said, "{shape} {dtype} {phase:?}");
        }
    }
}

/// A step's bytes and products are those of the file's matrices, whatever launches they were fused into.
#[test]
fn a_step_reads_every_matrix_once() {
    for (shape, dtype) in [("tiny-qwen2", DType::Q8_0), ("tiny-llama", DType::F32), ("tiny-qwen3", DType::Q6_K)] {
        let file = model(synth_bytes(&Synth { shape, dtype, seed: 5, vocab: None }).unwrap());
        let stats = Engine::load(file.clone(), &options(), Progress::none()).unwrap().stats();
        let tied = file.config().tied;
        let used = |name: &str| tied || name != "token_embd.weight";
        let matrices = || file.tensors().filter(|t| t.shape.len() == 2 && used(&t.name));
        assert_eq!(stats.weight_products, matrices().map(|t| t.elements()).sum::<usize>(), "{shape}");
        let bytes: usize = matrices().map(|t| t.byte_len()).sum();
        let vectors: usize = file.tensors().filter(|t| t.shape.len() == 1).map(|t| t.byte_len()).sum();
        // A row of the embedding comes on top.
        let row = file.tensor("token_embd.weight").map_or(0, |t| t.bytes.len() / t.info.shape[0]);
        assert_eq!(stats.weight_bytes, bytes + vectors + row, "{shape}");
    }
}
