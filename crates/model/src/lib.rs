//! Model files, tokenizers, chat templates and model families.

pub mod tokenizer;
