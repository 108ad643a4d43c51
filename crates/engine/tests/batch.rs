//! What one sequence says must not depend on others, on the number of threads, or on how the cache is kept.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::{all, drain, engine, fixture, generate, models, options, tokens};
use metallic_engine::{Engine, Event, KvType, Options, Request, Sampling};
use metallic_kernels::DType;
use metallic_model::{ModelFile, Progress, Synth, synth_bytes};

/// Prompts of several lengths out of a fixture's.
fn prompts(prompt: &[u32]) -> Vec<Vec<u32>> {
    [prompt.len(), 1, 7, 30, 16, 3].iter().map(|&n| prompt[prompt.len() - n..].to_vec()).collect()
}

#[test]
fn batched_greedy_tokens_equal_those_alone() {
    for (name, path, folder) in all() {
        let (prompt, _) = tokens(&folder);
        let request = |p: &Vec<u32>| Request { max_tokens: 24, ..Request::new(p.clone()) };
        let mut engine = engine(&path, &Options { max_sequences: 4, chunk: 16, ..options() });
        let alone: Vec<_> = prompts(&prompt).iter().map(|p| generate(&mut engine, request(p))).collect();
        for p in prompts(&prompt) {
            engine.add(request(&p)).unwrap();
        }
        assert_eq!(drain(&mut engine), alone, "{name}");
    }
}

#[test]
fn the_same_seed_gives_the_same_text_with_any_number_of_threads() {
    let (prompt, _) = tokens(&models().join("llama3"));
    let mut texts = Vec::new();
    for threads in [1, 2, 3] {
        let mut engine = fixture("llama3", &Options { threads: Some(threads), chunk: 16, ..options() });
        for seed in 0..3 {
            let sampling =
                Sampling { temperature: 1.5, top_k: 0, top_p: 1.0, ..Sampling::recommended(&Default::default(), seed) };
            engine.add(Request { sampling, max_tokens: 40, ..Request::new(prompt.clone()) }).unwrap();
        }
        texts.push(drain(&mut engine));
    }
    assert_eq!(texts[0], texts[1]);
    assert_eq!(texts[0], texts[2]);
    assert_ne!(texts[0][0], texts[0][1], "seeds differ");
}

/// Quantized and half-precision models run on other kernels than the fixtures, which are F32.
#[test]
fn threads_do_not_change_text_in_any_stored_type() {
    for dtype in [DType::F16, DType::BF16, DType::Q8_0, DType::Q4_0, DType::Q4_K] {
        let bytes = synth_bytes(&Synth { shape: "tiny-qwen2", dtype, seed: 3, vocab: None }).unwrap();
        let file = Arc::new(ModelFile::from_gguf_bytes(bytes).unwrap());
        let mut texts = Vec::new();
        for threads in [1, 2, 3] {
            let options = Options { threads: Some(threads), ..options() };
            let mut engine = Engine::load(file.clone(), &options, Progress::none()).unwrap();
            for length in [100, 3] {
                let prompt = (0..length).map(|i| i * 7 % 500).collect();
                let sampling = Sampling { temperature: 1.0, seed: 11, ..Sampling::greedy() };
                engine.add(Request { sampling, max_tokens: 24, ..Request::new(prompt) }).unwrap();
            }
            texts.push(drain(&mut engine));
        }
        assert_eq!(texts[0], texts[1], "{dtype}");
        assert_eq!(texts[0], texts[2], "{dtype}");
    }
}

#[test]
fn long_prompts_do_not_stop_those_who_generate() {
    let mut engine = fixture("qwen2-tied", &Options { chunk: 16, ..options() });
    let short = engine.add(Request { max_tokens: 60, ..Request::new(vec![1, 2, 3]) }).unwrap();
    let mut events = Vec::new();
    engine.step(&mut events).unwrap();
    let long = engine.add(Request { max_tokens: 1, ..Request::new(vec![5; 200]) }).unwrap();
    let mut done = Vec::new();
    while !engine.is_idle() {
        engine.step(&mut events).unwrap();
        if done.last() != Some(&200) {
            assert!(events.iter().any(|e| matches!(e, Event::Token { seq, .. } if *seq == short)));
        }
        done.extend(events.iter().filter_map(|e| match e {
            Event::Prefill { seq, done, total: 200 } if *seq == long => Some(*done),
            _ => None,
        }));
    }
    // One token of each step is the other sequence's.
    assert_eq!(done, (1..=13).map(|i| 200.min(15 * i)).chain([200]).collect::<Vec<_>>());
}

