//! GGUF files that lie. Each case is one mutation of a file that opens, and what the error must say.

use crate::mini;
use metallic_kernels::DType;
use metallic_model::gguf::{Gguf, Kind, Value};
use metallic_model::gguf_write::GgufWriter;
use metallic_model::{Arch, ModelFile};

/// A GGUF file written field by field, so that every field can be wrong.
#[derive(Default)]
struct Raw(Vec<u8>);

impl Raw {
    fn new(version: u32, tensors: u64, kvs: u64) -> Raw {
        Raw(b"GGUF".to_vec()).u32(version).u64(tensors).u64(kvs)
    }

    fn u32(mut self, v: u32) -> Raw {
        self.0.extend(v.to_le_bytes());
        self
    }

    fn u64(mut self, v: u64) -> Raw {
        self.0.extend(v.to_le_bytes());
        self
    }

    fn bytes(mut self, b: &[u8]) -> Raw {
        self.0.extend(b);
        self
    }

    fn str(self, s: &str) -> Raw {
        self.u64(s.len() as u64).bytes(s.as_bytes())
    }

    /// The start of a value of `key`.
    fn key(self, key: &str, kind: Kind) -> Raw {
        self.str(key).u32(kind as u32)
    }

    fn tensor(self, name: &str, dims: &[u64], dtype: u32, offset: u64) -> Raw {
        let described = dims.iter().fold(self.str(name).u32(dims.len() as u32), |r, d| r.u64(*d));
        described.u32(dtype).u64(offset)
    }

    /// Pads to the alignment of tensor data and adds `n` bytes of it.
    fn data(mut self, n: usize) -> Raw {
        self.0.resize(self.0.len().next_multiple_of(32) + n, 0);
        self
    }
}

const F32: u32 = 0;
const Q8_0: u32 = 8;

