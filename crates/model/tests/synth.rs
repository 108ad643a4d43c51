//! Models with random weights: readable, reproducible, of the asked-for shape.

use metallic_kernels::DType;
use metallic_model::{Arch, Error, ModelFile, Progress, Synth, shape_names, synth, synth_bytes};
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

fn tiny(shape: &str, dtype: DType) -> Synth<'_> {
    Synth { shape, dtype, seed: 42, vocab: None }
}

fn scratch(name: &str) -> PathBuf {
    let dir = std::env::temp_dir().join(format!("metallic-synth-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    dir
}

#[test]
fn every_tiny_shape_opens_in_every_type() {
    let types: Vec<DType> = DType::all().filter(|d| metallic_kernels::quant::can_quantize(*d)).collect();
    for shape in shape_names().filter(|n| n.starts_with("tiny")) {
        for &dtype in &types {
            let bytes = synth_bytes(&tiny(shape, dtype)).unwrap();
            let model = ModelFile::from_gguf_bytes(bytes).unwrap_or_else(|e| panic!("{shape} {dtype}: {e}"));
            assert_eq!(model.tensor("blk.1.ffn_down.weight").unwrap().info.dtype, dtype);
            assert_eq!(model.tensor("output_norm.weight").unwrap().info.dtype, DType::F32);
            assert!(model.tokenizer_source().is_some() && model.chat_template().is_some());
            assert!(model.config().eos.contains(&259), "{shape}: {:?}", model.config().eos);
        }
    }
}

#[test]
fn same_bytes_for_any_number_of_threads() {
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| synth_bytes(&tiny("tiny-qwen2", DType::Q8_0)).unwrap())
    };
    let one = with(1);
    assert!(one == with(3));
    assert!(one != synth_bytes(&Synth { seed: 43, ..tiny("tiny-qwen2", DType::Q8_0) }).unwrap());
}

#[test]
fn values_have_the_stated_spread() {
    let model = ModelFile::from_gguf_bytes(synth_bytes(&tiny("tiny-llama", DType::F32)).unwrap()).unwrap();
    assert_eq!(model.config().arch, Arch::Llama);
    for (name, mean, std) in
        [("token_embd.weight", 0.0, 0.02), ("blk.0.ffn_up.weight", 0.0, 1.0 / 16.0), ("output_norm.weight", 1.0, 0.1)]
    {
        let bytes = model.tensor(name).unwrap().bytes;
        let v: Vec<f64> = bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b).into()).collect();
        let m = v.iter().sum::<f64>() / v.len() as f64;
        let s = (v.iter().map(|x| (x - m).powi(2)).sum::<f64>() / v.len() as f64).sqrt();
        // Four standard errors of the mean, and of the deviation with room for 256 values.
        assert!((m - mean).abs() < 4.0 * std / (v.len() as f64).sqrt(), "{name}: mean {m}");
        assert!((s / std - 1.0).abs() < 4.0 / (2.0 * v.len() as f64).sqrt(), "{name}: deviation {s}");
    }
}

#[test]
fn unknown_shape_lists_the_known_ones() {
    let e = synth_bytes(&tiny("gpt-5", DType::F16)).unwrap_err().to_string();
    assert!(e.contains("gpt-5") && e.contains("qwen2.5-0.5b") && e.contains("tiny-llama"), "{e}");
}

#[test]
fn a_cancelled_or_failed_write_leaves_nothing() {
    let dir = scratch("cancel");
    let cancel = AtomicBool::new(true);
    let progress = Progress { cancel: &cancel, ..Progress::none() };
    let e = synth(&tiny("tiny-qwen3", DType::F16), &dir.join("m.gguf"), progress).unwrap_err();
    assert!(matches!(e, Error::Cancelled), "{e}");
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 0);

    let path = dir.join("m.gguf");
    synth(&tiny("tiny-qwen3", DType::F16), &path, Progress::none()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), synth_bytes(&tiny("tiny-qwen3", DType::F16)).unwrap());
    assert_eq!(std::fs::read_dir(&dir).unwrap().count(), 1);
    std::fs::remove_dir_all(dir).unwrap();
}
