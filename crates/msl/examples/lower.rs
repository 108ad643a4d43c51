//! Prints what a Metal file holds, or one of its kernels as C++: `lower FILE [ENTRY host|cuda]`.

use std::process::ExitCode;

use metallic_msl::{Directories, LowerOptions, ParseOptions, Target, Unit};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let Some(file) = args.first() else {
        eprintln!("usage: lower FILE [ENTRY host|cuda]");
        return ExitCode::from(2);
    };
    match run(file, &args[1..]) {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

fn run(file: &str, rest: &[String]) -> Result<String, String> {
    let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
    let loader = Directories::default();
    let options = ParseOptions { loader: &loader, ..ParseOptions::default() };
    let unit = Unit::parse(file, &text, &options).map_err(|e| e.to_string())?;
    let Some(entry) = rest.first() else {
        return Ok(unit.entries().iter().map(|e| format!("{e:#?}\n")).collect());
    };
    let target = if rest.get(1).is_some_and(|t| t == "cuda") { Target::Cuda } else { Target::Host };
    let options = LowerOptions { entry, ..LowerOptions::default() };
    unit.lower(target, &options).map(|l| l.text).map_err(|e| e.to_string())
}
