//! The engine: schedule, run, sample, postprocess.

use std::sync::Arc;
use std::time::Instant;

use metallic_device::cpu::{self, Cpu};
use metallic_device::{Device, StepRows};
use metallic_kernels::kv::PAGE;
use metallic_model::{Config, ModelFile, Progress, arch};
use metallic_ops::{Dispatch, Plan};

use crate::kv::{KvPool, slot};
use crate::logits::LOGIT_BYTES;
use crate::prefix::PrefixCache;
use crate::runner::{Runner, Token};
use crate::sampler::{self, Sampler, Scratch};
use crate::scheduler::{Scheduler, Work};
use crate::sequence::{Event, FinishReason, Request, SeqId, Sequence};
use crate::stats::{Meter, Stats};
use crate::{Error, Options};

/// Space for tokens that a sequence reserves before it generates them.
const RESERVED_TOKENS: usize = 4096;

/// A loaded model and the sequences that it continues.
pub struct Engine {
    pub(crate) config: Config,
    context: usize,
    pub(crate) runner: Runner,
    pub(crate) pool: KvPool,
    prefixes: PrefixCache,
    pub(crate) scheduler: Scheduler,
    works: Vec<Work>,
    /// Events that came up between steps.
    pending: Vec<Event>,
    next_id: u64,
    logits: Vec<f32>,
    scratch: Scratch,
    /// True from a cache that could not grow until a sequence ends.
    starved: bool,
    meter: Meter,
}

impl Engine {
    /// Loads a model on the CPU: packs its weights for the kernels that will run and gives the file's memory back on the way.
    ///
    /// # Errors
    /// Options out of range, a forced variant that does not exist or cannot run, no memory, or cancelled
    /// ([`Error::is_cancelled`]).
    pub fn load(file: Arc<ModelFile>, options: &Options, progress: Progress<'_>) -> Result<Engine, Error> {
        Engine::load_on(device(options)?, file, options, progress)
    }

    /// Loads a model on a device; options on threads and features are the device's and not looked at.
    ///
    /// # Errors
    /// As [`Engine::load`].
    pub fn load_on(
        device: Arc<dyn Device>,
        file: Arc<ModelFile>,
        options: &Options,
        progress: Progress<'_>,
    ) -> Result<Engine, Error> {
        options.check()?;
        let started = Instant::now();
        let config = file.config().clone();
        let context = options.context_of(config.context_length)?;
        let dispatch = Arc::new(Dispatch::of(&*device, &options.force).map_err(metallic_ops::Error::from)?);
        let kv = options.kv.resolve(&file);
        let pool = KvPool::new(device.clone(), &config, kv, context, options.max_sequences)?;
        let model = arch::load(&file, &*device, &dispatch, progress)?;
        let tokens = options.chunk.max(options.max_sequences);
        let rows = LOGIT_BYTES / (config.vocab * size_of::<f32>());
        let outputs = rows.clamp(1, tokens).max(options.max_sequences);
        let most = StepRows { tokens, outputs };
        let mut runner = Runner::new(device, dispatch, model, &config, most)?;
        // A forced variant that cannot run is an error now, not at the first long prompt.
        runner.plan_for(StepRows { tokens: options.chunk, outputs: 1 }, &pool)?;
        let meter = Meter::new(started.elapsed(), runner.plan_for(StepRows { tokens: 1, outputs: 1 }, &pool)?);
        Ok(Engine {
            runner,
            pool,
            prefixes: PrefixCache::default(),
            scheduler: Scheduler::new(options.max_sequences, options.chunk),
            works: Vec::with_capacity(options.max_sequences),
            pending: Vec::new(),
            next_id: 0,
            logits: vec![0.0; config.vocab],
            scratch: Scratch::new(config.vocab),
            starved: false,
            meter,
            config,
            context,
        })
    }

    /// What the model is.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Positions that a sequence may have.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Adds a sequence. It starts in a later step, once fewer than the most sequences run.
    ///
    /// # Errors
    /// An empty prompt or one longer than the context, an id outside of the vocabulary, a sampling setting out of range.
    pub fn add(&mut self, request: Request) -> Result<SeqId, Error> {
        let Request { prompt, sampling, max_tokens, stop_tokens, logprobs, reuse } = request;
        self.check_prompt(&prompt)?;
        let vocab = self.config.vocab;
        if let Some(&id) = stop_tokens.iter().find(|&&id| id as usize >= vocab) {
            return Err(Error::TokenId { what: "stop token", id, vocab });
        }
        self.scratch.reserve(sampling.penalty_window.min(self.context + 1));
        let sampler = Sampler::new(sampling, vocab)?;
        let id = SeqId(self.next_id);
        self.next_id += 1;
        let now = Instant::now();
        let count = prompt.len();
        let mut tokens = prompt;
        let room = (self.context + 1).saturating_sub(count).min(max_tokens).min(RESERVED_TOKENS);
        tokens.reserve(room);
        self.scheduler.waiting.push_back(Sequence {
            id,
            pages: Vec::with_capacity((count + room).div_ceil(PAGE)),
            prompt: count,
            tokens,
            computed: 0,
            cached: 0,
            max_tokens,
            stop_tokens: stop_tokens.into_iter().collect(),
            logprobs,
            reuse,
            sampler,
            row: 0,
            failed: false,
            added: now,
            first_token: None,
            last_token: now,
        });
        Ok(id)
    }

