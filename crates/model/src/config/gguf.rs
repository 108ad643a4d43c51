//! The keys of GGUF files, read and written.

use super::{Arch, Config, Pairing, Rope, RopeScaling, SamplingDefaults, tokenizer};
use crate::gguf::{Header, Value};
use crate::gguf_write::GgufWriter;
use crate::{Error, TensorInfo};
use metallic_kernels::DType;

/// Metadata of one GGUF file, asked for by key.
#[derive(Clone, Copy)]
pub(crate) struct Keys<'a> {
    pub header: &'a Header,
    pub bytes: &'a [u8],
}

impl<'a> Keys<'a> {
    pub fn get(&self, key: &str) -> Option<Value<'a>> {
        self.header.get(self.bytes, key)
    }

    fn typed<T>(&self, key: &str, expected: &str, as_t: impl Fn(&Value<'a>) -> Option<T>) -> Result<Option<T>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(v) => match as_t(&v) {
                Some(t) => Ok(Some(t)),
                None => Err(Error::key(key, expected, format_args!("{} {v}", v.kind()))),
            },
        }
    }

    pub fn size(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a non-negative integer", |v| usize::try_from(v.as_u64()?).ok())
    }

    pub fn u32(&self, key: &str) -> Result<Option<u32>, Error> {
        self.typed(key, "an integer from 0 to 2^32 - 1", |v| u32::try_from(v.as_u64()?).ok())
    }

    pub fn f32(&self, key: &str) -> Result<Option<f32>, Error> {
        self.typed(key, "a number", |v| v.as_f64().map(|f| f as f32))
    }

    pub fn str(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.typed(key, "a string", |v| v.as_str())
    }

    pub fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "a bool", |v| v.as_bool())
    }
}

fn need<T>(value: Option<T>, key: &str, expected: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::key(key, expected, "nothing: the key is missing"))
}

/// The key that holds a field of [`Config`] for a family.
fn key_of(arch: Arch, field: &str) -> String {
    let name = match field {
        "n_layers" => "block_count",
        "d_model" => "embedding_length",
        "d_ff" => "feed_forward_length",
        "n_heads" => "attention.head_count",
        "n_kv_heads" => "attention.head_count_kv",
        "head_dim" => "attention.key_length",
        "value_dim" => "attention.value_length",
        "vocab" => "vocab_size",
        "context_length" => "context_length",
        "rms_eps" => "attention.layer_norm_rms_epsilon",
        "sliding_window" => "attention.sliding_window",
        "rope_theta" => "rope.freq_base",
        "rope_dims" => "rope.dimension_count",
        "rope_scaling" => "rope.scaling.factor",
        "rope_scaling_type" => "rope.scaling.type",
        "rope_original" => "rope.scaling.original_context_length",
        "rope_attention" => "rope.scaling.attn_factor",
        "rope_beta_fast" => "rope.scaling.yarn_beta_fast",
        "rope_beta_slow" => "rope.scaling.yarn_beta_slow",
        "experts" => "expert_count",
        "eos" => return tokenizer::EOS.to_owned(),
        other => other,
    };
    format!("{}.{name}", arch.name())
}

const ARCH: &str = "general.architecture";
const NAME: &str = "general.name";
const TEMPERATURE: &str = "general.sampling.temp";
const TOP_K: &str = "general.sampling.top_k";
const TOP_P: &str = "general.sampling.top_p";
const REPETITION_PENALTY: &str = "general.sampling.penalty_repeat";

const SPLIT_NO: &str = "split.no";
const SPLIT_COUNT: &str = "split.count";
const SPLIT_TENSORS: &str = "split.tensors.count";

/// Which part of a split model a file is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Split {
    /// Number of the part, from 0.
    pub no: usize,
    /// Number of parts.
    pub count: usize,
    /// Tensors in all parts together.
    pub tensors: usize,
}

impl Split {
    /// Reads the keys of a part; a file without them is the only part.
    pub fn read(keys: Keys, own_tensors: usize) -> Result<Split, Error> {
        let count = keys.size(SPLIT_COUNT)?.unwrap_or(1);
        let no = keys.size(SPLIT_NO)?.unwrap_or(0);
        // The format of part names has five digits.
        if !(1..=99_999).contains(&count) {
            return Err(Error::key(SPLIT_COUNT, "1 to 99999", count));
        }
        if no >= count {
            return Err(Error::key(SPLIT_NO, format_args!("below {count}, the number of parts"), no));
        }
        let tensors = match count {
            1 => own_tensors,
            _ => need(keys.size(SPLIT_TENSORS)?, SPLIT_TENSORS, "the number of tensors in all parts")?,
        };
        Ok(Split { no, count, tensors })
    }

    /// Checks that a further part says the same as the first, and that it is part `no`.
    pub fn check_part(&self, first: &Split, no: usize) -> Result<(), Error> {
        if self.count != first.count {
            return Err(Error::key(SPLIT_COUNT, format_args!("{}, as in the first part", first.count), self.count));
        }
        if self.no != no {
            return Err(Error::key(SPLIT_NO, no, self.no));
        }
        Ok(())
    }

