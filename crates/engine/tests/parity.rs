//! Our logits and tokens against those of transformers in f32 (`fixtures/models`), for every family and file format.

mod common;

use common::{all, engine, logits, npy, options, tokens};
use metallic_engine::{Options, Request};

/// Largest difference allowed, relative to the range of the logits.
const BUDGET: f32 = 1e-4;

fn worst(got: &[f32], want: &[f32]) -> f32 {
    assert_eq!(got.len(), want.len());
    let range = want.iter().fold(f32::MIN, |m, &v| m.max(v)) - want.iter().fold(f32::MAX, |m, &v| m.min(v));
    // A NaN must not vanish in a maximum.
    assert!(got.iter().all(|v| v.is_finite()));
    got.iter().zip(want).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / range
}

#[test]
fn prefill_logits_equal_those_of_transformers() {
    for (name, path, folder) in all() {
        let (prompt, _) = tokens(&folder);
        let (.., want) = npy(&folder.join("logits.npy"));
        for chunk in [512, 7] {
            let mut engine = engine(&path, &Options { chunk, ..options() });
            let worst = worst(&logits(&mut engine, &prompt), &want);
            println!("{name}: prefill in chunks of {chunk}: max |difference| / range = {worst:.1e}");
            assert!(worst <= BUDGET, "{name}, chunk {chunk}: {worst}");
        }
    }
}

/// Other processors run other variants; each set must pass alone.
#[test]
fn every_set_of_features_agrees_with_transformers() {
    let without = |names: &[&str]| Options { without: names.iter().map(|s| (*s).to_owned()).collect(), ..options() };
    let sets = [
        ("all", without(&[])),
        ("no amx", without(&["amx"])),
        ("no avx512", without(&["amx", "avx512"])),
        ("plain matmul", Options { force: vec!["matmul=cpu/plain".to_owned()], ..options() }),
        ("two threads", Options { threads: Some(2), ..options() }),
    ];
    for (set, options) in sets {
        for name in ["qwen2-untied", "qwen3", "smollm"] {
            let folder = common::models().join(name);
            let (prompt, _) = tokens(&folder);
            let (.., want) = npy(&folder.join("logits.npy"));
            let worst = worst(&logits(&mut engine(&folder, &options), &prompt), &want);
            println!("{name}, {set}: max |difference| / range = {worst:.1e}");
            assert!(worst <= BUDGET, "{name}, {set}: {worst}");
        }
    }
}

/// Feeds the greedy path one token at a time, so that every row comes out of a step of one token over the cache.
#[test]
fn decode_logits_equal_those_of_transformers() {
    for (name, path, folder) in all() {
        let (prompt, continuation) = tokens(&folder);
        let (rows, vocab, want) = npy(&folder.join("decode_logits.npy"));
        let mut engine = engine(&path, &Options { chunk: 1, ..options() });
        let text: Vec<u32> = prompt.iter().chain(&continuation[..rows - 1]).copied().collect();
        let got = logits(&mut engine, &text);
        let worst = worst(&got[(prompt.len() - 1) * vocab..], &want);
        println!("{name}: decode: max |difference| / range = {worst:.1e}");
        assert!(worst <= BUDGET, "{name}: {worst}");
    }
}

#[test]
fn greedy_tokens_equal_those_of_transformers() {
    for (name, path, folder) in all() {
        let (prompt, want) = tokens(&folder);
        for chunk in [512, 7] {
            let mut engine = engine(&path, &Options { chunk, ..options() });
            let request = Request { max_tokens: want.len(), ..Request::new(prompt.clone()) };
            let (got, _) = common::generate(&mut engine, request);
            assert_eq!(got, want, "{name}, chunk {chunk}");
        }
        println!("{name}: {} greedy tokens equal", want.len());
    }
}
