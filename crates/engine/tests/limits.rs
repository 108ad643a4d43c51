//! Requests and options that cannot be served, and machines that have no more to give: clear errors, and the engine goes on.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use common::{drain, fixture, generate, models, open, options, tokens};
use metallic_device::cpu::{self, Cpu};
use metallic_device::{Buffer, Device, Queue, Record};
use metallic_engine::{Engine, Error, FinishReason, KvType, Options, Request, Sampling};
use metallic_kernels::contract::Limits;
use metallic_model::{ModelFile, Progress};

#[test]
fn hostile_requests_are_refused_by_name() {
    let mut engine = fixture("qwen2-tied", &options());
    let mut refuse = |request: Request| engine.add(request).unwrap_err().to_string();
    assert!(refuse(Request::new(vec![])).contains("prompt is empty"));
    let message = refuse(Request::new(vec![1, 260, 2]));
    assert_eq!(message, "token 260 is outside of the vocabulary of 260 tokens");
    let message = refuse(Request::new(vec![1; 513]));
    assert_eq!(message, "the prompt has 513 tokens, but the context holds 512");
    let message = refuse(Request { stop_tokens: vec![u32::MAX], ..Request::new(vec![1]) });
    assert!(message.contains("stop token 4294967295"), "{message}");
    let sampling = Sampling { temperature: f32::NAN, ..Sampling::greedy() };
    assert!(refuse(Request { sampling, ..Request::new(vec![1]) }).contains("temperature is NaN"));
    assert!(engine.is_idle());
    let message = engine.logits(&[1, 999], &mut |_, _| std::ops::ControlFlow::Continue(())).unwrap_err().to_string();
    assert!(message.contains("999"), "{message}");
}

#[test]
fn no_tokens_wanted_computes_the_prompt_alone() {
    let mut engine = fixture("qwen2-tied", &options());
    let (tokens, end) = generate(&mut engine, Request { max_tokens: 0, ..Request::new(vec![1; 100]) });
    assert_eq!((tokens.len(), end), (0, FinishReason::Length));
    assert_eq!(engine.stats().prefill_tokens, 100);
}

#[test]
fn a_text_ends_at_the_context() {
    let (prompt, want) = tokens(&models().join("llama2"));
    let context = prompt.len() + 10;
    let mut engine = fixture("llama2", &Options { context: Some(context), ..options() });
    // Ten tokens are fed back, and the last of them gives one more.
    let (got, end) = generate(&mut engine, Request::new(prompt.clone()));
    assert_eq!((got.as_slice(), end), (&want[..11], FinishReason::Context));
    let full = [prompt.as_slice(), &want[..10]].concat();
    assert_eq!(generate(&mut engine, Request::new(full.clone())), (vec![want[10]], FinishReason::Context));
    let over = [full.as_slice(), &[1]].concat();
    assert!(matches!(engine.add(Request::new(over)), Err(Error::PromptTooLong { .. })));
}

#[test]
fn a_text_ends_at_a_stop_token() {
    let (prompt, want) = tokens(&models().join("smollm"));
    let stop = want[12];
    let first = want.iter().position(|&t| t == stop).unwrap();
    let mut engine = fixture("smollm", &options());
    let (got, end) = generate(&mut engine, Request { stop_tokens: vec![stop], ..Request::new(prompt) });
    assert_eq!((got.as_slice(), end), (&want[..first], FinishReason::Stop));
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let refuse = |o: Options| match Engine::load(open(&models().join("qwen2-tied")), &o, Progress::none()) {
        Ok(_) => panic!("{o:?} was accepted"),
        Err(e) => e.to_string(),
    };
    let force = |f: &str| Options { force: vec![f.to_owned()], ..options() };
    let cases = [
        (Options { chunk: 0, ..options() }, "chunk is 0"),
        (Options { max_sequences: 0, ..options() }, "max_sequences is 0"),
        (Options { context: Some(0), ..options() }, "context is 0"),
        (Options { context: Some(513), ..options() }, "513 positions is more than the 512"),
        (Options { threads: Some(0), ..options() }, "0 threads"),
        (Options { without: vec!["avx9".to_owned()], ..options() }, "avx9"),
        (Options { kv: KvType::Q8_0, ..options() }, "multiple of 32"),
        (force("matmul=nonesuch"), "nonesuch"),
        (force("nonesuch"), "op=family/name"),
    ];
    for (options, named) in cases {
        let message = refuse(options);
        assert!(message.contains(named), "{message}");
    }
    assert!("f64".parse::<KvType>().unwrap_err().to_string().contains("q8_0"));
}

#[test]
fn a_cancelled_load_says_so() {
    let cancel = AtomicBool::new(true);
    let progress = Progress { report: &|_, _| {}, cancel: &cancel };
    let error = Engine::load(open(&models().join("qwen2-tied")), &options(), progress).err().unwrap();
    assert!(error.is_cancelled());
}

#[test]
fn a_load_tells_its_progress_to_the_end() {
    let (most, total) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let report = |done: u64, all: u64| {
        most.fetch_max(done as usize, Ordering::Relaxed);
        total.store(all as usize, Ordering::Relaxed);
    };
    let progress = Progress { report: &report, cancel: &AtomicBool::new(false) };
    Engine::load(open(&models().join("llama3")), &options(), progress).unwrap();
    assert_eq!(most.into_inner(), total.into_inner());
}

