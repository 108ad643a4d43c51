//! How to set an engine up.

use metallic_device::cpu::Pinning;
use metallic_kernels::DType;
use metallic_model::ModelFile;

use crate::Error;

/// Stored type of the KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// F32 where all of the model's matrices are F32, else F16.
    #[default]
    Auto,
    /// Exact.
    F32,
    /// Half the memory of F32.
    F16,
    /// A little over half the memory of F16; head sizes must be multiples of 32.
    Q8_0,
}

impl KvType {
    pub(crate) fn resolve(self, file: &ModelFile) -> DType {
        let all_f32 = || file.tensors().filter(|t| t.shape.len() > 1).all(|t| t.dtype == DType::F32);
        match self {
            KvType::F32 => DType::F32,
            KvType::F16 => DType::F16,
            KvType::Q8_0 => DType::Q8_0,
            KvType::Auto if all_f32() => DType::F32,
            KvType::Auto => DType::F16,
        }
    }
}

impl std::str::FromStr for KvType {
    type Err = Error;

    fn from_str(text: &str) -> Result<KvType, Error> {
        match text {
            "auto" => Ok(KvType::Auto),
            "f32" => Ok(KvType::F32),
            "f16" => Ok(KvType::F16),
            "q8_0" => Ok(KvType::Q8_0),
            _ => Err(Error::KvName { got: text.to_owned() }),
        }
    }
}

/// How to set an engine up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads; `None` takes every core this process may use.
    pub threads: Option<usize>,
    /// Whether threads stay on their cores.
    pub pinning: Pinning,
    /// CPU features to treat as absent, e.g. `amx` or `avx512`.
    pub without: Vec<String>,
    /// Forced kernel variants, `op=family/name`. The environment's (`metallic_ops::forced_by_environment`) are not looked
    /// at; a program that wants them adds them here.
    pub force: Vec<String>,
    /// Stored type of the KV cache.
    pub kv: KvType,
    /// Positions a sequence may have, at most what the model was trained for; `None` takes that.
    pub context: Option<usize>,
    /// Tokens of prompts that one step takes at most.
    pub chunk: usize,
    /// Sequences that run at a time; further ones wait.
    pub max_sequences: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            threads: None,
            pinning: Pinning::Cores,
            without: Vec::new(),
            force: Vec::new(),
            kv: KvType::Auto,
            context: None,
            chunk: 512,
            max_sequences: 16,
        }
    }
}

/// Most tokens of a step and most sequences that can be asked for.
const MOST: usize = 1 << 14;

impl Options {
    pub(crate) fn check(&self) -> Result<(), Error> {
        let range = |name, got| {
            if (1..=MOST).contains(&got) { Ok(()) } else { Err(Error::Option { name, expected: "1 to 16384", got }) }
        };
        range("chunk", self.chunk)?;
        range("max_sequences", self.max_sequences)
    }

    /// Positions a sequence of this model may have.
    pub(crate) fn context_of(&self, trained: usize) -> Result<usize, Error> {
        match self.context {
            None => Ok(trained),
            Some(0) => Err(Error::Option { name: "context", expected: "1 or more", got: 0 }),
            Some(n) if n > trained => Err(Error::Context { asked: n, trained }),
            Some(n) => Ok(n),
        }
    }
}
