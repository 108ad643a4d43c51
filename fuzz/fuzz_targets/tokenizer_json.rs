//! Any bytes as tokenizer.json.

#![no_main]

use libfuzzer_sys::fuzz_target;
use metallic_fuzz::{Counting, exercise, frugal};
use metallic_model::TokenizerSource;
use metallic_model::tokenizer::{HfFiles, Tokenizer};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|data: &[u8]| {
    let source = TokenizerSource::HfJson(HfFiles { tokenizer_json: data, ..HfFiles::default() });
    if let Ok(t) = frugal(data.len(), 96, || Tokenizer::new(&source)) {
        exercise(&t);
    }
});
