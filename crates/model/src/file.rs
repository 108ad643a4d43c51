//! One view of a model, whatever files it is stored in.

use crate::config::{self, Config, TokenizerSource};
use crate::gguf::Header;
use crate::map::Map;
use crate::{Error, gguf};
use metallic_kernels::DType;
use std::path::Path;

/// How a model is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One GGUF file, or several parts.
    Gguf,
    /// A folder of safetensors files with `config.json`.
    Safetensors,
}

/// Name, type, shape and place of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct TensorInfo {
    /// Canonical name, which is GGUF's: `blk.0.attn_q.weight`.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Row-major shape, outermost first: a matrix that maps k inputs to n outputs is `[n, k]`.
    pub shape: Vec<usize>,
    pub(crate) shard: u32,
    /// Position of the first byte in its shard.
    pub(crate) start: usize,
    pub(crate) len: usize,
}

impl TensorInfo {
    /// Number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Bytes that the tensor takes.
    pub fn byte_len(&self) -> usize {
        self.len
    }

    /// Rows and columns, all outer dimensions taken together; a vector is one row.
    pub fn rows_cols(&self) -> (usize, usize) {
        let cols = self.shape.last().copied().unwrap_or(1);
        (self.elements() / cols.max(1), cols)
    }

    pub(crate) fn span(&self) -> gguf::Span {
        gguf::Span { start: self.start, len: self.len }
    }
}

/// A tensor of an opened model.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    /// Name, type and shape.
    pub info: &'a TensorInfo,
    /// Its bytes in the map. Safetensors files do not promise any alignment.
    pub bytes: &'a [u8],
}

/// An opened model. Everything but the values of the weights was checked.
#[derive(Debug)]
pub struct ModelFile {
    shards: Vec<Map>,
    tensors: Vec<TensorInfo>,
    /// Indices into `tensors`, in the order of their names.
    by_name: Vec<u32>,
    config: Config,
    meta: Meta,
}

#[derive(Debug)]
enum Meta {
    Gguf(Header),
}

impl ModelFile {
    /// Opens a GGUF file (any part of a split one) or a folder of safetensors, mapped into memory.
    ///
    /// # Errors
    /// Whatever is wrong with the files, named with file and place; see [`Error`].
    pub fn open(path: &Path) -> Result<ModelFile, Error> {
        let first = Map::open(path)?;
        ModelFile::from_gguf(vec![first]).map_err(Error::within(path))
    }

    /// Opens a GGUF file that is already in memory.
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub fn from_gguf_bytes(bytes: Vec<u8>) -> Result<ModelFile, Error> {
        ModelFile::from_gguf(vec![Map::Memory(bytes)])
    }

    fn from_gguf(shards: Vec<Map>) -> Result<ModelFile, Error> {
        let bytes = shards.first().map(Map::bytes).unwrap_or_default();
        let mut header = Header::parse(bytes)?;
        let tensors = std::mem::take(&mut header.tensors);
        let keys = config::Keys { header: &header, bytes };
        let read = |t: &TensorInfo| {
            let bytes = t.span().of(shards.get(t.shard as usize)?.bytes());
            Some(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
        };
        let config = Config::from_gguf(keys, &tensors, read)?;
        config::tokenizer_source(keys)?;
        config::chat_template(keys)?;
        ModelFile::checked(shards, tensors, config, Meta::Gguf(header))
    }

    fn checked(shards: Vec<Map>, tensors: Vec<TensorInfo>, config: Config, meta: Meta) -> Result<ModelFile, Error> {
        // A file of a tokenizer alone has no tensors at all.
        if !tensors.is_empty() {
            config.check(&tensors)?;
        }
        let mut by_name: Vec<u32> = (0..tensors.len() as u32).collect();
        by_name.sort_unstable_by_key(|&i| tensors[i as usize].name.as_str());
        Ok(ModelFile { shards, tensors, by_name, config, meta })
    }

    /// What the model is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// All tensors in the order of the file. Empty for a file that holds a tokenizer alone.
    pub fn tensors(&self) -> impl ExactSizeIterator<Item = &TensorInfo> {
        self.tensors.iter()
    }

    /// The tensor with a canonical name.
    pub fn tensor(&self, name: &str) -> Option<Tensor<'_>> {
        let at = self.by_name.binary_search_by(|&i| self.tensors[i as usize].name.as_str().cmp(name)).ok()?;
        let info = &self.tensors[self.by_name[at] as usize];
        let shard = self.shards.get(info.shard as usize)?;
        Some(Tensor { info, bytes: info.span().of(shard.bytes()) })
    }

    /// Gives the memory of a tensor's pages back to the system, after its values were copied elsewhere. Reading it
    /// again is allowed and loads it from the file.
    pub fn release(&self, name: &str) {
        if let Some(t) = self.tensor(name)
            && let Some(shard) = self.shards.get(t.info.shard as usize)
        {
            shard.release(t.info.start, t.info.len);
        }
    }

    /// How the model is stored.
    pub fn format(&self) -> Format {
        match self.meta {
            Meta::Gguf(_) => Format::Gguf,
        }
    }

    /// Bytes of all files with weights.
    pub fn size_bytes(&self) -> u64 {
        self.shards.iter().map(|s| s.bytes().len() as u64).sum()
    }

    /// Keys and values of the metadata for people, arrays shortened.
    pub fn metadata(&self) -> Vec<(String, String)> {
        match &self.meta {
            Meta::Gguf(h) => h.metadata(self.first()).map(|(k, v)| (k.to_owned(), v.to_string())).collect(),
        }
    }

    /// What the tokenizer is built from.
    pub fn tokenizer_source(&self) -> TokenizerSource<'_> {
        match &self.meta {
            Meta::Gguf(header) => {
                config::tokenizer_source(config::Keys { header, bytes: self.first() }).unwrap_or(TokenizerSource::None)
            }
        }
    }

    /// The chat template (Jinja), where the model has one.
    pub fn chat_template(&self) -> Option<&str> {
        match &self.meta {
            Meta::Gguf(header) => config::chat_template(config::Keys { header, bytes: self.first() }).ok().flatten(),
        }
    }

    fn first(&self) -> &[u8] {
        self.shards.first().map(Map::bytes).unwrap_or_default()
    }
}
