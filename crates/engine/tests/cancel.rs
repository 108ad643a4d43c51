//! Many generations, cancelled at random points: nothing may be lost, and what comes after must be right.

mod common;

use common::{drain, fixture, models, options, tokens};
use metallic_engine::{Engine, Event, Options, Request, Sampling, SeqId};

/// A small generator of random numbers (Marsaglia's xorshift), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

/// Resident set of this process in bytes.
#[cfg(target_os = "linux")]
fn resident() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: usize = text.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

#[cfg(not(target_os = "linux"))]
fn resident() -> Option<usize> {
    None
}

fn add(engine: &mut Engine, random: &mut Random) -> SeqId {
    let most = if random.below(20) == 0 { 300 } else { 30 };
    let length = 1 + random.below(most);
    let prompt = (0..length).map(|_| random.below(256) as u32).collect();
    let sampling = Sampling { seed: random.below(1000) as u64, ..Sampling::default() };
    let max_tokens = random.below(100);
    let reuse = random.below(2) == 0;
    engine.add(Request { sampling, max_tokens, reuse, ..Request::new(prompt) }).unwrap()
}

#[test]
fn a_thousand_cancelled_generations_leave_nothing_behind() {
    let mut engine = fixture("qwen2-tied", &Options { chunk: 32, max_sequences: 3, ..options() });
    let (mut random, mut alive, mut events) = (Random(9), Vec::new(), Vec::new());
    let (mut cancelled, mut at_warm, mut pages_at_warm) = (0, None, 0);
    while cancelled < 1000 {
        if alive.len() < 5 {
            alive.push(add(&mut engine, &mut random));
        }
        if random.below(3) == 0 {
            let seq = alive.swap_remove(random.below(alive.len()));
            assert!(engine.cancel(seq));
            assert!(!engine.cancel(seq), "a cancelled sequence is gone");
            cancelled += 1;
        }
        engine.step(&mut events).unwrap();
        for event in &events {
            if let Event::Finished { seq, .. } = event {
                alive.retain(|s| s != seq);
            }
        }
        if cancelled == 300 && at_warm.is_none() {
            (at_warm, pages_at_warm) = (resident(), engine.pages().0);
        }
    }
    drain_all(&mut engine);
    engine.drop_reusable();
    let (pages, free) = engine.pages();
    assert_eq!(pages, free, "pages lost");
    println!("1000 cancelled; {pages} pages, {pages_at_warm} of them after 300");
    if let (Some(before), Some(after)) = (at_warm, resident()) {
        println!("resident after 300: {before} bytes, after 1000: {after} bytes");
        assert!(after < before + (8 << 20), "{before} grew to {after}");
    }

    let (prompt, want) = tokens(&models().join("qwen2-tied"));
    engine.add(Request { max_tokens: want.len(), ..Request::new(prompt) }).unwrap();
    assert_eq!(drain(&mut engine).remove(0).0, want);
}

fn drain_all(engine: &mut Engine) {
    let mut events = Vec::new();
    while !engine.is_idle() {
        engine.step(&mut events).unwrap();
    }
}
