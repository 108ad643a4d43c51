//! A file with a tokenizer and no weights.

use metallic_model::{Arch, ModelFile, TokenizerSource};
use std::path::Path;

#[test]
fn opens_a_vocabulary_without_weights() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vocab/ggml-vocab-qwen2.gguf");
    if !path.exists() {
        eprintln!("SKIPPED: {} is absent", path.display());
        return;
    }
    let model = ModelFile::open(&path).unwrap();
    assert_eq!(model.config().arch, Arch::Qwen2);
    assert_eq!(model.tensors().len(), 0);
    assert!(model.chat_template().unwrap().contains("<|im_start|>"));
    let Some(TokenizerSource::Gguf(t)) = model.tokenizer_source() else { panic!("no tokenizer") };
    assert_eq!((t.model, t.pre, t.bos, t.eos), ("gpt2", Some("qwen2"), Some(151643), Some(151643)));
    assert_eq!(model.config().eos, [151643, 151645], "the end of turn ends a generation too");
    assert_eq!(t.tokens.len(), t.types.unwrap().len());
    assert_eq!(t.tokens[0], b"!");
    assert!(t.merges.len() > 150_000);
}
