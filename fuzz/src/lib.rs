//! What the fuzz targets share: walking an opened model, and an allocator that notices greed.

use metallic_model::tokenizer::{Special, Tokenizer};
use metallic_model::{ModelFile, convert_bytes};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Counts the bytes in use and their peak.
pub struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(now, Relaxed);
        // SAFETY: as promised to us.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, p: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as promised to us.
        unsafe { System.dealloc(p, layout) }
    }
}

/// Runs `f`; panics where it had more than `times` the input and a mebibyte allocated at once.
pub fn frugal<T>(input: usize, times: usize, f: impl FnOnce() -> T) -> T {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    let out = f();
    let used = PEAK.load(Relaxed).saturating_sub(before);
    assert!(used <= input * times + (1 << 20), "{used} bytes allocated for an input of {input}");
    out
}

/// Touches everything that an opened model offers.
pub fn walk(model: &ModelFile) {
    let mut sum = 0usize;
    for t in model.tensors() {
        let bytes = model.tensor(&t.name).expect("a listed tensor").bytes;
        assert_eq!(bytes.len(), t.byte_len());
        sum += bytes.iter().map(|b| usize::from(*b)).sum::<usize>();
        model.release(&t.name);
    }
    std::hint::black_box((sum, model.metadata(), model.chat_template(), model.size_bytes()));
    let rope = model.config().rope.frequencies();
    assert!(rope.len() == model.config().rope.dims / 2);
    tokenize(model);
    if model.size_bytes() < 1 << 16 && model.tensors().len() > 0 {
        for dtype in [None, Some(metallic_kernels::DType::Q8_0)] {
            if let Ok(bytes) = convert_bytes(model, dtype) {
                ModelFile::from_gguf_bytes(bytes).expect("a file that we wrote");
            }
        }
    }
}

/// Builds the tokenizer and takes a text there and back.
pub fn tokenize(model: &ModelFile) {
    let Some(source) = model.tokenizer_source() else { return };
    if let Ok(t) = Tokenizer::new(&source) {
        exercise(&t);
    }
}

/// Takes texts through a tokenizer.
pub fn exercise(t: &Tokenizer) {
    for text in ["he said: héé  \n\n\t12345 don't </s> 🦀", "\u{0}\u{fffd}<|im_end|>"] {
        for special in [Special::Parse, Special::AsText] {
            let ids = t.encode(text, special);
            assert!(ids.iter().all(|id| (*id as usize) < t.vocab_size()));
            std::hint::black_box(t.decode(&ids));
        }
    }
    std::hint::black_box(t.decode(&[0, 1, u32::MAX, 257]));
}