fn containers() -> Vec<(&'static str, Raw, &'static str)> {
    let one = |dims: &[u64], dtype, offset| Raw::new(3, 1, 0).tensor("t", dims, dtype, offset).data(256);
    let two = |a: (&str, u64), b: (&str, u64)| {
        Raw::new(3, 2, 0).tensor(a.0, &[32], F32, a.1).tensor(b.0, &[32], F32, b.1).data(256)
    };
    let array = |kind: u32, n: u64| Raw::new(3, 0, 1).key("k", Kind::Array).u32(kind).u64(n);
    let mut nested = Raw::new(3, 0, 1).key("k", Kind::Array);
    for _ in 0..64 {
        nested = nested.u32(Kind::Array as u32).u64(1);
    }
    let aligned = |a: u32| Raw::new(3, 0, 1).key("general.alignment", Kind::U32).u32(a);
    vec![
        ("empty", Raw::default(), "byte 0 expected the magic `GGUF` (4 bytes), but the file ends at byte 0"),
        ("magic", Raw(b"GGML\x03\0\0\0".to_vec()), "`GGML`: not a GGUF file"),
        ("version 1", Raw::new(1, 0, 0), "expected 2 or 3, little-endian, got 1"),
        ("version 4", Raw::new(4, 0, 0), "got 4"),
        ("big-endian", Raw::new(3u32.swap_bytes(), 0, 0), "got 3, big-endian"),
        ("no counts", Raw(b"GGUF\x03\0\0\0".to_vec()), "byte 8 expected number of tensors (8 bytes)"),
        ("tensor count", Raw::new(3, u64::MAX, 0), "number of tensors: expected at most 0"),
        ("key count", Raw::new(3, 0, 1 << 40).bytes(&[0; 140]), "number of metadata keys: expected at most 10"),
        (
            "key length",
            Raw::new(3, 0, 1).u64(u64::MAX).bytes(&[0; 32]),
            "expected a metadata key (18446744073709551615",
        ),
        ("empty key", Raw::new(3, 0, 1).key("", Kind::U8).bytes(&[0; 8]), "metadata key: expected a name"),
        ("key bytes", Raw::new(3, 0, 1).u64(2).bytes(b"\xff\xfe").u32(0).bytes(&[0]), "metadata key: expected UTF-8"),
        ("kind", Raw::new(3, 0, 1).str("k").u32(13).bytes(&[0; 8]), "value type of `k`: expected 0 to 12, got 13"),
        ("no value", Raw::new(3, 0, 1).key("some.key", Kind::U64).u32(0), "expected the value of `some.key` (8 bytes)"),
        ("string length", Raw::new(3, 0, 1).key("k", Kind::Str).u64(1 << 33), "(8589934592 bytes)"),
        (
            "string bytes",
            Raw::new(3, 0, 1).key("k", Kind::Str).u64(1).bytes(b"\xff"),
            "the value of `k`: expected UTF-8",
        ),
        ("bool", Raw::new(3, 0, 1).key("k", Kind::Bool).bytes(&[2]), "a bool, 0 or 1, got 2"),
        ("twice", two_keys("k", "k"), "every key once, got `k` twice"),
        ("array kind", array(99, 0), "value type of `k`: expected 0 to 12, got 99"),
        ("array count", array(Kind::U8 as u32, u64::MAX), "expected the items of `k` (18446744073709551615 bytes)"),
        ("array product", array(Kind::U64 as u32, 1 << 61), "expected the items of `k`"),
        ("array of strings", array(Kind::Str as u32, 1 << 60), "expected the items of `k`"),
        ("array of bools", array(Kind::Bool as u32, 2).bytes(&[1, 9]), "a bool, 0 or 1, got 9"),
        ("nested arrays", nested, "expected arrays at most 4 deep"),
        ("alignment 0", aligned(0), "`general.alignment`: expected a power of two from 8 to 65536, got 0"),
        ("alignment 48", aligned(48), "got 48"),
        ("alignment 2^31", aligned(1 << 31), "got 2147483648"),
        ("alignment kind", Raw::new(3, 0, 1).key("general.alignment", Kind::Str).str("32"), "got 32"),
        ("no dimensions", one(&[], F32, 0), "tensor `t`: expected 1 to 4 dimensions, got 0"),
        ("five dimensions", one(&[1; 5], F32, 0), "got 5"),
        ("dimension 0", one(&[32, 0], F32, 0), "dimensions that are not zero and fit in memory, got 0"),
        ("dimension product", one(&[1 << 32, 1 << 32, 2], F32, 0), "a size that fits in memory"),
        ("byte product", one(&[1 << 62], F32, 0), "a size that fits in memory"),
        ("element type", one(&[32], 77, 0), "a known element type (0 f32, 1 f16"),
        (
            "partial block",
            one(&[33, 2], Q8_0, 0),
            "rows of whole blocks of 32 elements, as q8_0 asks for, got rows of 33",
        ),
        ("offset", one(&[32], F32, 224), "the file ends at byte 320"),
        ("offset wraps", one(&[32], F32, u64::MAX - 31), "data inside the file"),
        ("odd offset", one(&[32], F32, 4), "an offset aligned to 32, got 4"),
        ("overlap", two(("a", 0), ("b", 96)), "tensor `b`: expected data of its own, got an overlap with `a`"),
        ("name twice", two(("a", 0), ("a", 128)), "tensor `a`: expected every name once"),
        ("no padding", Raw::new(3, 1, 0).tensor("t", &[32], F32, 0), "padding before tensor data"),
        ("tensor name", Raw::new(3, 1, 0).u64(1).bytes(b"\xc3").data(64), "a tensor name: expected UTF-8"),
    ]
}

fn two_keys(a: &str, b: &str) -> Raw {
    Raw::new(3, 0, 2).key(a, Kind::U8).bytes(&[1]).key(b, Kind::U8).bytes(&[1])
}

#[test]
fn containers_that_lie_are_refused_by_name() {
    for (name, raw, expected) in containers() {
        let e = Gguf::parse(&raw.0).map(|_| ()).expect_err(name).to_string();
        assert!(e.contains(expected), "{name}: {e}");
    }
}

