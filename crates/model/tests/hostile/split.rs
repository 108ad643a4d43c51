//! Models in several GGUF files.

use crate::mini;
use metallic_kernels::DType;
use metallic_model::gguf::{Gguf, Value};
use metallic_model::gguf_write::GgufWriter;
use metallic_model::{Arch, ModelFile};
use std::path::{Path, PathBuf};

/// One part: which it says it is, of how many, with how many tensors in all, and its own tensors.
struct Part<'a> {
    no: u16,
    count: u16,
    total: i32,
    tensors: &'a [&'a str],
}

/// Writes parts of the model `whole`, the first with all of its keys.
fn write(dir: &Path, whole: &[u8], parts: &[Part]) -> PathBuf {
    let gguf = Gguf::parse(whole).unwrap();
    for (i, part) in parts.iter().enumerate() {
        let mut w = GgufWriter::new();
        for (key, value) in gguf.metadata().filter(|_| i == 0) {
            w.put(key, value).unwrap();
        }
        w.put("split.no", Value::U16(part.no)).unwrap();
        w.put("split.count", Value::U16(part.count)).unwrap();
        w.put("split.tensors.count", Value::I32(part.total)).unwrap();
        let own: Vec<_> = part.tensors.iter().map(|n| gguf.tensors().iter().find(|t| t.name == *n).unwrap()).collect();
        for t in &own {
            w.tensor(&t.name, t.dtype, &t.shape).unwrap();
        }
        let path = dir.join(format!("m-{:05}-of-{:05}.gguf", i + 1, parts.len()));
        let mut body = w.create(&path).unwrap();
        own.iter().for_each(|t| body.write(gguf.data(t)).unwrap());
        body.finish().unwrap();
    }
    dir.join(format!("m-00002-of-{:05}.gguf", parts.len()))
}

#[test]
fn parts_make_one_model_and_contradictions_are_refused() {
    let dir = std::env::temp_dir().join(format!("metallic-split-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let whole = mini::gguf(Arch::Llama, DType::F16);
    let names: Vec<&str> = mini::TENSORS.iter().map(|t| t.0).collect();
    let (a, b) = names.split_at(5);
    let part = |no, count, total, tensors| Part { no, count, total, tensors };

    let second = write(&dir, &whole, &[part(0, 2, 11, a), part(1, 2, 11, b)]);
    let model = ModelFile::open(&second).unwrap();
    let alone = ModelFile::from_gguf_bytes(whole.clone()).unwrap();
    assert_eq!(model.config(), alone.config());
    for t in alone.tensors() {
        assert_eq!(model.tensor(&t.name).unwrap().bytes, alone.tensor(&t.name).unwrap().bytes, "{}", t.name);
        model.release(&t.name);
    }

    let refused = |parts: &[Part]| ModelFile::open(&write(&dir, &whole, parts)).unwrap_err().to_string();
    let cases = [
        (refused(&[part(0, 2, 11, a), part(0, 2, 11, b)]), "`split.no`: expected 1, got 0"),
        (refused(&[part(0, 2, 11, a), part(1, 3, 11, b)]), "`split.count`: expected 2, as in the first part, got 3"),
        (refused(&[part(0, 2, 12, a), part(1, 2, 12, b)]), "`split.tensors.count`: expected 11"),
        (refused(&[part(0, 2, 16, a), part(1, 2, 16, &names)]), "expected every name once"),
        (refused(&[part(0, 3, 11, a), part(1, 3, 11, b)]), "m-00003-of-00002.gguf"),
    ];
    for (e, expected) in cases {
        assert!(e.contains(expected), "{expected}: {e}");
    }
    let alone = dir.join("renamed.gguf");
    std::fs::copy(dir.join("m-00001-of-00002.gguf"), &alone).unwrap();
    let e = ModelFile::open(&alone).unwrap_err().to_string();
    assert!(e.contains("a name like model-00001-of-00003.gguf"), "{e}");
    std::fs::remove_dir_all(dir).unwrap();
}
