//! The keys of Hugging Face's `config.json` and `generation_config.json`, after the `transformers` library.

use super::{Arch, Config, Pairing, Rope, RopeScaling, SamplingDefaults};
use crate::Error;
use serde_json::{Map, Value};

/// `model_type` and the family that reads it.
const MODEL_TYPES: [(&str, Arch); 4] =
    [("llama", Arch::Llama), ("mistral", Arch::Llama), ("qwen2", Arch::Qwen2), ("qwen3", Arch::Qwen3)];

const MAX_END_TOKENS: usize = 64;

/// One JSON object, asked for by key. `null` is as good as missing.
#[derive(Clone, Copy)]
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn get(&self, key: &str) -> Option<&'a Value> {
        self.0.get(key).filter(|v| !v.is_null())
    }

    fn typed<T>(&self, key: &str, expected: &str, as_t: impl Fn(&'a Value) -> Option<T>) -> Result<Option<T>, Error> {
        match self.get(key) {
            None => Ok(None),
            Some(v) => as_t(v).map(Some).ok_or_else(|| Error::key(key, expected, short(v))),
        }
    }

    fn size(&self, key: &str) -> Result<Option<usize>, Error> {
        self.typed(key, "a non-negative integer", |v| usize::try_from(v.as_u64()?).ok())
    }

    fn f32(&self, key: &str) -> Result<Option<f32>, Error> {
        self.typed(key, "a number", |v| v.as_f64().map(|f| f as f32))
    }

    fn str(&self, key: &str) -> Result<Option<&'a str>, Error> {
        self.typed(key, "a string", Value::as_str)
    }

    fn bool(&self, key: &str) -> Result<Option<bool>, Error> {
        self.typed(key, "true or false", Value::as_bool)
    }

    fn object(&self, key: &str) -> Result<Option<Keys<'a>>, Error> {
        self.typed(key, "an object", |v| v.as_object().map(Keys))
    }

    /// Token ids: one, or a list of them.
    fn ids(&self, key: &str) -> Result<Vec<u32>, Error> {
        let id = |v: &Value| u32::try_from(v.as_u64()?).ok();
        let ids = self.typed(key, "a token id or a short list of them", |v| match v {
            Value::Array(list) if list.len() <= MAX_END_TOKENS => list.iter().map(id).collect(),
            one => id(one).map(|id| vec![id]),
        })?;
        Ok(ids.unwrap_or_default())
    }
}

