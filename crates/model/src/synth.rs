//! Models of known shapes with seeded random weights, so that speed can be measured without a download.

use crate::config::{Arch, Config, Pairing, Rope, RopeScaling, SamplingDefaults, Vocabulary};
use crate::encode::{Matrix, check_writable, fitting};
use crate::gguf_write::{Body, GgufWriter};
use crate::progress::{Meter, Progress};
use crate::{Error, ModelFile};
use metallic_kernels::DType;
use std::io::Write;
use std::path::Path;

/// One row of the table of shapes.
struct Shape {
    name: &'static str,
    arch: Arch,
    d_model: usize,
    d_ff: usize,
    n_layers: usize,
    /// Query heads, key and value heads, width of a head.
    heads: [usize; 3],
    vocab: usize,
    context: usize,
    theta: f32,
    tied: bool,
}

#[rustfmt::skip]
const SHAPES: [Shape; 10] = [
    Shape { name: "qwen2.5-0.5b", arch: Arch::Qwen2, d_model:  896, d_ff:  4864, n_layers: 24, heads: [14, 2,  64], vocab: 151_936, context:  32_768, theta: 1e6, tied: true },
    Shape { name: "qwen2.5-1.5b", arch: Arch::Qwen2, d_model: 1536, d_ff:  8960, n_layers: 28, heads: [12, 2, 128], vocab: 151_936, context:  32_768, theta: 1e6, tied: true },
    Shape { name: "qwen2.5-7b",   arch: Arch::Qwen2, d_model: 3584, d_ff: 18944, n_layers: 28, heads: [28, 4, 128], vocab: 152_064, context:  32_768, theta: 1e6, tied: false },
    Shape { name: "qwen3-0.6b",   arch: Arch::Qwen3, d_model: 1024, d_ff:  3072, n_layers: 28, heads: [16, 8, 128], vocab: 151_936, context:  40_960, theta: 1e6, tied: true },
    Shape { name: "llama-3.2-1b", arch: Arch::Llama, d_model: 2048, d_ff:  8192, n_layers: 16, heads: [32, 8,  64], vocab: 128_256, context: 131_072, theta: 5e5, tied: true },
    Shape { name: "llama-3-8b",   arch: Arch::Llama, d_model: 4096, d_ff: 14336, n_layers: 32, heads: [32, 8, 128], vocab: 128_256, context:   8_192, theta: 5e5, tied: false },
    Shape { name: "smollm-135m",  arch: Arch::Llama, d_model:  576, d_ff:  1536, n_layers: 30, heads: [ 9, 3,  64], vocab:  49_152, context:   2_048, theta: 1e4, tied: true },
    Shape { name: "tiny-qwen2",   arch: Arch::Qwen2, d_model:  256, d_ff:   512, n_layers:  2, heads: [ 4, 2,  64], vocab:     512, context:   2_048, theta: 1e6, tied: true },
    Shape { name: "tiny-qwen3",   arch: Arch::Qwen3, d_model:  256, d_ff:   512, n_layers:  2, heads: [ 4, 2, 128], vocab:     512, context:   2_048, theta: 1e6, tied: true },
    Shape { name: "tiny-llama",   arch: Arch::Llama, d_model:  256, d_ff:   512, n_layers:  2, heads: [ 4, 2,  64], vocab:     512, context:   2_048, theta: 1e4, tied: false },
];

/// A model to be made.
#[derive(Clone, Copy, Debug)]
pub struct Synth<'a> {
    /// One of [`shape_names`].
    pub shape: &'a str,
    /// Type of the matrices; vectors are F32.
    pub dtype: DType,
    /// The same seed gives the same bytes, whatever the number of threads.
    pub seed: u64,
    /// Where to take a vocabulary from; otherwise the model gets one of single bytes.
    pub vocab: Option<&'a ModelFile>,
}

/// Names of the known shapes.
pub fn shape_names() -> impl Iterator<Item = &'static str> {
    SHAPES.iter().map(|s| s.name)
}

/// Writes a model of a named shape with random weights to `dst`.
///
/// # Errors
/// An unknown shape, a type without an encoder, a vocabulary larger than the shape's, or what the system says.
pub fn synth(synth: &Synth, dst: &Path, progress: Progress) -> Result<(), Error> {
    let plan = Plan::new(synth)?;
    let body = plan.header(synth)?.create(dst)?;
    plan.write(synth, body, progress)?.finish()
}

/// As [`synth`], in memory.
///
/// # Errors
/// As [`synth`].
pub fn synth_bytes(synth: &Synth) -> Result<Vec<u8>, Error> {
    let plan = Plan::new(synth)?;
    let body = plan.header(synth)?.write_to(Vec::new(), Path::new("memory"))?;
    plan.write(synth, body, Progress::none())?.into_bytes()
}

struct Plan {
    config: Config,
    /// Name, type and shape in the order of the file.
    tensors: Vec<(String, DType, Vec<usize>)>,
}