#[test]
fn more_sequences_than_run_at_a_time_wait_for_their_turn() {
    let mut engine = fixture("smollm", &Options { max_sequences: 2, ..options() });
    for i in 0..7 {
        engine.add(Request { max_tokens: 3, ..Request::new(vec![i, 5]) }).unwrap();
    }
    let (mut events, mut ended) = (Vec::new(), BTreeMap::new());
    while !engine.is_idle() {
        engine.step(&mut events).unwrap();
        assert!(engine.sequences().0 <= 2);
        for e in &events {
            if let Event::Finished { seq, usage, .. } = e {
                assert_eq!((usage.prompt, usage.generated), (2, 3));
                ended.insert(*seq, ());
            }
        }
    }
    assert_eq!(ended.len(), 7);
}

/// The cache grows from its first pages to the whole context while plans hold on to it.
#[test]
fn a_cache_that_grows_keeps_what_it_holds() {
    let (prompt, want) = tokens(&models().join("llama2"));
    let mut engine = fixture("llama2", &Options { max_sequences: 4, ..options() });
    let before = engine.pages().0;
    engine.add(Request { max_tokens: want.len(), ..Request::new(prompt) }).unwrap();
    let mut events = Vec::new();
    let mut got = Vec::new();
    for step in 0.. {
        if engine.is_idle() {
            break;
        }
        // Another long sequence starts in the middle and needs more pages than there are.
        if step == 20 {
            engine.add(Request { max_tokens: 5, ..Request::new(vec![9; 500]) }).unwrap();
        }
        engine.step(&mut events).unwrap();
        got.extend(events.iter().filter_map(|e| match e {
            Event::Token { seq, id, .. } if seq.to_string() == "0" => Some(*id),
            _ => None,
        }));
    }
    assert!(engine.pages().0 > before);
    assert_eq!(got, want);
}

/// Smaller caches round keys and values; on these models the greedy tokens bear it.
#[test]
fn smaller_caches_change_logits_little() {
    let (prompt, _) = tokens(&models().join("qwen3"));
    let exact = common::logits(&mut fixture("qwen3", &options()), &prompt);
    for (kv, budget) in [(KvType::F16, 2e-3), (KvType::Q8_0, 4e-2)] {
        let rounded = common::logits(&mut fixture("qwen3", &Options { kv, ..options() }), &prompt);
        let worst = exact.iter().zip(&rounded).fold(0.0f32, |m, (a, b)| m.max((a - b).abs())) / 24.45;
        println!("{kv:?}: max |difference| / range = {worst:.1e}");
        assert!(worst > 0.0 && worst < budget, "{kv:?}: {worst}");
    }
}

#[test]
fn a_kept_cache_serves_a_longer_prompt() {
    let (prompt, want) = tokens(&models().join("mistral"));
    let mut engine = fixture("mistral", &options());
    let request = |p: &[u32], n| Request { max_tokens: n, reuse: true, ..Request::new(p.to_vec()) };
    generate(&mut engine, request(&prompt, 20));
    let longer: Vec<u32> = prompt.iter().chain(&want[..30]).copied().collect();
    engine.add(request(&longer, 34)).unwrap();
    let (mut events, mut got, mut cached) = (Vec::new(), Vec::new(), 0);
    while !engine.is_idle() {
        engine.step(&mut events).unwrap();
        for e in &events {
            match e {
                Event::Token { id, .. } => got.push(*id),
                Event::Finished { usage, .. } => cached = usage.cached,
                Event::Prefill { .. } => {}
            }
        }
    }
    assert_eq!(got, want[30..]);
    // The last token generated was never fed.
    assert_eq!(cached, prompt.len() + 19);
    let (pages, free) = engine.pages();
    assert!(free < pages);
    engine.drop_reusable();
    assert_eq!(engine.pages().1, pages);
}