    pub(crate) fn check_prompt(&self, prompt: &[u32]) -> Result<(), Error> {
        let vocab = self.config.vocab;
        if prompt.is_empty() {
            return Err(Error::EmptyPrompt);
        }
        if prompt.len() > self.context {
            return Err(Error::PromptTooLong { tokens: prompt.len(), context: self.context });
        }
        match prompt.iter().find(|&&id| id as usize >= vocab) {
            Some(&id) => Err(Error::TokenId { what: "token", id, vocab }),
            None => Ok(()),
        }
    }

    /// Ends a sequence; its memory is free at once, and the next step tells [`FinishReason::Cancelled`]. False where no such
    /// sequence is waiting or running.
    pub fn cancel(&mut self, seq: SeqId) -> bool {
        match self.scheduler.remove(seq) {
            Some(sequence) => {
                let event = self.retire(sequence, FinishReason::Cancelled);
                self.pending.push(event);
                true
            }
            None => false,
        }
    }

    /// True where no sequence waits or runs and no event is left to tell.
    pub fn is_idle(&self) -> bool {
        self.scheduler.running.is_empty() && self.scheduler.waiting.is_empty() && self.pending.is_empty()
    }

    /// Sequences that run and that wait.
    pub fn sequences(&self) -> (usize, usize) {
        (self.scheduler.running.len(), self.scheduler.waiting.len())
    }

    /// One step: schedule, run, sample, postprocess. `events` is cleared and then holds what happened; with nothing to do,
    /// nothing.
    ///
    /// # Errors
    /// No memory for a larger cache, a device that failed, or a sequence whose logits are no numbers (which is ended; the
    /// others go on). `events` is valid then, too.
    pub fn step(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        events.clear();
        events.append(&mut self.pending);
        self.start_waiting()?;
        self.scheduler.schedule(&mut self.works);
        if self.works.is_empty() {
            return Ok(());
        }
        let started = Instant::now();
        self.run()?;
        let result = self.postprocess(events);
        let all: usize = self.works.iter().map(|w| w.count).sum();
        let prompts: usize = self.works.iter().filter(|w| w.prompt).map(|w| w.count).sum();
        self.meter.step(prompts, all - prompts, started.elapsed());
        result
    }

    fn start_waiting(&mut self) -> Result<(), Error> {
        while self.scheduler.may_start() && !self.starved {
            let Some(mut next) = self.scheduler.waiting.pop_front() else { break };
            if next.reuse && next.pages.is_empty() {
                let (pages, served) = self.prefixes.take(&next.tokens[..next.prompt - 1], &mut self.pool);
                next.pages = pages;
                (next.computed, next.cached) = (served, served);
            }
            let positions = next.prompt;
            if let Err(e) = self.make_room(next.pages.len(), positions) {
                // Others may end and leave their pages; alone, there is nothing to wait for.
                if self.scheduler.running.is_empty() {
                    self.fail(next);
                    return Err(e);
                }
                self.scheduler.waiting.push_front(next);
                self.starved = true;
                break;
            }
            let Some(row) = self.scheduler.take_row() else { break };
            next.row = row;
            self.pool.assign(row, &next.pages)?;
            self.pool.fill(row, &mut next.pages, positions)?;
            self.scheduler.running.push(next);
        }
        Ok(())
    }

    /// Ends a sequence because of an error that is told otherwise.
    fn fail(&mut self, mut sequence: Sequence) {
        sequence.failed = true;
        let event = self.retire(sequence, FinishReason::Cancelled);
        self.pending.push(event);
    }

    /// Sees to it that a sequence with `have` pages can get enough for `positions`.
    pub(crate) fn make_room(&mut self, have: usize, positions: usize) -> Result<(), Error> {
        loop {
            let lacking = self.pool.lacking(have, positions);
            if lacking == 0 {
                return Ok(());
            }
            if self.pool.is_full_grown() && self.prefixes.drop_oldest(&mut self.pool) {
                continue;
            }
            self.runner.drop_plans();
            self.pool.grow(lacking)?;
            if self.pool.lacking(have, positions) == lacking {
                return Err(Error::CacheFull { pages: self.pool.pages() });
            }
        }
    }