fn short(v: &Value) -> String {
    let mut text = v.to_string();
    if let Some((end, _)) = text.char_indices().nth(60) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

fn need<T>(value: Option<T>, key: &str, expected: &str) -> Result<T, Error> {
    value.ok_or_else(|| Error::key(key, expected, "nothing: the key is missing"))
}

/// The key that holds a field of [`Config`].
fn key_of(field: &str) -> String {
    let name = match field {
        "n_layers" => "num_hidden_layers",
        "d_model" => "hidden_size",
        "d_ff" => "intermediate_size",
        "n_heads" => "num_attention_heads",
        "n_kv_heads" => "num_key_value_heads",
        "vocab" => "vocab_size",
        "context_length" => "max_position_embeddings",
        "rms_eps" => "rms_norm_eps",
        "eos" => "eos_token_id",
        "rope_dims" => "partial_rotary_factor",
        other => other,
    };
    name.to_owned()
}

impl Config {
    /// Reads `config.json` and, where there, `generation_config.json`. `name` is for people. Which of
    /// the files hold an output matrix is not known here, so `tied` is what the configuration says.
    pub(crate) fn from_hf(config: &Value, generation: Option<&Value>, name: &str) -> Result<Config, Error> {
        let keys = config.as_object().map(Keys).ok_or_else(|| Error::key("config.json", "an object", short(config)))?;
        let empty = Map::new();
        let generation = Keys(generation.and_then(Value::as_object).unwrap_or(&empty));
        let size = |field: &str| keys.size(&key_of(field));
        let needed = |field: &str| need(size(field)?, &key_of(field), "a size");

        let found = need(keys.str("model_type")?, "model_type", "the name of a model family")?;
        let known = || Arch::unknown(found, &MODEL_TYPES.map(|(name, _)| name));
        let arch = MODEL_TYPES.iter().find(|(name, _)| *name == found).map(|(_, arch)| *arch).ok_or_else(known)?;
        match keys.str("hidden_act")? {
            None | Some("silu") => {}
            Some(other) => return Err(Error::key("hidden_act", "silu", other)),
        }
        let (d_model, n_heads, n_layers) = (needed("d_model")?, needed("n_heads")?, needed("n_layers")?);
        let head_dim = match size("head_dim")? {
            Some(n) => n,
            None if arch == Arch::Qwen3 => 128,
            None if n_heads > 0 && d_model % n_heads == 0 => d_model / n_heads,
            None => return Err(Error::key(&key_of("n_heads"), format_args!("a divisor of {d_model}"), n_heads)),
        };
        let mut eos = generation.ids("eos_token_id")?;
        for id in keys.ids("eos_token_id")? {
            if !eos.contains(&id) {
                eos.push(id);
            }
        }
        let bos = match generation.ids("bos_token_id")?.first() {
            Some(id) => Some(*id),
            None => keys.ids("bos_token_id")?.first().copied(),
        };
        let context_length = needed("context_length")?;
        let config = Config {
            arch,
            name: name.to_owned(),
            n_layers,
            d_model,
            d_ff: needed("d_ff")?,
            n_heads,
            n_kv_heads: size("n_kv_heads")?.unwrap_or(n_heads),
            head_dim,
            vocab: needed("vocab")?,
            context_length,
            rms_eps: keys.f32("rms_norm_eps")?.unwrap_or(1e-6),
            rope: rope(keys, head_dim, context_length)?,
            sliding_window: sliding_window(keys, found, n_layers)?,
            tied: keys.bool("tie_word_embeddings")?.unwrap_or(false),
            bos,
            eos,
            add_bos: None,
            sampling: sampling(generation)?,
        };
        config.consistent(key_of)
    }
}

fn rope(keys: Keys, head_dim: usize, context_length: usize) -> Result<Rope, Error> {
    // transformers 5 has everything under `rope_parameters`, older versions beside it.
    let parameters = keys.object("rope_parameters")?;
    let theta = match parameters {
        Some(p) => p.f32("rope_theta")?,
        None => None,
    };
    let theta = match theta {
        Some(theta) => theta,
        None => keys.f32("rope_theta")?.unwrap_or(10_000.0),
    };
    let dims = match keys.f32("partial_rotary_factor")? {
        Some(f) if f > 0.0 && f <= 1.0 => (head_dim as f32 * f) as usize,
        Some(f) => return Err(Error::key("partial_rotary_factor", "above 0, up to 1", f)),
        None => head_dim,
    };
    let scaling = match parameters {
        Some(p) => scaling(p, context_length)?,
        None => match keys.object("rope_scaling")? {
            Some(p) => scaling(p, context_length)?,
            None => RopeScaling::None,
        },
    };
    Ok(Rope { theta, dims, pairing: Pairing::Halves, scaling, factors: None })
}

fn scaling(p: Keys, context_length: usize) -> Result<RopeScaling, Error> {
    let number = |key: &str| need(p.f32(key)?, key, "a number");
    let kind = match p.str("rope_type")? {
        Some(kind) => Some(kind),
        None => p.str("type")?,
    };
    Ok(match kind {
        None | Some("default") => RopeScaling::None,
        Some("linear") => RopeScaling::Linear(number("factor")?),
        Some("llama3") => RopeScaling::Llama3 {
            factor: number("factor")?,
            low: number("low_freq_factor")?,
            high: number("high_freq_factor")?,
            original: number("original_max_position_embeddings")?,
        },
        Some("yarn") => {
            let factor = number("factor")?;
            RopeScaling::Yarn {
                factor,
                original: p.f32("original_max_position_embeddings")?.unwrap_or(context_length as f32),
                beta_fast: p.f32("beta_fast")?.unwrap_or(32.0),
                beta_slow: p.f32("beta_slow")?.unwrap_or(1.0),
                attention: p.f32("attention_factor")?.unwrap_or(0.1 * factor.ln() + 1.0),
            }
        }
        Some(other) => return Err(Error::key("rope_type", "default, linear, llama3 or yarn", other)),
    })
}

/// The window where every layer has it. A model with a window in some layers only is refused.
fn sliding_window(keys: Keys, model_type: &str, n_layers: usize) -> Result<Option<usize>, Error> {
    let window = keys.size("sliding_window")?;
    if model_type == "mistral" {
        // An explicit null means none; without the key the library's default holds.
        return Ok(if keys.0.contains_key("sliding_window") { window } else { Some(4096) });
    }
    if model_type == "llama" || !keys.bool("use_sliding_window")?.unwrap_or(false) {
        return Ok(None);
    }
    let windowed = match keys.typed("layer_types", "a list", Value::as_array)? {
        Some(types) => types.iter().filter(|t| t.as_str() == Some("sliding_attention")).count(),
        None => n_layers.saturating_sub(keys.size("max_window_layers")?.unwrap_or(28)),
    };
    match windowed {
        0 => Ok(None),
        n if n == n_layers => Ok(window),
        n => Err(Error::key("sliding_window", format_args!("all of {n_layers} layers or none with a window"), n)),
    }
}

fn sampling(generation: Keys) -> Result<SamplingDefaults, Error> {
    if generation.bool("do_sample")? == Some(false) {
        return Ok(SamplingDefaults::default());
    }
    Ok(SamplingDefaults {
        temperature: generation.f32("temperature")?,
        top_k: generation.size("top_k")?.and_then(|k| u32::try_from(k).ok()),
        top_p: generation.f32("top_p")?,
        repetition_penalty: generation.f32("repetition_penalty")?,
    })
}
