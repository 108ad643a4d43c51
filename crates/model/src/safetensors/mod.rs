//! Reading a Hugging Face model: a folder with `config.json`, safetensors files and the tokenizer's files.

mod names;

use crate::file::TensorInfo;
use crate::map::Map;
use crate::{Config, Error};
use metallic_kernels::DType;
use names::Name;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo as Entry};
use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Component, Path};

/// Most bytes of the JSON texts. Parsed JSON takes up to some seventy times its text, so the text is limited.
const MAX_CONFIG: usize = 1 << 18;
const MAX_HEADER: usize = 1 << 25;
const MAX_INDEX: usize = 1 << 24;
const MAX_TOKENIZER_CONFIG: usize = 1 << 24;
const MAX_TEMPLATE: usize = 1 << 20;

/// The files of a model, mapped or in memory. Only the first two are needed.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub config: Vec<u8>,
    /// Files of weights with their names.
    pub shards: Vec<(String, Map)>,
    /// Tensor to file, where there is an index.
    pub index: Option<BTreeMap<String, String>>,
    pub generation: Option<Vec<u8>>,
    pub tokenizer: Option<Map>,
    pub tokenizer_config: Option<Vec<u8>>,
    pub template: Option<String>,
}

/// What the files say, checked.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub config: Config,
    pub tensors: Vec<TensorInfo>,
    pub shards: Vec<Map>,
    pub meta: HfMeta,
}

/// Everything of a Hugging Face model but its weights.
#[derive(Debug)]
pub(crate) struct HfMeta {
    pub config: Value,
    pub tokenizer: Option<Map>,
    pub tokenizer_config: Option<Vec<u8>>,
    pub chat_template: Option<String>,
}

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

impl Files {
    /// Opens the files of the folder `dir`.
    pub fn open(dir: &Path) -> Result<Files, Error> {
        let small = |name: &str, most| read_small(&dir.join(name), most);
        let config = small("config.json", MAX_CONFIG)?
            .ok_or_else(|| Error::Io { path: dir.to_owned(), source: no_config(dir) })?;
        let index = match small("model.safetensors.index.json", MAX_INDEX)? {
            Some(bytes) => {
                let path = dir.join("model.safetensors.index.json");
                let index: Index = json(&bytes, "the index of weights").map_err(Error::within(path))?;
                Some(index.weight_map)
            }
            None => None,
        };
        let mut names: Vec<String> = match &index {
            Some(map) => map.values().cloned().collect(),
            None => vec!["model.safetensors".to_owned()],
        };
        names.sort_unstable();
        names.dedup();
        let mut shards = Vec::with_capacity(names.len());
        for name in names {
            check_shard_name(&name)?;
            let map = Map::open(&dir.join(&name))?;
            shards.push((name, map));
        }
        let tokenizer = dir.join("tokenizer.json");
        let template = match small("chat_template.jinja", MAX_TEMPLATE)? {
            Some(t) => Some(String::from_utf8(t).map_err(|e| Error::key("chat_template.jinja", "UTF-8", e))?),
            None => None,
        };
        Ok(Files {
            config,
            shards,
            index,
            generation: small("generation_config.json", MAX_CONFIG)?,
            tokenizer: if tokenizer.exists() { Some(Map::open(&tokenizer)?) } else { None },
            tokenizer_config: small("tokenizer_config.json", MAX_TOKENIZER_CONFIG)?,
            template,
        })
    }