    /// Checks the number of tensors found in all parts.
    pub fn check_tensors(&self, found: usize) -> Result<(), Error> {
        if found == self.tensors {
            return Ok(());
        }
        Err(Error::key(SPLIT_TENSORS, format_args!("{found}, which is what the parts hold"), self.tensors))
    }
}

impl Config {
    /// Reads the configuration of a GGUF file with the `tensors` of all its parts. `f32s` reads a tensor's values.
    pub(crate) fn from_gguf(
        keys: Keys,
        tensors: &[TensorInfo],
        f32s: impl Fn(&TensorInfo) -> Option<Vec<f32>>,
    ) -> Result<Config, Error> {
        let found = need(keys.str(ARCH)?, ARCH, "the name of a model family")?;
        let arch = Arch::ALL.into_iter().find(|a| a.name() == found);
        let arch = arch.ok_or_else(|| Arch::unknown(found, &Arch::ALL.map(Arch::name)))?;
        let key = |field: &str| key_of(arch, field);
        let size = |field: &str| keys.size(&key(field));
        let needed = |field: &str| need(size(field)?, &key(field), "a size");

        if let Some(n) = size("experts")?.filter(|n| *n > 0) {
            return Err(Error::key(&key("experts"), "no experts: mixtures are not supported", n));
        }
        let (d_model, n_heads) = (needed("d_model")?, needed("n_heads")?);
        let head_dim = match size("head_dim")? {
            Some(n) => n,
            None if n_heads > 0 && d_model % n_heads == 0 => d_model / n_heads,
            None => return Err(Error::key(&key("n_heads"), format_args!("a divisor of {d_model}"), n_heads)),
        };
        if let Some(n) = size("value_dim")?.filter(|n| *n != head_dim) {
            return Err(Error::key(&key("value_dim"), format_args!("{head_dim}, the width of the keys"), n));
        }
        let find = |name: &str| tensors.iter().find(|t| t.name == name);
        let tokens = tokenizer::token_count(keys)?;
        let rows = find("token_embd.weight").and_then(|t| t.shape.first().copied());
        let stated = size("vocab")?;
        let vocab = need(rows.or(stated).or(tokens), &key("vocab"), "a size, an embedding or tokens")?;
        if let Some(n) = stated.filter(|n| *n != vocab) {
            return Err(Error::key(&key("vocab"), format_args!("{vocab}, the rows of token_embd.weight"), n));
        }
        if let Some(n) = tokens.filter(|n| *n > vocab) {
            let expected = format!("at most {vocab} tokens, the rows of token_embd.weight");
            return Err(Error::key(tokenizer::TOKENS, expected, n));
        }
        let factors = match find("rope_freqs.weight") {
            None => None,
            Some(t) => match f32s(t) {
                Some(f) if t.dtype == DType::F32 => Some(f),
                _ => return Err(Error::tensor(&t.name, DType::F32, t.dtype)),
            },
        };
        let config = Config {
            arch,
            name: keys.str(NAME)?.unwrap_or_default().to_owned(),
            n_layers: needed("n_layers")?,
            d_model,
            d_ff: needed("d_ff")?,
            n_heads,
            n_kv_heads: size("n_kv_heads")?.unwrap_or(n_heads),
            head_dim,
            vocab,
            context_length: needed("context_length")?,
            rms_eps: need(keys.f32(&key("rms_eps"))?, &key("rms_eps"), "a number")?,
            rope: rope(keys, arch, head_dim, factors)?,
            sliding_window: size("sliding_window")?.filter(|n| *n > 0),
            tied: find("output.weight").is_none(),
            bos: tokenizer::token_id(keys, tokenizer::BOS)?,
            eos: tokenizer::end_tokens(keys)?,
            add_bos: keys.bool(tokenizer::ADD_BOS)?,
            sampling: SamplingDefaults {
                temperature: keys.f32(TEMPERATURE)?,
                top_k: keys.u32(TOP_K)?,
                top_p: keys.f32(TOP_P)?,
                repetition_penalty: keys.f32(REPETITION_PENALTY)?,
            },
        };
        config.consistent(key)
    }
}

const FILE_TYPE: &str = "general.file_type";
const QUANTIZATION_VERSION: &str = "general.quantization_version";

/// Number of a file whose matrices are mostly of type `dtype`; `None` where the format has none.
fn file_type(dtype: DType) -> Option<u32> {
    Some(match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::BF16 => 32,
        DType::Q8_0 => 7,
        DType::Q4_0 => 2,
        DType::Q4_1 => 3,
        DType::Q5_0 => 8,
        DType::Q5_1 => 9,
        DType::Q2_K => 10,
        DType::Q3_K => 11,
        DType::Q4_K => 14,
        DType::Q5_K => 16,
        DType::Q6_K => 18,
        DType::IQ4_NL => 25,
        DType::MXFP4 => 38,
        DType::I32 => return None,
    })
}

