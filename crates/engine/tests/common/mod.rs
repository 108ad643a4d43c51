//! The small models of `fixtures/models` and what transformers computed with them.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use metallic_engine::{Engine, Event, FinishReason, Options, Pinning, Request};
use metallic_model::{ModelFile, Progress};

/// Tokens of every fixture's vocabulary.
pub const VOCAB: usize = 260;

pub fn models() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/models")
}

/// Every model of the fixtures: its name, its files in every format, and its folder.
pub fn all() -> Vec<(String, PathBuf, PathBuf)> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(models()).unwrap() {
        let folder = entry.unwrap().path();
        let name = folder.file_name().unwrap().to_str().unwrap().to_owned();
        let gguf = folder.join("model.gguf");
        list.push((name.clone(), folder.clone(), folder.clone()));
        if gguf.exists() {
            list.push((format!("{name} (gguf)"), gguf, folder));
        }
    }
    list.sort();
    list
}

pub fn options() -> Options {
    Options { threads: Some(1), pinning: Pinning::Free, ..Options::default() }
}

pub fn open(path: &Path) -> Arc<ModelFile> {
    Arc::new(ModelFile::open(path).unwrap())
}

pub fn engine(path: &Path, options: &Options) -> Engine {
    Engine::load(open(path), options, Progress::none()).unwrap()
}

pub fn fixture(name: &str, options: &Options) -> Engine {
    engine(&models().join(name), options)
}

/// `prompt` and `continuation` of a model's `tokens.json`.
pub fn tokens(folder: &Path) -> (Vec<u32>, Vec<u32>) {
    let text = std::fs::read_to_string(folder.join("tokens.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |key: &str| json[key].as_array().unwrap().iter().map(|v| v.as_u64().unwrap() as u32).collect();
    (list("prompt"), list("continuation"))
}

/// A two-dimensional little-endian f32 array in numpy's format: rows, columns, values.
pub fn npy(path: &Path) -> (usize, usize, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let header = std::str::from_utf8(&bytes[10..end]).unwrap();
    assert!(header.contains("'<f4'") && header.contains("'fortran_order': False"), "{header}");
    let shape = header.split_once('(').unwrap().1.split_once(')').unwrap().0;
    let shape: Vec<usize> = shape.split(',').filter_map(|s| s.trim().parse().ok()).collect();
    let values: Vec<f32> = bytes[end..].as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect();
    assert_eq!((shape.len(), shape[0] * shape[1]), (2, values.len()));
    (shape[0], shape[1], values)
}

/// All logits of a text.
pub fn logits(engine: &mut Engine, tokens: &[u32]) -> Vec<f32> {
    let vocab = engine.config().vocab;
    let mut all = Vec::new();
    let sink = &mut |first: usize, rows: &[f32]| {
        assert_eq!((first * vocab, rows.len() % vocab), (all.len(), 0));
        all.extend_from_slice(rows);
        std::ops::ControlFlow::Continue(())
    };
    engine.logits(tokens, sink).unwrap();
    all
}

/// Runs all that was added and gives each sequence's tokens and end, in the order of `SeqId`.
pub fn drain(engine: &mut Engine) -> Vec<(Vec<u32>, FinishReason)> {
    let mut texts = std::collections::BTreeMap::new();
    let mut events = Vec::new();
    while !engine.is_idle() {
        engine.step(&mut events).unwrap();
        for event in &events {
            match *event {
                Event::Prefill { seq, done, total } => {
                    assert!(done <= total);
                    texts.entry(seq).or_insert((Vec::new(), None));
                }
                Event::Token { seq, id, .. } => texts.entry(seq).or_insert((Vec::new(), None)).0.push(id),
                Event::Finished { seq, reason, .. } => {
                    texts.entry(seq).or_insert((Vec::new(), None)).1 = Some(reason);
                }
            }
        }
    }
    texts.into_values().map(|(tokens, end)| (tokens, end.expect("every sequence ends"))).collect()
}

pub fn generate(engine: &mut Engine, request: Request) -> (Vec<u32>, FinishReason) {
    engine.add(request).unwrap();
    drain(engine).remove(0)
}
