//! Any bytes as config.json, model.safetensors and tokenizer.json, with the lengths of the first and last in front.

#![no_main]

use libfuzzer_sys::fuzz_target;
use metallic_fuzz::{Counting, frugal, walk};
use metallic_model::ModelFile;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|data: &[u8]| {
    let Some((lengths, rest)) = data.split_first_chunk::<4>() else { return };
    let [a, b, c, d] = lengths.map(usize::from);
    let (config, rest) = rest.split_at((a | b << 8).min(rest.len()));
    let (tokenizer, weights) = rest.split_at((c | d << 8).min(rest.len()));
    let open = || ModelFile::from_safetensors_bytes(config, weights.to_vec(), tokenizer.to_vec());
    if let Ok(model) = frugal(data.len(), 96, open) {
        walk(&model);
    }
});
