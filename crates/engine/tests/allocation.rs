//! Generating allocates nothing, once its buffers are there.

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use common::{fixture, options};
use metallic_engine::{Options, Request, Sampling};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(ptr, layout, size) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn the_decode_loop_allocates_nothing() {
    let mut engine = fixture("qwen2-tied", &Options { threads: Some(2), ..options() });
    // A long text first, so that the cache need not grow below.
    common::generate(&mut engine, Request { max_tokens: 0, ..Request::new(vec![1; 500]) });
    for (seed, top_k) in [(0, 40), (1, 0), (2, 0)] {
        let sampling = Sampling { seed, top_k, repeat_penalty: 1.1, ..Sampling::default() };
        engine.add(Request { sampling, max_tokens: 100, logprobs: seed == 1, ..Request::new(vec![1; 40]) }).unwrap();
    }
    let mut events = Vec::with_capacity(16);
    for _ in 0..4 {
        engine.step(&mut events).unwrap();
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let mut tokens = 0;
    // Past the first page's end, so that pages are taken on the way.
    for _ in 0..60 {
        engine.step(&mut events).unwrap();
        tokens += events.len();
    }
    assert_eq!((tokens, ALLOCATIONS.load(Ordering::Relaxed) - before), (180, 0));
}