    /// Parses and checks all files. `name` is the model's, for people.
    pub fn parse(self, name: &str) -> Result<Parsed, Error> {
        let config_json: Value = json(limit(&self.config, MAX_CONFIG, "config.json")?, "config.json")?;
        let generation: Option<Value> = match &self.generation {
            Some(g) => Some(json(limit(g, MAX_CONFIG, "generation_config.json")?, "generation_config.json")?),
            None => None,
        };
        let mut config = Config::from_hf(&config_json, generation.as_ref(), name)?;
        let mut tensors = Vec::new();
        for (i, (file, map)) in self.shards.iter().enumerate() {
            read_header(map.bytes(), i as u32, &mut tensors).map_err(Error::within(file))?;
        }
        // A checkpoint of a tied model may repeat the embedding as its head; the configuration decides.
        let explicit = config_json.get("tie_word_embeddings").and_then(Value::as_bool);
        let head = tensors.iter().position(|t| t.name == "output.weight");
        match (explicit, head) {
            (Some(true), Some(at)) => drop(tensors.remove(at)),
            (Some(false), None) => return Err(Error::tensor("output.weight", "one, as nothing is tied", "none")),
            _ => config.tied = head.is_none(),
        }
        if let Some(index) = &self.index {
            self.check_index(index, &tensors)?;
        }
        if let Some(c) = &self.tokenizer_config {
            limit(c, MAX_TOKENIZER_CONFIG, "tokenizer_config.json")?;
        }
        let chat_template = match self.template {
            Some(t) => Some(t),
            None => self.tokenizer_config.as_deref().and_then(template_of),
        };
        Ok(Parsed {
            config,
            tensors,
            shards: self.shards.into_iter().map(|(_, map)| map).collect(),
            meta: HfMeta {
                config: config_json,
                tokenizer: self.tokenizer,
                tokenizer_config: self.tokenizer_config,
                chat_template,
            },
        })
    }

    fn check_index(&self, index: &BTreeMap<String, String>, tensors: &[TensorInfo]) -> Result<(), Error> {
        let mut found: Vec<(&str, &str)> = Vec::with_capacity(tensors.len());
        for t in tensors {
            let file = self.shards.get(t.shard as usize).map_or("", |(name, _)| name.as_str());
            found.push((&t.name, file));
        }
        found.sort_unstable();
        for (hf, file) in index {
            if let Name::Canonical(name) = names::canonical(hf)
                && name != "output.weight"
                && found.binary_search(&(&name, file)).is_err()
            {
                return Err(Error::tensor(hf, format_args!("one in {file}, as the index says"), "none there"));
            }
        }
        Ok(())
    }
}

/// The tensors of a header in the order of the text. The crate's own type for it keeps a copy of everything first.
struct Entries(Vec<(String, Entry)>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Entries, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Entries;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map from names to tensors")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Entries, M::Error> {
                let mut entries = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    if name == "__metadata__" {
                        map.next_value::<IgnoredAny>()?;
                    } else {
                        entries.push((name, map.next_value()?));
                    }
                }
                Ok(Entries(entries))
            }
        }
        d.deserialize_map(Reader)
    }
}

