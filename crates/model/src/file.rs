//! One view of a model, whatever files it is stored in.

use crate::Error;
use crate::config::{self, Config, Keys, Split};
use crate::gguf::{self, Header};
use crate::map::Map;
use crate::safetensors::{self, HfMeta};
use crate::tokenizer::{HfFiles, TokenizerSource};
use metallic_kernels::DType;
use std::path::{Path, PathBuf};

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
    Hf(Box<HfMeta>),
}

impl ModelFile {
    /// Opens a GGUF file (any part of a split one), or a folder with `config.json` and safetensors files (the folder
    /// or one of those files), mapped into memory.
    ///
    /// # Errors
    /// Whatever is wrong with the files, named with file and place; see [`Error`].
    pub fn open(path: &Path) -> Result<ModelFile, Error> {
        let extension = path.extension().and_then(|e| e.to_str());
        if path.is_dir() {
            ModelFile::open_folder(path)
        } else if matches!(extension, Some("safetensors" | "json")) {
            let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
            ModelFile::open_folder(folder.unwrap_or(Path::new(".")))
        } else {
            ModelFile::open_gguf(path)
        }
    }

    /// Opens a GGUF file that is already in memory.
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub fn from_gguf_bytes(bytes: Vec<u8>) -> Result<ModelFile, Error> {
        ModelFile::from_gguf(vec![Map::Memory(bytes)], |_| Ok(None))
    }

    /// Opens a Hugging Face model whose files are already in memory: `config.json`, one file of weights and, where
    /// not empty, `tokenizer.json`.
    ///
    /// # Errors
    /// As [`ModelFile::open`].
    pub fn from_safetensors_bytes(config: &[u8], weights: Vec<u8>, tokenizer: Vec<u8>) -> Result<ModelFile, Error> {
        let files = safetensors::Files {
            config: config.to_owned(),
            shards: vec![("model.safetensors".to_owned(), Map::Memory(weights))],
            tokenizer: (!tokenizer.is_empty()).then_some(Map::Memory(tokenizer)),
            ..Default::default()
        };
        ModelFile::from_files(files, "")
    }

    fn open_folder(dir: &Path) -> Result<ModelFile, Error> {
        let full = dir.canonicalize().map_err(Error::io(dir))?;
        let name = full.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        let files = safetensors::Files::open(dir)?;
        ModelFile::from_files(files, &name).map_err(Error::within(dir))
    }

    fn from_files(files: safetensors::Files, name: &str) -> Result<ModelFile, Error> {
        let parsed = files.parse(name)?;
        if parsed.tensors.is_empty() {
            return Err(Error::tensor("token_embd.weight", "tensors", "none at all"));
        }
        ModelFile::checked(parsed.shards, parsed.tensors, parsed.config, Meta::Hf(Box::new(parsed.meta)))
    }

    fn open_gguf(path: &Path) -> Result<ModelFile, Error> {
        let (first, part) = match split_name(path) {
            Some((stem, count)) => (part_name(&stem, 0, count), Some((stem, count))),
            None => (path.to_owned(), None),
        };
        let map = Map::open(&first)?;
        let next = |no: usize| match &part {
            Some((stem, count)) => {
                let path = part_name(stem, no, *count);
                Map::open(&path).map(|map| Some((path, map)))
            }
            None => Ok(None),
        };
        ModelFile::from_gguf(vec![map], next).map_err(Error::within(first))
    }

    /// `next` opens part `no` of a split model.
    fn from_gguf(
        mut shards: Vec<Map>,
        next: impl Fn(usize) -> Result<Option<(PathBuf, Map)>, Error>,
    ) -> Result<ModelFile, Error> {
        let bytes = shards.first().map(Map::bytes).unwrap_or_default();
        let mut header = Header::parse(bytes)?;
        let mut tensors = std::mem::take(&mut header.tensors);
        let split = Split::read(Keys { header: &header, bytes }, tensors.len())?;
        for no in 1..split.count {
            let Some((path, map)) = next(no)? else {
                return Err(Error::key("split.count", "1, or a name like model-00001-of-00003.gguf", split.count));
            };
            tensors.extend(part(&map, no, &split).map_err(Error::within(path))?);
            shards.push(map);
        }
        split.check_tensors(tensors.len())?;
        let bytes = shards.first().map(Map::bytes).unwrap_or_default();
        let keys = Keys { header: &header, bytes };
        let read = |t: &TensorInfo| {
            let bytes = t.span().of(shards.get(t.shard as usize)?.bytes());
            Some(bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect())
        };
        let config = Config::from_gguf(keys, &tensors, read)?;
        config::vocabulary(keys)?;
        config::chat_template(keys)?;
        ModelFile::checked(shards, tensors, config, Meta::Gguf(header))
    }

