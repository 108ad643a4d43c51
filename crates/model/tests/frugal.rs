//! Files built to make a reader allocate: none may cost more than a small multiple of its own size.

#[path = "hostile/mini.rs"]
#[allow(dead_code)]
mod mini;

use metallic_kernels::DType;
use metallic_model::gguf::{Gguf, Value};
use metallic_model::gguf_write::GgufWriter;
use metallic_model::{Arch, ModelFile};
use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

struct Counting;

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

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Peak of what `f` allocates, as a multiple of `input` bytes.
fn cost<T>(input: usize, f: impl FnOnce() -> T) -> f64 {
    let before = NOW.load(Relaxed);
    PEAK.store(before, Relaxed);
    drop(f());
    (PEAK.load(Relaxed) - before) as f64 / input as f64
}

fn gguf_cost(bytes: Vec<u8>) -> f64 {
    let len = bytes.len();
    // The bytes themselves stand for the map of a file and are not counted.
    cost(len, || Gguf::parse(&bytes).map(|_| ()).map_err(|e| e.to_string()))
        .max(cost(len, move || ModelFile::from_gguf_bytes(bytes).map(|_| ()).map_err(|e| e.to_string())))
}

/// One test, as the allocator counts for the whole process.
#[test]
fn nothing_costs_more_than_a_small_multiple_of_its_size() {
    let header = |w: GgufWriter| w.write_to(Vec::new(), Path::new("memory")).unwrap().into_bytes().unwrap();

    let mut strings = mini::keys(Arch::Llama);
    strings.put_strings("general.tags", &vec![""; 500_000]).unwrap();
    let mut keys = GgufWriter::new();
    (0..200_000).for_each(|i| keys.put(&format!("{i:x}"), Value::U8(0)).unwrap());
    let mut merges = mini::keys(Arch::Llama);
    merges.put_strings("tokenizer.ggml.merges", &vec![""; 500_000]).unwrap();
    // Descriptions of tensors that all claim the same data, which is found only after all were read.
    let mut tensors = b"GGUF\x03\0\0\0".to_vec();
    tensors.extend(100_000u64.to_le_bytes());
    tensors.extend(0u64.to_le_bytes());
    for i in 0..100_000u64 {
        let name = format!("{i:x}");
        tensors.extend((name.len() as u64).to_le_bytes());
        tensors.extend(name.as_bytes());
        tensors.extend(1u32.to_le_bytes());
        tensors.extend(8u64.to_le_bytes());
        tensors.extend([0; 12]);
    }
    tensors.resize(tensors.len() + 256, 0);
    let cases = [
        ("empty strings", header(strings)),
        ("tiny keys", header(keys)),
        ("empty merges", header(merges)),
        ("tensors", tensors),
        ("a model", mini::gguf(Arch::Qwen3, DType::F16)),
    ];
    for (name, bytes) in cases {
        let cost = gguf_cost(bytes);
        eprintln!("{name}: {cost:.1} times its size");
        assert!(cost < 8.0, "{name}: {cost}");
    }

    let many = |item: &str, n: usize| format!("{{\"x\":[{}]}}", vec![item; n].join(","));
    let mut names = String::from("{");
    for i in 0..50_000 {
        let comma = if i > 0 { "," } else { "" };
        names += &format!(r#"{comma}"{i:x}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}"#);
    }
    names.push('}');
    let cases = [
        ("nested lists in config.json", many("[]", 80_000).into_bytes(), mini::safetensors()),
        ("objects in config.json", many("{}", 80_000).into_bytes(), mini::safetensors()),
        ("tensors in a header", mini::config_json().into_bytes(), mini::with_header(&names, 0)),
        ("lists in a header", mini::config_json().into_bytes(), mini::with_header(&many("[]", 1_000_000), 0)),
    ];
    for (name, config, weights) in cases {
        let len = config.len() + weights.len();
        let cost = cost(len, || {
            ModelFile::from_safetensors_bytes(&config, weights.clone(), Vec::new())
                .map(|_| ())
                .map_err(|e| e.to_string())
        });
        eprintln!("{name}: {cost:.1} times its size");
        assert!(cost < 96.0, "{name}: {cost}");
    }
}
