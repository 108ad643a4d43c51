//! Whether translation is free: kernels in MSL against the same algorithms written by hand in CUDA C++, and against cuBLAS.
//!
//! usage: cargo run --release -p metallic-ops --example translation [matvec|softmax] [--every] [--rounds N] [--sweep]
//!
//! Every candidate is a CUDA graph of equal launches. Cold: operands rotate through more than 400 MB; hot: one set of operands.
//! Outputs are poisoned and checked against sums in f64 before anything is timed. `--every` takes every variant that accepts the
//! shape, not only the first. `--sweep` tries the knobs of the matvec against cuBLAS, listed in the manifest or not.

mod matvec;
mod measure;
mod softmax;
mod twin;

use std::process::ExitCode;

use metallic_device::Device;
use metallic_device::cuda::{Cuda, Options, Overlap};

/// An error of any kind: this program prints it and ends.
type Any = Box<dyn std::error::Error>;

/// Bytes to rotate through, several times a last-level cache.
const COLD: usize = 400 << 20;

/// What was asked for.
struct Asked {
    every: bool,
    sweep: bool,
    rounds: usize,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Any> {
    let mut asked = Asked { every: false, sweep: false, rounds: 41 };
    let mut only = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--every" => asked.every = true,
            "--sweep" => asked.sweep = true,
            "--rounds" => asked.rounds = args.next().ok_or("--rounds takes a number")?.parse()?,
            "matvec" | "softmax" => only = Some(arg),
            other => return Err(format!("{other:?} is none of matvec, softmax, --every, --rounds N, --sweep").into()),
        }
    }
    let cuda = Cuda::new(&Options { libraries: true, ..Options::default() })?;
    println!("{}; {} rounds; us a launch", cuda.describe(), asked.rounds);
    let wanted = |name: &str| only.as_deref().is_none_or(|o| o == name);
    if wanted("softmax") {
        softmax::run(&cuda, &asked)?;
    }
    if wanted("matvec") {
        matvec::run(&cuda, &asked)?;
    }
    Ok(())
}

/// Times candidates and prints a line for each: its median, and the first's ratio to it.
fn report(cuda: &Cuda, what: &str, candidates: &[measure::Candidate], bytes: usize, rounds: usize) -> Result<(), Any> {
    let times = measure::rounds(cuda.stream(), candidates, rounds)?;
    print!("  {what:16}");
    for (c, t) in candidates.iter().zip(&times) {
        let us = measure::median(t);
        print!(" {} {us:.2} ({:.0} GB/s)", c.name, bytes as f64 / us * 1e-3);
    }
    for (c, t) in candidates.iter().zip(&times).skip(1) {
        print!("; to {} {}", c.name, measure::ratio(&times[0], t));
    }
    println!();
    Ok(())
}

/// The ways in which a launch may follow another, where kernels allow it.
fn overlaps(allowed: Overlap) -> Vec<(Overlap, &'static str)> {
    let mut list = vec![(Overlap::Serial, "serial")];
    if allowed == Overlap::Programmatic {
        list.push((Overlap::Programmatic, "overlapped"));
    }
    list
}