/// Keys that say in which types a file's tensors are.
pub(crate) fn is_type_key(key: &str) -> bool {
    matches!(key, FILE_TYPE | QUANTIZATION_VERSION) || key.starts_with("split.")
}

/// Writes the keys that say in which types a file's tensors are.
pub(crate) fn write_type(w: &mut GgufWriter, dtype: DType) -> Result<(), Error> {
    if let Some(n) = file_type(dtype) {
        w.put(FILE_TYPE, Value::U32(n))?;
    }
    if dtype.is_quantized() { w.put(QUANTIZATION_VERSION, Value::U32(2)) } else { Ok(()) }
}

impl Config {
    /// Writes the keys of the configuration, but for the vocabulary's. `dtype` is what most matrices are stored in.
    pub(crate) fn write(&self, w: &mut GgufWriter, dtype: DType) -> Result<(), Error> {
        w.put(ARCH, Value::Str(self.arch.name()))?;
        w.put("general.type", Value::Str("model"))?;
        if !self.name.is_empty() {
            w.put(NAME, Value::Str(&self.name))?;
        }
        write_type(w, dtype)?;
        let mut size = |field: &str, n: usize| {
            let n = u32::try_from(n).map_err(|_| Error::key(field, "below 2^32", n))?;
            w.put(&key_of(self.arch, field), Value::U32(n))
        };
        size("n_layers", self.n_layers)?;
        size("context_length", self.context_length)?;
        size("d_model", self.d_model)?;
        size("d_ff", self.d_ff)?;
        size("n_heads", self.n_heads)?;
        size("n_kv_heads", self.n_kv_heads)?;
        size("head_dim", self.head_dim)?;
        size("value_dim", self.head_dim)?;
        size("vocab", self.vocab)?;
        size("rope_dims", self.rope.dims)?;
        if let Some(n) = self.sliding_window {
            size("sliding_window", n)?;
        }
        let number = |w: &mut GgufWriter, field: &str, v: f32| w.put(&key_of(self.arch, field), Value::F32(v));
        number(w, "rms_eps", self.rms_eps)?;
        number(w, "rope_theta", self.rope.theta)?;
        let kind = key_of(self.arch, "rope_scaling_type");
        match self.rope.scaling {
            // Llama 3's scaling goes into the tensor rope_freqs.weight.
            RopeScaling::None | RopeScaling::Llama3 { .. } => {}
            RopeScaling::Linear(factor) => {
                w.put(&kind, Value::Str("linear"))?;
                number(w, "rope_scaling", factor)?;
            }
            RopeScaling::Yarn { factor, original, beta_fast, beta_slow, attention } => {
                w.put(&kind, Value::Str("yarn"))?;
                number(w, "rope_scaling", factor)?;
                w.put(&key_of(self.arch, "rope_original"), Value::U32(original as u32))?;
                number(w, "rope_beta_fast", beta_fast)?;
                number(w, "rope_beta_slow", beta_slow)?;
                number(w, "rope_attention", attention / (0.1 * factor.ln() + 1.0))?;
            }
        }
        let s = self.sampling;
        for (key, v) in [(TEMPERATURE, s.temperature), (TOP_P, s.top_p), (REPETITION_PENALTY, s.repetition_penalty)] {
            if let Some(v) = v {
                w.put(key, Value::F32(v))?;
            }
        }
        match s.top_k {
            Some(k) => w.put(TOP_K, Value::I32(k.min(i32::MAX as u32) as i32)),
            None => Ok(()),
        }
    }
}

fn rope(keys: Keys, arch: Arch, head_dim: usize, factors: Option<Vec<f32>>) -> Result<Rope, Error> {
    let key = |field: &str| key_of(arch, field);
    let f32 = |field: &str| keys.f32(&key(field));
    let factor = || need(f32("rope_scaling")?, &key("rope_scaling"), "a number");
    let original = || need(keys.size(&key("rope_original"))?, &key("rope_original"), "a size");
    let scaling = match keys.str(&key("rope_scaling_type"))? {
        None | Some("none") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear(factor()?),
        Some("yarn") => {
            let factor = factor()?;
            RopeScaling::Yarn {
                factor,
                original: original()? as f32,
                beta_fast: f32("rope_beta_fast")?.unwrap_or(32.0),
                beta_slow: f32("rope_beta_slow")?.unwrap_or(1.0),
                attention: f32("rope_attention")?.unwrap_or(1.0) * (0.1 * factor.ln() + 1.0),
            }
        }
        Some(other) => return Err(Error::key(&key("rope_scaling_type"), "none, linear or yarn", other)),
    };
    Ok(Rope {
        theta: f32("rope_theta")?.unwrap_or(10_000.0),
        dims: keys.size(&key("rope_dims"))?.unwrap_or(head_dim),
        pairing: if arch == Arch::Llama { Pairing::Interleaved } else { Pairing::Halves },
        scaling,
        factors,
    })
}