/// Metadata of a model that opens, with keys changed: key, value, what the error must say.
#[test]
fn models_that_contradict_themselves_are_refused_by_name() {
    let cases: &[(&str, Value, &str)] = &[
        (
            "general.architecture",
            Value::Str("gpt-oss"),
            "unknown architecture `gpt-oss`; known are llama, qwen2, qwen3",
        ),
        ("general.architecture", Value::U32(1), "`general.architecture`: expected a string, got u32 1"),
        (
            "qwen2.block_count",
            Value::U32(2),
            "tensor `blk.1.attn_norm.weight`: expected shape [32], got no such tensor",
        ),
        ("qwen2.block_count", Value::U32(0), "`qwen2.block_count`: expected 1 to"),
        ("qwen2.block_count", Value::U32(u32::MAX), "`qwen2.block_count`: expected 1 to"),
        ("qwen2.block_count", Value::F32(1.0), "expected a non-negative integer, got f32 1"),
        ("qwen2.block_count", Value::I32(-1), "expected a non-negative integer, got i32 -1"),
        ("qwen2.embedding_length", Value::U32(64), "token_embd.weight`: expected shape [259, 64], got [259, 32]"),
        ("qwen2.embedding_length", Value::U64(1 << 62), "`qwen2.embedding_length`: expected 1 to"),
        ("qwen2.attention.head_count", Value::U32(0), "`qwen2.attention.head_count`: expected a divisor of 32, got 0"),
        ("qwen2.attention.head_count", Value::U32(3), "expected a divisor of 32, got 3"),
        ("qwen2.attention.head_count", Value::U32(32), "`qwen2.attention.key_length`: expected an even head width"),
        ("qwen2.attention.head_count_kv", Value::U32(0), "`qwen2.attention.head_count_kv`: expected 1 to"),
        ("qwen2.attention.head_count_kv", Value::U32(3), "a divisor of the 1 query heads, got 3"),
        ("qwen2.attention.key_length", Value::U32(64), "attn_q.weight`: expected shape [64, 32], got [32, 32]"),
        ("qwen2.attention.value_length", Value::U32(64), "`qwen2.attention.value_length`: expected 32"),
        ("qwen2.rope.dimension_count", Value::U32(34), "an even number from 2 to the head width 32, got 34"),
        ("qwen2.rope.freq_base", Value::F32(f32::NAN), "`qwen2.rope.freq_base`: expected a finite number above 0"),
        ("qwen2.rope.scaling.type", Value::Str("longrope"), "expected none, linear or yarn, got longrope"),
        (
            "qwen2.rope.scaling.type",
            Value::Str("linear"),
            "`qwen2.rope.scaling.factor`: expected a number, got nothing",
        ),
        ("qwen2.attention.layer_norm_rms_epsilon", Value::F32(-1.0), "expected a number from 0 to below 1, got -1"),
        ("qwen2.expert_count", Value::U32(8), "expected no experts: mixtures are not supported, got 8"),
        ("qwen2.vocab_size", Value::U32(260), "`qwen2.vocab_size`: expected 259"),
        ("tokenizer.ggml.eos_token_id", Value::U32(259), "expected token ids below 259, got 259"),
        ("tokenizer.ggml.bos_token_id", Value::I32(-2), "expected an integer from 0 to 2^32 - 1, got i32 -2"),
        ("tokenizer.ggml.tokens", Value::U8(1), "`tokenizer.ggml.tokens`: expected an array of string, got u8 1"),
        ("tokenizer.ggml.scores", Value::Str("x"), "`tokenizer.ggml.scores`: expected an array of f32"),
        ("tokenizer.ggml.model", Value::U8(1), "`tokenizer.ggml.model`: expected a string"),
        ("tokenizer.chat_template", Value::U8(1), "`tokenizer.chat_template`: expected a string"),
        ("split.count", Value::U16(2), "`split.tensors.count`: expected the number of tensors in all parts"),
        ("split.count", Value::U16(0), "`split.count`: expected 1 to 99999, got 0"),
        ("split.no", Value::U16(1), "`split.no`: expected below 1"),
    ];
    for (key, value, expected) in cases {
        let bytes = with_key(key, Some(*value));
        let e = ModelFile::from_gguf_bytes(bytes).map(|_| ()).expect_err(key).to_string();
        assert!(e.contains(expected), "{key} {value}: {e}");
    }
}

#[test]
fn missing_keys_are_named() {
    for key in [
        "general.architecture",
        "qwen2.block_count",
        "qwen2.embedding_length",
        "qwen2.feed_forward_length",
        "qwen2.attention.head_count",
        "qwen2.context_length",
        "qwen2.attention.layer_norm_rms_epsilon",
        "tokenizer.ggml.model",
    ] {
        let e = ModelFile::from_gguf_bytes(with_key(key, None)).map(|_| ()).expect_err(key).to_string();
        assert!(e.contains(&format!("`{key}`")) && e.contains("the key is missing"), "{key}: {e}");
    }
}

