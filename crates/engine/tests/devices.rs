//! Whole models on every device: the greedy tokens of transformers, and for the shipped model those of the CPU. What is not
//! there is reported as refused, with the reason.

mod common;

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use common::{all, generate, options, tokens};
use metallic_device::Device;
use metallic_device::cuda::Cuda;
use metallic_device::emulator::{Emulator, Mode};
use metallic_engine::{Engine, Options, Request};
use metallic_model::{ModelFile, Progress};

/// Past the test harness, which keeps the output of tests that pass.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn opened<D: Device + 'static>(name: &str, device: Result<D, metallic_device::Error>) -> Option<Arc<dyn Device>> {
    match device {
        Ok(device) => Some(Arc::new(device)),
        Err(why) => {
            say(&format!("REFUSED whole models on {name}: {why}"));
            None
        }
    }
}

fn load(device: &Arc<dyn Device>, path: &Path, options: &Options) -> Engine {
    let file = Arc::new(ModelFile::open(path).unwrap());
    Engine::load_on(device.clone(), file, options, Progress::none()).unwrap()
}

/// Every family, with prompts in one chunk and in several.
fn families(device: &Arc<dyn Device>, count: usize) {
    for (name, path, folder) in all() {
        let (prompt, want) = tokens(&folder);
        for chunk in [512, 7] {
            let mut engine = load(device, &path, &Options { chunk, ..options() });
            let request = Request { max_tokens: count.min(want.len()), ..Request::new(prompt.clone()) };
            let (got, _) = generate(&mut engine, request);
            assert_eq!(got, want[..got.len()], "{name} on {}, chunk {chunk}", device.name());
            assert_eq!(got.len(), count.min(want.len()));
        }
        say(&format!("{}: {name}: {} greedy tokens equal those of transformers", device.name(), count.min(want.len())));
    }
}

/// The model that ships, in q8_0, as a newcomer runs it.
fn shipped(device: &Arc<dyn Device>, count: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/rusty-11m/rusty-11m-q8_0.gguf");
    let request = || Request { max_tokens: count, ..Request::new((0..20).map(|i| 300 + 17 * i).collect()) };
    let cpu = Engine::load(Arc::new(ModelFile::open(&path).unwrap()), &options(), Progress::none());
    let (want, _) = generate(&mut cpu.unwrap(), request());
    let (got, _) = generate(&mut load(device, &path, &options()), request());
    assert_eq!(got, want, "{}", device.name());
    say(&format!("{}: rusty-11m: {count} greedy tokens equal those of the CPU", device.name()));
}

#[test]
fn whole_models_run_on_the_emulator() {
    if let Some(device) = opened("the emulator", Emulator::new(Mode::Fast(None))) {
        families(&device, 32);
        shipped(&device, 16);
    }
}

#[test]
fn whole_models_run_on_cuda() {
    if let Some(device) = opened("cuda", Cuda::new(&Default::default())) {
        families(&device, usize::MAX);
        shipped(&device, 64);
    }
}