/// Reads the header of one file: its length as u64, then JSON. The `safetensors` crate checks that shapes, types and
/// offsets agree and leave no gap.
fn read_header(bytes: &[u8], shard: u32, tensors: &mut Vec<TensorInfo>) -> Result<(), Error> {
    let len = bytes.len() as u64;
    let cut = |offset, expected: &str, need| Error::Truncated { offset, expected: expected.to_owned(), need, len };
    let (n, rest) = bytes.split_first_chunk().ok_or_else(|| cut(0, "the length of the header", 8))?;
    let n = u64::from_le_bytes(*n);
    if n > MAX_HEADER as u64 {
        return Err(Error::malformed(0, "length of the header", format_args!("at most {MAX_HEADER}"), n));
    }
    let (header, data) = rest.split_at_checked(n as usize).ok_or_else(|| cut(8, "the header", n))?;
    let what = "the header of a safetensors file";
    let Entries(mut entries) = json(header, what)?;
    entries.sort_by_key(|(_, entry)| entry.data_offsets);
    let names = entries.len();
    let metadata = Metadata::new(None, entries).map_err(|e| Error::malformed(8, what, "tensors without gaps", e))?;
    let different = metadata.tensors().len();
    if names != different {
        let got = format!("{names} names and {different} different ones");
        return Err(Error::malformed(8, what, "every name once", got));
    }
    let base = 8 + header.len();
    if metadata.data_len() != data.len() {
        let expected = format!("{} bytes of tensors", metadata.data_len());
        return Err(Error::malformed(base, "length of the data", expected, data.len()));
    }
    let mut all: Vec<_> = metadata.tensors().into_iter().collect();
    all.sort_unstable_by_key(|(_, info)| info.data_offsets);
    for (hf, info) in all {
        let name = match names::canonical(&hf) {
            Name::Canonical(name) => name,
            Name::Skipped => continue,
            Name::Unknown => return Err(Error::tensor(&hf, "a tensor of a known family", "another one")),
        };
        let dtype = match info.dtype {
            Dtype::F32 => DType::F32,
            Dtype::F16 => DType::F16,
            Dtype::BF16 => DType::BF16,
            other => return Err(Error::tensor(&hf, "f32, f16 or bf16", format_args!("{other:?}"))),
        };
        if !(1..=4).contains(&info.shape.len()) || info.shape.contains(&0) {
            return Err(Error::tensor(&hf, "1 to 4 dimensions, none of them zero", format_args!("{:?}", info.shape)));
        }
        let (start, stop) = info.data_offsets;
        let len = info.shape.iter().try_fold(1usize, |n, d| n.checked_mul(*d)).and_then(|n| dtype.bytes(n));
        if len.is_none() || stop.checked_sub(start) != len || stop > metadata.data_len() {
            return Err(Error::tensor(
                &hf,
                format_args!("bytes for shape {:?}", info.shape),
                stop.saturating_sub(start),
            ));
        }
        tensors.push(TensorInfo {
            name,
            dtype,
            shape: info.shape.clone(),
            shard,
            start: base + start,
            len: stop - start,
        });
    }
    Ok(())
}

fn check_shard_name(name: &str) -> Result<(), Error> {
    let mut parts = Path::new(name).components();
    let plain = matches!((parts.next(), parts.next()), (Some(Component::Normal(_)), None));
    if plain && !name.contains(['/', '\\', '\0']) && name.ends_with(".safetensors") {
        return Ok(());
    }
    Err(Error::key("weight_map", "names of .safetensors files in the same folder", format_args!("{name:?}")))
}

/// Why a folder is no model; one that holds GGUF files is told from one that holds none.
fn no_config(dir: &Path) -> std::io::Error {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|e| e.path());
    let gguf = entries.filter(|p| p.extension().is_some_and(|e| e == "gguf")).min();
    let text = match gguf {
        Some(file) => format!("this folder holds no config.json; did you mean {}?", file.display()),
        None => "this folder holds no config.json".to_owned(),
    };
    std::io::Error::new(std::io::ErrorKind::NotFound, text)
}

/// A small file, or nothing where it does not exist.
fn read_small(path: &Path, most: usize) -> Result<Option<Vec<u8>>, Error> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::Io { path: path.to_owned(), source: e }),
        Ok(m) if m.len() > most as u64 => {
            Err(Error::malformed(0, &path.display().to_string(), format_args!("at most {most} bytes"), m.len()))
        }
        Ok(_) => std::fs::read(path).map(Some).map_err(Error::io(path)),
    }
}

fn limit<'a>(bytes: &'a [u8], most: usize, what: &str) -> Result<&'a [u8], Error> {
    if bytes.len() <= most {
        return Ok(bytes);
    }
    Err(Error::malformed(0, what, format_args!("at most {most} bytes"), bytes.len()))
}

fn json<'a, T: Deserialize<'a>>(bytes: &'a [u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(bytes).map_err(|e| Error::malformed(0, what, "JSON", e))
}

/// The template of a `tokenizer_config.json`: a string, or the one called `default` of a list.
fn template_of(tokenizer_config: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Template {
        One(String),
        Several(Vec<Named>),
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
        template: String,
    }
    #[derive(Deserialize)]
    struct Holder {
        chat_template: Option<Template>,
    }
    let holder: Holder = serde_json::from_slice(tokenizer_config).ok()?;
    match holder.chat_template? {
        Template::One(t) => Some(t),
        Template::Several(list) => list.into_iter().find(|t| t.name == "default").map(|t| t.template),
    }
}