#[test]
fn token_arrays_must_agree() {
    let with = |change: &dyn Fn(&mut GgufWriter)| {
        let mut w = copy_keys("tokenizer.ggml.token_type");
        change(&mut w);
        ModelFile::from_gguf_bytes(mini::finish(w, Arch::Qwen2, DType::F16)).map(|_| ())
    };
    assert!(with(&|_| {}).is_ok());
    let short = with(&|w| w.put_i32s("tokenizer.ggml.token_type", &[1; 258]).unwrap()).unwrap_err().to_string();
    assert!(short.contains("`tokenizer.ggml.token_type`: expected 259 items, one per token, got 258"), "{short}");
    let scores = with(&|w| w.put_f32s("tokenizer.ggml.scores", &[0.0; 300]).unwrap()).unwrap_err().to_string();
    assert!(scores.contains("`tokenizer.ggml.scores`: expected 259 items, one per token, got 300"), "{scores}");
}

/// A tensor that the family does not know would be silently ignored otherwise.
#[test]
fn unknown_tensors_are_refused() {
    let bytes = mini::gguf(Arch::Qwen3, DType::F16);
    let at = bytes.windows(18).position(|w| w == b"attn_q_norm.weight").unwrap();
    let mut renamed = bytes.clone();
    renamed[at..at + 18].copy_from_slice(b"attn_q_norn.weight");
    let e = ModelFile::from_gguf_bytes(renamed).unwrap_err().to_string();
    assert!(e.contains("blk.0.attn_q_norm.weight`: expected shape [32], got no such tensor"), "{e}");
    let norms = mini::finish(mini::keys(Arch::Llama), Arch::Qwen3, DType::F16);
    let e = ModelFile::from_gguf_bytes(norms).unwrap_err().to_string();
    assert!(e.contains("`blk.0.attn_q_norm.weight`: expected only tensors that llama models have"), "{e}");
}

#[test]
fn a_file_cut_anywhere_is_an_error_that_says_so() {
    for arch in Arch::ALL {
        let bytes = mini::gguf(arch, DType::Q4_0);
        ModelFile::from_gguf_bytes(bytes.clone()).unwrap();
        let header = Gguf::parse(&bytes).unwrap().data_start();
        // Cuts inside the data are all alike, so one family shows them.
        let end = if arch == Arch::Qwen3 { bytes.len() } else { header };
        for n in 0..end {
            // The last bytes are the padding behind the last tensor.
            let padding = bytes.len() - n < 32 && Gguf::parse(&bytes[..n]).is_ok();
            match ModelFile::from_gguf_bytes(bytes[..n].to_vec()) {
                Ok(_) => assert!(padding, "{}: cut at {n} of {} opened", arch.name(), bytes.len()),
                Err(e) => {
                    let e = e.to_string();
                    let told =
                        e.contains("the file ends at byte") || e.contains("room for") || e.contains("inside the file");
                    assert!(told, "{}: cut at {n}: {e}", arch.name());
                }
            }
        }
    }
}

/// One byte changed at a time: whatever happens, it is no panic.
#[test]
fn a_changed_byte_never_panics() {
    let bytes = mini::gguf(Arch::Qwen2, DType::Q4_0);
    let header = Gguf::parse(&bytes).unwrap().data_start();
    for at in 0..header {
        for value in [0, 1, 0x7f, 0xff, bytes[at] ^ 0x80] {
            let mut changed = bytes.clone();
            changed[at] = value;
            if let Ok(model) = ModelFile::from_gguf_bytes(changed) {
                let _ = (model.metadata(), model.tokenizer_source().is_some());
            }
        }
    }
}

/// The keys of the qwen2 model without `left_out`.
fn copy_keys(left_out: &str) -> GgufWriter {
    let bytes = mini::gguf(Arch::Qwen2, DType::F16);
    let mut w = GgufWriter::new();
    for (key, value) in Gguf::parse(&bytes).unwrap().metadata().filter(|(key, _)| *key != left_out) {
        w.put(key, value).unwrap();
    }
    w
}

fn with_key(key: &str, value: Option<Value>) -> Vec<u8> {
    let mut w = copy_keys(key);
    if let Some(value) = value {
        w.put(key, value).unwrap();
    }
    mini::finish(w, Arch::Qwen2, DType::F16)
}
