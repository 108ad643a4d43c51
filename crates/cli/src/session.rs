//! A loaded model with its tokenizer, and the loop that turns a prompt into text.

use crate::args::{ChoiceArgs, ContextArgs, Kv, SamplingArgs};
use crate::commands::{forced, open};
use crate::interrupt::{self, Cancel};
use crate::progress;
use metallic_engine::{
    Engine, FinishReason, Generation, KvType, Options, Piece, Request, Sampling, TextEnd, TextStream, Usage,
};
use metallic_model::tokenizer::{StreamDecoder, Tokenizer};
use metallic_model::{Config, ModelFile, Progress};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A model that is ready to write.
pub struct Session {
    /// Where it was read from.
    pub path: PathBuf,
    /// The file, for its metadata.
    pub file: Arc<ModelFile>,
    /// The engine.
    pub engine: Engine,
    /// Its tokenizer.
    pub tokenizer: Arc<Tokenizer>,
    /// From opening the file to being ready.
    pub load: Duration,
}

impl Session {
    /// Loads a model, with a bar where somebody watches.
    pub fn load(path: &Path, options: &Options, cancel: Cancel) -> anyhow::Result<Session> {
        let start = Instant::now();
        let file = Arc::new(open(path)?);
        let tokenizer = Arc::new(Tokenizer::from_model(&file)?);
        let engine = load_engine(&file, options, cancel)?;
        Ok(Session { path: path.to_owned(), file, engine, tokenizer, load: start.elapsed() })
    }

    /// Every token that ends a text.
    pub fn ends(&self) -> Vec<u32> {
        let mut ends = self.file.config().eos.clone();
        ends.extend(self.tokenizer.ends().iter().filter(|id| (**id as usize) < self.file.config().vocab));
        ends.sort_unstable();
        ends.dedup();
        ends
    }

    /// The text of what continues a text that is there already, up to one of `stops`.
    pub fn continuing(&self, stops: &[String]) -> TextStream {
        TextStream::new(StreamDecoder::continuing(self.tokenizer.clone()), stops.to_vec())
    }

    /// The text of an answer of its own, up to one of `stops`.
    pub fn answering(&self, stops: &[String]) -> TextStream {
        TextStream::new(StreamDecoder::new(self.tokenizer.clone()), stops.to_vec())
    }

    /// Runs a request. `show` gets each part of the text as it becomes certain.
    pub fn generate(
        &mut self,
        request: Request,
        stream: TextStream,
        cancel: Cancel,
        show: &mut dyn FnMut(&str) -> anyhow::Result<()>,
    ) -> anyhow::Result<Outcome> {
        let bar = progress::counted("reading");
        let chunked = request.prompt.len() > 64;
        let mut generation = Generation::start(&mut self.engine, request, stream)?;
        loop {
            if cancel.load(Ordering::Relaxed) {
                generation.cancel();
            }
            match generation.next_piece()? {
                Some(Piece::Prefill { done, total }) if chunked => bar.at(done as u64, total as u64),
                Some(Piece::Prefill { .. }) => {}
                Some(Piece::Text(text)) => {
                    bar.clear();
                    show(text)?;
                }
                Some(Piece::End { end, usage }) => {
                    return Ok(Outcome { tokens: generation.tokens().to_vec(), end, usage });
                }
                None => anyhow::bail!("the engine ended without ending the text"),
            }
        }
    }
}

/// What came of a prompt.
pub struct Outcome {
    /// Tokens generated, without the one that ended the text.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub end: TextEnd,
    /// What it took.
    pub usage: Usage,
}

impl Outcome {
    /// Why it ended, in the word that is printed.
    pub fn end_name(&self) -> &'static str {
        match self.end {
            TextEnd::StopString(_) => "stop_string",
            TextEnd::Sequence(FinishReason::Stop) => "stop",
            TextEnd::Sequence(FinishReason::Length) => "length",
            TextEnd::Sequence(FinishReason::Context) => "context",
            TextEnd::Sequence(FinishReason::Cancelled) => "interrupted",
        }
    }

    /// Tokens of the prompt a second, until the first token.
    pub fn prefill_tps(&self) -> f64 {
        rate(self.usage.prompt.saturating_sub(self.usage.cached), self.usage.first_token)
    }

    /// Tokens a second after the first.
    pub fn decode_tps(&self) -> f64 {
        rate(self.usage.generated.saturating_sub(1), self.usage.decode)
    }

    /// Tokens generated a second, the time for the prompt included.
    pub fn total_tps(&self) -> f64 {
        rate(self.usage.generated, self.usage.first_token + self.usage.decode)
    }
}

fn rate(count: usize, time: Duration) -> f64 {
    if time.is_zero() { 0.0 } else { count as f64 / time.as_secs_f64() }
}

/// Loads an engine, with a bar where somebody watches.
pub fn load_engine(file: &Arc<ModelFile>, options: &Options, cancel: Cancel) -> anyhow::Result<Engine> {
    let bar = progress::bytes("loading");
    let report = |done, total| bar.at(done, total);
    let engine = Engine::load(file.clone(), options, Progress { report: &report, cancel })?;
    bar.clear();
    interrupt::check(cancel)?;
    Ok(engine)
}

/// The engine's options for one text at a time.
pub fn options(context: &ContextArgs, threads: Option<usize>, choice: &ChoiceArgs) -> Options {
    let usual = Options::default();
    Options {
        threads,
        without: choice.without.clone(),
        force: forced(choice),
        kv: match context.kv {
            Kv::Auto => KvType::Auto,
            Kv::F32 => KvType::F32,
            Kv::F16 => KvType::F16,
            Kv::Q8_0 => KvType::Q8_0,
        },
        context: context.context,
        chunk: context.chunk.unwrap_or(usual.chunk),
        max_sequences: 1,
        ..usual
    }
}

/// How tokens are drawn: as the flags say, else as the model's author recommends.
pub fn sampling(args: &SamplingArgs, config: &Config, seed: u64) -> Sampling {
    let usual = Sampling::recommended(&config.sampling, seed);
    Sampling {
        temperature: args.temperature.unwrap_or(usual.temperature),
        top_k: args.top_k.unwrap_or(usual.top_k),
        top_p: args.top_p.unwrap_or(usual.top_p),
        min_p: args.min_p.unwrap_or(usual.min_p),
        repeat_penalty: args.repeat_penalty.unwrap_or(usual.repeat_penalty),
        presence_penalty: args.presence_penalty.unwrap_or(usual.presence_penalty),
        frequency_penalty: args.frequency_penalty.unwrap_or(usual.frequency_penalty),
        logit_bias: args.logit_bias.clone(),
        ..usual
    }
}

/// The seed that was given, or one that nobody chose.
pub fn seed(args: &SamplingArgs) -> u64 {
    // Below 2^53, so that it survives any JSON reader.
    args.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 11)
}