impl Plan {
    fn new(synth: &Synth) -> Result<Plan, Error> {
        check_writable(synth.dtype)?;
        let shape = SHAPES.iter().find(|s| s.name == synth.shape).ok_or_else(|| Error::UnknownShape {
            found: synth.shape.to_owned(),
            known: shape_names().collect::<Vec<_>>().join(", "),
        })?;
        let config = shape.config(synth.seed);
        let mut needs = config.outer_tensors();
        needs.retain(|n| !n.optional || (n.name == "output.weight" && !config.tied));
        if config.rope.llama3_factors().is_some() {
            needs.extend(config.outer_tensors().into_iter().filter(|n| n.name == "rope_freqs.weight"));
        }
        needs.extend((0..config.n_layers).flat_map(|l| config.layer_tensors(l)).filter(|n| !n.optional));
        let tensors = needs.into_iter().map(|n| (n.name, fitting(synth.dtype, &n.shape), n.shape)).collect();
        Ok(Plan { config, tensors })
    }

    fn header(&self, synth: &Synth) -> Result<GgufWriter, Error> {
        let mut w = GgufWriter::new();
        self.config.write(&mut w, synth.dtype)?;
        match synth.vocab {
            Some(model) => Vocabulary::of(model)?.padded(self.config.vocab)?.write(&mut w)?,
            None => Vocabulary::bytes(self.config.vocab).write(&mut w)?,
        }
        for (name, dtype, shape) in &self.tensors {
            w.tensor(name, *dtype, shape)?;
        }
        Ok(w)
    }

    fn write<W: Write>(&self, synth: &Synth, mut body: Body<W>, progress: Progress) -> Result<Body<W>, Error> {
        let bytes = |(_, dtype, shape): &(String, DType, Vec<usize>)| dtype.bytes(shape.iter().product()).unwrap_or(0);
        let meter = Meter::new(progress, self.tensors.iter().map(bytes).sum::<usize>() as u64);
        for (name, dtype, shape) in &self.tensors {
            let cols = shape.last().copied().unwrap_or(1);
            let rows = shape.iter().product::<usize>() / cols;
            let matrix = Matrix { name, dtype: *dtype, rows, cols };
            if name == "rope_freqs.weight" {
                let factors = self.config.rope.llama3_factors().unwrap_or_default();
                matrix.write(&mut body, &meter, |_, out| {
                    out.copy_from_slice(&factors);
                    Ok(())
                })?;
                continue;
            }
            let (mean, std) = distribution(name, cols);
            let stream = mix(synth.seed ^ fnv(name.as_bytes()));
            matrix.write(&mut body, &meter, |first, out| {
                for (row, values) in out.chunks_exact_mut(cols).enumerate() {
                    normal(mix(stream ^ (first + row) as u64), mean, std, values);
                }
                Ok(())
            })?;
        }
        Ok(body)
    }
}

impl Shape {
    fn config(&self, seed: u64) -> Config {
        let [n_heads, n_kv_heads, head_dim] = self.heads;
        let scaling = match self.context {
            131_072 => RopeScaling::Llama3 { factor: 32.0, low: 1.0, high: 4.0, original: 8192.0 },
            _ => RopeScaling::None,
        };
        Config {
            arch: self.arch,
            name: format!("{}-random-{seed}", self.name),
            n_layers: self.n_layers,
            d_model: self.d_model,
            d_ff: self.d_ff,
            n_heads,
            n_kv_heads,
            head_dim,
            vocab: self.vocab,
            context_length: self.context,
            rms_eps: if self.arch == Arch::Llama { 1e-5 } else { 1e-6 },
            rope: Rope { theta: self.theta, dims: head_dim, pairing: Pairing::Halves, scaling, factors: None },
            sliding_window: None,
            tied: self.tied,
            bos: None,
            eos: Vec::new(),
            add_bos: None,
            sampling: SamplingDefaults::default(),
        }
    }
}

/// Mean and standard deviation of a tensor's values, so that activations stay near unit size.
fn distribution(name: &str, cols: usize) -> (f32, f32) {
    match name {
        "token_embd.weight" | "output.weight" => (0.0, 0.02),
        _ if name.ends_with("norm.weight") => (1.0, 0.1),
        _ if name.ends_with(".bias") => (0.0, 0.1),
        _ => (0.0, (cols as f32).sqrt().recip()),
    }
}

/// Fills `out` with nearly normal values: the sum of four uniform 16-bit numbers, which ends at 3.46 deviations.
fn normal(mut state: u64, mean: f32, std: f32, out: &mut [f32]) {
    const CENTRE: f32 = 2.0 * 65_535.0;
    let scale = std / (65_536.0 / 3f32.sqrt());
    for v in out {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let r = mix(state);
        let sum = (r & 0xffff) + ((r >> 16) & 0xffff) + ((r >> 32) & 0xffff) + (r >> 48);
        *v = mean + (sum as f32 - CENTRE) * scale;
    }
}

/// The output function of splitmix64 (Steele, Lea and Flood, 2014).
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// FNV-1a of 64 bits.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