/// A model whose last norm is NaN: the sequence ends with an error that names the logit, and the engine goes on.
#[test]
fn broken_weights_end_their_sequence() {
    let path = models().join("qwen2-tied/model.gguf");
    let mut bytes = std::fs::read(&path).unwrap();
    let norm = open(&path).tensor("output_norm.weight").unwrap().bytes.to_vec();
    let at = bytes.windows(norm.len()).position(|w| w == norm).unwrap();
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    let file = Arc::new(ModelFile::from_gguf_bytes(bytes).unwrap());
    let mut engine = Engine::load(file, &options(), Progress::none()).unwrap();
    engine.add(Request::new(vec![1, 2, 3])).unwrap();
    let mut events = Vec::new();
    let error = engine.step(&mut events).unwrap_err();
    assert!(matches!(error, Error::Logits { value, .. } if value.is_nan()), "{error}");
    assert!(engine.is_idle());
    assert_eq!(engine.pages().0, engine.pages().1);
}

#[test]
fn biases_that_forbid_everything_end_their_sequence_alone() {
    let (prompt, want) = tokens(&models().join("qwen2-tied"));
    let mut engine = fixture("qwen2-tied", &options());
    let logit_bias = (0..common::VOCAB as u32).map(|id| (id, f32::NEG_INFINITY)).collect();
    let sampling = Sampling { logit_bias, ..Sampling::greedy() };
    engine.add(Request { sampling, ..Request::new(vec![1]) }).unwrap();
    engine.add(Request { max_tokens: 20, ..Request::new(prompt) }).unwrap();
    let error = engine.step(&mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::NothingLeft { .. }), "{error}");
    let (got, _) = drain(&mut engine).remove(0);
    // The step that failed told of this sequence's first token.
    assert_eq!(got, want[1..20]);
}

/// A file may promise any context: it costs address space, and memory only as texts grow.
#[test]
fn a_huge_context_costs_nothing_until_it_is_used() {
    let mut bytes = std::fs::read(models().join("qwen2-tied/model.gguf")).unwrap();
    let key = b"qwen2.context_length";
    // The key is followed by the type of its value, four bytes, and the value.
    let at = bytes.windows(key.len()).position(|w| w == key).unwrap() + key.len() + 4;
    bytes[at..at + 4].copy_from_slice(&(1u32 << 28).to_le_bytes());
    let file = Arc::new(ModelFile::from_gguf_bytes(bytes).unwrap());
    let mut engine = Engine::load(file, &options(), Progress::none()).unwrap();
    assert_eq!(engine.context(), 1 << 28);
    let (prompt, want) = tokens(&models().join("qwen2-tied"));
    assert_eq!(generate(&mut engine, Request { max_tokens: want.len(), ..Request::new(prompt) }).0, want);
    assert!(engine.stats().cache_bytes < 1 << 20);
}

/// A CPU that gives only so much memory.
struct Small {
    cpu: Cpu,
    left: AtomicUsize,
}

impl Device for Small {
    fn name(&self) -> &str {
        "small"
    }

    fn describe(&self) -> String {
        self.cpu.describe()
    }

    fn limits(&self) -> &Limits {
        self.cpu.limits()
    }

    fn alloc(&self, bytes: usize) -> Result<Buffer, metallic_device::Error> {
        let enough = |left: usize| left.checked_sub(bytes);
        match self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, enough) {
            Ok(_) => self.cpu.alloc(bytes),
            Err(_) => Err(metallic_device::Error::Memory {
                device: "small".to_owned(),
                bytes,
                source: std::io::ErrorKind::OutOfMemory.into(),
            }),
        }
    }

    fn queue(&self, records: &[Record]) -> Result<Box<dyn Queue>, metallic_device::Error> {
        self.cpu.queue(records)
    }

    fn parallel(&self, parts: usize, job: &(dyn Fn(usize) + Sync)) -> Result<(), metallic_device::Error> {
        self.cpu.parallel(parts, job)
    }
}

/// Wherever memory ends, there is an error and no loss, and with memory again all goes on.
#[test]
fn memory_that_ends_is_an_error_and_nothing_is_lost() {
    let threads = cpu::Options { threads: Some(1), pinning: cpu::Pinning::Free, without: vec![] };
    let (prompt, want) = tokens(&models().join("llama2"));
    for bytes in [0, 1 << 12, 1 << 20] {
        let device = Arc::new(Small { cpu: Cpu::new(&threads).unwrap(), left: AtomicUsize::new(bytes) });
        let error =
            Engine::load_on(device, open(&models().join("llama2")), &options(), Progress::none()).err().unwrap();
        assert!(error.to_string().starts_with("small: cannot allocate"), "{error}");
    }
    let device = Arc::new(Small { cpu: Cpu::new(&threads).unwrap(), left: AtomicUsize::new(1 << 30) });
    let mut engine =
        Engine::load_on(device.clone(), open(&models().join("llama2")), &options(), Progress::none()).unwrap();
    // The second of the four buffers of the larger cache is refused.
    device.left.store(200_000, Ordering::Relaxed);
    engine.add(Request::new(vec![7; 500])).unwrap();
    let error = engine.step(&mut Vec::new()).unwrap_err();
    assert!(matches!(error, Error::Device(metallic_device::Error::Memory { .. })), "{error}");
    device.left.store(0, Ordering::Relaxed);
    let request = Request { max_tokens: want.len(), ..Request::new(prompt) };
    let mut got = engine.add(request.clone()).map(|_| drain(&mut engine)).unwrap();
    assert_eq!(got.pop().unwrap().0, want, "what fits goes on");
    device.left.store(1 << 30, Ordering::Relaxed);
    let (long, _) = generate(&mut engine, Request { max_tokens: 5, ..Request::new(vec![7; 500]) });
    let (same, _) =
        generate(&mut fixture("llama2", &options()), Request { max_tokens: 5, ..Request::new(vec![7; 500]) });
    assert_eq!(long, same);
    assert_eq!(generate(&mut engine, request).0, want);
    let (pages, free) = engine.pages();
    assert_eq!(pages, free);
}