    fn checked(shards: Vec<Map>, tensors: Vec<TensorInfo>, config: Config, meta: Meta) -> Result<ModelFile, Error> {
        let mut by_name: Vec<u32> = (0..tensors.len() as u32).collect();
        by_name.sort_unstable_by_key(|&i| tensors[i as usize].name.as_str());
        let name = |i: u32| tensors[i as usize].name.as_str();
        if let Some(w) = by_name.windows(2).find(|w| name(w[0]) == name(w[1])) {
            return Err(Error::tensor(name(w[0]), "every name once", "the name twice"));
        }
        // A file of a tokenizer alone has no tensors at all.
        if !tensors.is_empty() {
            config.check(&tensors)?;
        }
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

    /// As [`ModelFile::release`], for the bytes `range` of a tensor.
    pub fn release_range(&self, name: &str, range: std::ops::Range<usize>) {
        if let Some(t) = self.tensor(name)
            && let Some(shard) = self.shards.get(t.info.shard as usize)
            && range.end <= t.info.len
        {
            shard.release(t.info.start + range.start, range.len());
        }
    }

    /// How the model is stored.
    pub fn format(&self) -> Format {
        match self.meta {
            Meta::Gguf(_) => Format::Gguf,
            Meta::Hf(_) => Format::Safetensors,
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
            Meta::Hf(hf) => match hf.config.as_object() {
                Some(o) => o.iter().map(|(k, v)| (k.clone(), v.to_string())).collect(),
                None => Vec::new(),
            },
        }
    }

    /// What the tokenizer is built from, where the model has one.
    pub fn tokenizer_source(&self) -> Option<TokenizerSource<'_>> {
        match &self.meta {
            Meta::Gguf(_) => config::vocabulary(self.keys()?).ok().flatten().map(TokenizerSource::Gguf),
            Meta::Hf(hf) => Some(TokenizerSource::HfJson(HfFiles {
                tokenizer_json: hf.tokenizer.as_ref()?.bytes(),
                tokenizer_config: hf.tokenizer_config.as_deref(),
                ends: self.config.eos.clone(),
            })),
        }
    }

    /// The chat template (Jinja), where the model has one.
    pub fn chat_template(&self) -> Option<&str> {
        match &self.meta {
            Meta::Gguf(_) => config::chat_template(self.keys()?).ok().flatten(),
            Meta::Hf(hf) => hf.chat_template.as_deref(),
        }
    }

    /// The metadata of a GGUF file.
    pub(crate) fn keys(&self) -> Option<Keys<'_>> {
        match &self.meta {
            Meta::Gguf(header) => Some(Keys { header, bytes: self.first() }),
            Meta::Hf(_) => None,
        }
    }

    fn first(&self) -> &[u8] {
        self.shards.first().map(Map::bytes).unwrap_or_default()
    }
}

fn part(map: &Map, no: usize, first: &Split) -> Result<Vec<TensorInfo>, Error> {
    let header = Header::parse(map.bytes())?;
    let keys = Keys { header: &header, bytes: map.bytes() };
    Split::read(keys, 0)?.check_part(first, no)?;
    let shard = u32::try_from(no).unwrap_or(u32::MAX);
    Ok(header.tensors.into_iter().map(|t| TensorInfo { shard, ..t }).collect())
}

/// Path without `-0000i-of-0000n.gguf` and n, for the name of a part.
fn split_name(path: &Path) -> Option<(PathBuf, usize)> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".gguf")?;
    let (stem, count) = stem.rsplit_once("-of-")?;
    let (stem, no) = stem.rsplit_once('-')?;
    let number = |s: &str| if s.len() == 5 { s.parse::<usize>().ok() } else { None };
    let (_, count) = (number(no)?, number(count)?);
    Some((path.with_file_name(stem), count))
}

fn part_name(stem: &Path, no: usize, count: usize) -> PathBuf {
    let mut name = stem.as_os_str().to_owned();
    name.push(format!("-{:05}-of-{count:05}.gguf", no + 1));
    PathBuf::from(name)
}
