//! Any bytes as a GGUF file: parsed, every value and tensor read, and opened as a model where that goes.

#![no_main]

use libfuzzer_sys::fuzz_target;
use metallic_fuzz::{Counting, frugal, walk};
use metallic_model::ModelFile;
use metallic_model::gguf::{Array, Gguf, Value};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fuzz_target!(|data: &[u8]| {
    if let Ok(gguf) = frugal(data.len(), 16, || Gguf::parse(data)) {
        for (key, value) in gguf.metadata() {
            // Floats are compared as text, as NaN equals nothing.
            assert_eq!(gguf.get(key).map(|v| v.to_string()), Some(value.to_string()));
            if let Value::Array(a) = value {
                read(a);
            }
        }
        for t in gguf.tensors() {
            assert_eq!(gguf.data(t).len(), t.byte_len());
        }
    }
    // The copy of the input counts too.
    if let Ok(model) = frugal(data.len(), 24, || ModelFile::from_gguf_bytes(data.to_vec())) {
        walk(&model);
    }
});

fn read(a: Array) {
    let items = a.strings().count() + a.scalars().count();
    assert!(items == a.len() || a.kind() == metallic_model::gguf::Kind::Array);
}
