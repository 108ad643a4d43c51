//! Conformance of one device: `conformance cpu|emulator|fast|cuda [op, op/family or op/family/name, ...]`.

use std::process::ExitCode;

use metallic_device::emulator::{Emulator, Mode};
use metallic_device::{Device, cpu, cuda};
use metallic_ops::conformance::{self, Filter};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match check(args.first().map_or("cpu", String::as_str), &args[1.min(args.len())..].join(",")) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("{failures} failures");
            ExitCode::FAILURE
        }
        Err(e) => {
            eprintln!("{e}");
            ExitCode::FAILURE
        }
    }
}

fn check(name: &str, filter: &str) -> Result<usize, Box<dyn std::error::Error>> {
    let device: Box<dyn Device> = match name {
        "cpu" => Box::new(cpu::Cpu::new(&Default::default())?),
        "cuda" => Box::new(cuda::Cuda::new(&cuda::Options { libraries: true, ..Default::default() })?),
        "emulator" => Box::new(Emulator::new(Mode::Checked)?),
        "fast" => Box::new(Emulator::new(Mode::Fast(None))?),
        _ => return Err(format!("no device is called {name:?}; devices: cpu, emulator, fast, cuda").into()),
    };
    println!("{}", device.describe());
    let lines = conformance::run(&*device, &Filter::parse(filter)?, &mut |line| {
        println!("{line}");
        line.failures.iter().for_each(|f| println!("  {f}"));
    });
    Ok(lines.iter().map(|l| l.failures.len()).sum())
}
