//! Safetensors to GGUF.

use crate::config::Vocabulary;
use crate::tokenizer::HfFiles;
use crate::{Config, Error};

/// The vocabulary of a `tokenizer.json`, as GGUF writes it.
pub(crate) fn vocabulary<'a>(_files: &HfFiles<'a>, _config: &Config) -> Result<Vocabulary<'a>, Error> {
    Err(Error::key("tokenizer.json", "a vocabulary", "none"))
}