    fn run(&mut self) -> Result<(), Error> {
        for at in 0..self.works.len() {
            let Work { index, from, count, .. } = self.works[at];
            let Sequence { id, ref pages, .. } = self.scheduler.running[index];
            if let Err(e) = self.make_room(pages.len(), from + count) {
                if let Some(sequence) = self.scheduler.remove(id) {
                    self.fail(sequence);
                }
                return Err(e);
            }
            let s = &mut self.scheduler.running[index];
            self.pool.fill(s.row, &mut s.pages, from + count)?;
        }
        self.runner.begin();
        for work in &self.works {
            let s = &self.scheduler.running[work.index];
            for position in work.from..work.from + work.count {
                let slot = slot(&s.pages, position).ok_or(Error::CacheFull { pages: s.pages.len() })?;
                self.runner.push(Token { id: s.tokens[position], position, slot, row: s.row });
            }
            if work.ends {
                self.runner.want_logits();
            }
        }
        self.runner.run(&self.pool)
    }

    fn postprocess(&mut self, events: &mut Vec<Event>) -> Result<(), Error> {
        let (mut row, mut failed) = (0, None);
        for work in &self.works {
            let s = &mut self.scheduler.running[work.index];
            s.computed += work.count;
            if s.computed <= s.prompt {
                events.push(Event::Prefill { seq: s.id, done: s.computed, total: s.prompt });
            }
            if !work.ends {
                continue;
            }
            self.runner.logits(row, &mut self.logits)?;
            if s.max_tokens == 0 {
                s.last_token = Instant::now();
            } else if let Err(e) = s.draw(&mut self.logits, &mut self.scratch) {
                s.failed = true;
                failed = Some(Error::sampling(e, s.id));
            } else if let Some(&id) = s.tokens.last().filter(|id| !s.stop_tokens.contains(id)) {
                if s.logprobs {
                    // Samplers changed the logits; the probability is the model's own.
                    self.runner.logits(row, &mut self.logits)?;
                }
                let logprob = s.logprobs.then(|| sampler::logprob(&self.logits, id));
                events.push(Event::Token { seq: s.id, id, logprob });
            }
            row += 1;
        }
        self.retire_finished(events);
        failed.map_or(Ok(()), Err)
    }

    fn retire_finished(&mut self, events: &mut Vec<Event>) {
        let mut at = 0;
        while let Some(s) = self.scheduler.running.get(at) {
            let Some(reason) = self.finish(s) else {
                at += 1;
                continue;
            };
            if let Some(sequence) = self.scheduler.remove(s.id) {
                events.push(self.retire(sequence, reason));
            }
        }
    }

    /// Whether a sequence that was just worked on is at its end.
    fn finish(&self, s: &Sequence) -> Option<FinishReason> {
        if s.failed {
            return Some(FinishReason::Cancelled);
        }
        if !s.decodes() {
            return None;
        }
        if s.generated() > 0 && s.tokens.last().is_some_and(|id| s.stop_tokens.contains(id)) {
            return Some(FinishReason::Stop);
        }
        if s.generated() >= s.max_tokens {
            return Some(FinishReason::Length);
        }
        (s.tokens.len() > self.context).then_some(FinishReason::Context)
    }

    /// Gives a sequence's memory back, or keeps it for one that starts the same.
    fn retire(&mut self, mut s: Sequence, reason: FinishReason) -> Event {
        self.starved = false;
        let event = Event::Finished { seq: s.id, reason, usage: s.usage() };
        if s.reuse && !s.failed && s.computed > 0 {
            s.tokens.truncate(s.computed);
            self.prefixes.keep(s.tokens, s.pages, &mut self.pool);
        } else {
            self.pool.release(&mut s.pages);
        }
        event
    }

    /// What was done so far, and what it took.
    pub fn stats(&self) -> Stats {
        self.meter.stats(&self.pool)
    }

    /// The plan on which a step of `tokens` tokens and `outputs` rows of logits runs, e.g. to name its launches and variants.
    ///
    /// # Errors
    /// No kernel variant.
    pub fn plan(&mut self, tokens: usize, outputs: usize) -> Result<&mut Plan, Error> {
        let most = self.runner.most();
        let rows = StepRows { tokens: tokens.min(most.tokens), outputs: outputs.min(most.outputs) };
        self.runner.plan_for(rows, &self.pool)
    }

    /// Pages of the cache: all, and those that no sequence uses or is kept for.
    pub fn pages(&self) -> (usize, usize) {
        (self.pool.pages(), self.pool.free_pages())
    }

    /// Forgets the caches kept for [`Request::reuse`].
    pub fn drop_reusable(&mut self) {
        while self.prefixes.drop_oldest(&mut self.pool) {}
    }
}

/// The device that options ask for.
pub(crate) fn device(options: &Options) -> Result<Arc<dyn Device>, Error> {
    let cpu = cpu::Options { threads: options.threads, pinning: options.pinning, without: options.without.clone() };
    Ok(Arc::new(Cpu::new(&cpu)?))
}
