//! Conformance on every device that this machine has. `METALLIC_DEVICES=cuda,emulator` runs only those named,
//! `METALLIC_CONFORMANCE=matmul/ksplit,softmax` only those variants. What is not there is reported as refused, with the reason.

use std::env;
use std::io::Write;
use std::sync::Arc;

use metallic_device::Device;
use metallic_device::cpu::{Cpu, Options, Pinning};
use metallic_device::cuda::{self, Cuda};
use metallic_device::emulator::{Emulator, Mode};
use metallic_kernels::OPS;
use metallic_ops::conformance::{self, Filter};

const DEVICES: [&str; 3] = ["cpu", "emulator", "cuda"];

/// Past the test harness, which keeps the output of tests that pass.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn wanted(device: &str) -> bool {
    let Ok(list) = env::var("METALLIC_DEVICES") else { return true };
    let names: Vec<&str> = list.split(',').map(str::trim).collect();
    for name in &names {
        assert!(DEVICES.contains(name), "METALLIC_DEVICES names {name:?}; devices: {DEVICES:?}");
    }
    names.contains(&device)
}

fn conforms(device: &dyn Device) {
    let filter = Filter::parse(&env::var("METALLIC_CONFORMANCE").unwrap_or_default()).unwrap();
    say(&format!("{}: {}", device.name(), device.describe()));
    let lines = conformance::run(device, &filter, &mut |line| say(&format!("{} {line}", device.name())));
    let failures: Vec<_> = lines.iter().flat_map(|l| &l.failures).collect();
    let shown: Vec<_> = failures.iter().take(40).map(|f| f.as_str()).collect();
    assert!(failures.is_empty(), "{}: {} failures:\n{}", device.name(), failures.len(), shown.join("\n"));
}

fn cpu(threads: usize) -> Cpu {
    Cpu::new(&Options { threads: Some(threads), pinning: Pinning::Free, without: vec![] }).unwrap()
}

#[test]
fn cpu_variants_meet_every_case() {
    if wanted("cpu") {
        conforms(&cpu(1));
    }
}

#[test]
fn cpu_results_do_not_depend_on_the_workers() {
    if !wanted("cpu") {
        return;
    }
    let (one, three) = (cpu(1), cpu(3));
    for &op in OPS {
        let cases = (op.cases)();
        for variant in op.variants().unwrap().into_iter().map(Arc::new) {
            let arranged = cases.iter().filter_map(|c| conformance::arrange(c, &variant));
            for case in arranged.filter(|c| variant.supports(&c.key, one.limits()).is_ok()) {
                let run = |device| conformance::outputs(device, op, &variant, &case).unwrap();
                assert!(run(&one) == run(&three), "{} {} [{}]", op.name, variant.id(), case.name);
            }
        }
    }
}

#[test]
fn emulated_variants_meet_every_case() {
    if !wanted("emulator") {
        return;
    }
    // Checked first: a kernel that breaks the rules is told of in words. Fast runs must give the same.
    for mode in [Mode::Checked, Mode::Fast(None)] {
        match Emulator::new(mode) {
            Ok(device) => conforms(&device),
            Err(e) => return say(&format!("REFUSED conformance on the emulator: {e}")),
        }
    }
}

#[test]
fn cuda_variants_meet_every_case() {
    if !wanted("cuda") {
        return;
    }
    match Cuda::new(&cuda::Options { libraries: true, ..Default::default() }) {
        Ok(device) => conforms(&device),
        Err(e) => say(&format!("REFUSED conformance on cuda: {e}")),
    }
}
