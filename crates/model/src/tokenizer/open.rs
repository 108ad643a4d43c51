use serde::Deserialize;
use std::path::Path;

use super::{HfFiles, Tokenizer, TokenizerError, TokenizerSource};
use crate::config::{self, Keys};
use crate::gguf::Header;
use crate::map::Map;
use crate::{Error, ModelFile};

impl Tokenizer {
    /// Builds the tokenizer of a model.
    ///
    /// # Errors
    /// As [`Tokenizer::new`]; or the model has no tokenizer.
    pub fn from_model(model: &ModelFile) -> Result<Tokenizer, TokenizerError> {
        Tokenizer::new(&model.tokenizer_source().ok_or(TokenizerError::Missing)?)
    }

    /// Opens the tokenizer alone: of a GGUF file, or of a folder with `tokenizer.json` (the folder or a file in it). The
    /// rest of the model may be missing, or of a family that is not known.
    ///
    /// # Errors
    /// As [`Tokenizer::from_model`]; or a file cannot be read.
    pub fn open(path: &Path) -> Result<Tokenizer, TokenizerError> {
        let folder = match path.extension().and_then(|extension| extension.to_str()) {
            _ if path.is_dir() => Some(path),
            Some("json" | "safetensors") => Some(path.parent().unwrap_or(Path::new("."))),
            _ => None,
        };
        match folder {
            Some(folder) => open_folder(folder),
            None => open_gguf(path),
        }
    }
}

fn open_gguf(path: &Path) -> Result<Tokenizer, TokenizerError> {
    let map = Map::open(path)?;
    let bytes = map.bytes();
    let header = Header::parse(bytes).map_err(Error::within(path))?;
    let vocabulary = config::vocabulary(Keys { header: &header, bytes }).map_err(Error::within(path))?;
    Tokenizer::new(&TokenizerSource::Gguf(vocabulary.ok_or(TokenizerError::Missing)?))
}

fn open_folder(folder: &Path) -> Result<Tokenizer, TokenizerError> {
    let beside = |name: &str| {
        let path = folder.join(name);
        if path.exists() { Map::open(&path).map(Some) } else { Ok(None) }
    };
    let tokenizer = Map::open(&folder.join("tokenizer.json"))?;
    let config = beside("tokenizer_config.json")?;
    let generation = beside("generation_config.json")?;
    Tokenizer::new(&TokenizerSource::HfJson(HfFiles {
        tokenizer_json: tokenizer.bytes(),
        tokenizer_config: config.as_ref().map(Map::bytes),
        ends: generation.map(|map| ends(map.bytes())).transpose()?.unwrap_or_default(),
    }))
}

/// The `eos_token_id` of `generation_config.json`: absent, one id, or several.
fn ends(generation_config: &[u8]) -> Result<Vec<u32>, TokenizerError> {
    #[derive(Deserialize)]
    struct Generation {
        eos_token_id: Option<Ids>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Ids {
        One(u32),
        Several(Vec<u32>),
    }
    let generation: Generation = serde_json::from_slice(generation_config)
        .map_err(|error| TokenizerError::Json { file: "generation_config.json", reason: error.to_string() })?;
    Ok(match generation.eos_token_id {
        None => Vec::new(),
        Some(Ids::One(id)) => vec![id],
        Some(Ids::Several(ids)) => ids,
    })
}
