//! Kernels in the styles of public code: each file is read, reflected, lowered for both targets, and compiled.

mod compilers;

use std::path::Path;

use metallic_msl::{ArgKind, ConstantKey, Directories, LowerOptions, ParseOptions, Target, Unit, Value};

fn files() -> Vec<std::path::PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public_styles");
    let mut list: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    list.retain(|p| p.extension().is_some_and(|e| e == "metal"));
    list.sort();
    list
}

fn read(path: &Path) -> Unit {
    let text = std::fs::read_to_string(path).unwrap();
    let name = path.file_name().unwrap().to_string_lossy();
    let loader = Directories(vec![path.parent().unwrap().to_owned()]);
    let options = ParseOptions { loader: &loader, ..ParseOptions::default() };
    Unit::parse(&name, &text, &options).unwrap_or_else(|e| panic!("{e}"))
}

/// A value for every function constant.
fn constants(unit: &Unit) -> Vec<(ConstantKey, Value)> {
    let value = |ty: &str| match ty {
        "bool" => Value::Bool(true),
        "float" | "half" => Value::Float(0.5),
        "uint" | "ushort" => Value::Uint(32),
        _ => Value::Int(32),
    };
    unit.function_constants().iter().map(|c| (ConstantKey::Index(c.index), value(&c.type_text))).collect()
}

/// Entries to compile: a spread of those that can be lowered, at most `most`.
fn chosen(unit: &Unit, most: usize) -> Vec<String> {
    let runs = |e: &&metallic_msl::Entry| !e.args.iter().any(|a| matches!(a.kind, ArgKind::Unsupported { .. }));
    let all: Vec<String> = unit.entries().iter().filter(runs).map(|e| e.name.clone()).collect();
    let step = all.len().div_ceil(most).max(1);
    all.into_iter().step_by(step).collect()
}

fn compile_all(target: Target, most: usize, compile: impl Fn(&str) -> Result<(), String>) {
    let mut failures = String::new();
    let only = std::env::var("METALLIC_TEST_FILE").unwrap_or_default();
    for path in files().iter().filter(|p| p.to_string_lossy().contains(&only)) {
        let unit = read(path);
        let constants = constants(&unit);
        assert!(!unit.entries().is_empty(), "{} has no entries", path.display());
        for entry in chosen(&unit, most) {
            let options = LowerOptions { entry: &entry, constants: &constants, ..LowerOptions::default() };
            match unit.lower(target, &options) {
                Err(e) => failures.push_str(&format!("{}, {entry}: {e}\n", path.display())),
                Ok(lowered) => {
                    if let Err(messages) = compile(&lowered.text) {
                        let messages: String = messages.lines().take(12).map(|l| format!("    {l}\n")).collect();
                        failures.push_str(&format!("{}, {entry}:\n{messages}", path.display()));
                    }
                }
            }
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_kernel_compiles_for_the_host() {
    if compilers::host("").is_none() {
        eprintln!("REFUSED: lowered host text is not compiled: no clang++ here (METALLIC_CLANG names another)");
        return;
    }
    compile_all(Target::Host, 6, |text| compilers::host(text).unwrap_or(Ok(())));
}

#[test]
fn every_kernel_compiles_for_cuda() {
    let Some(nvrtc) = compilers::Nvrtc::load() else {
        eprintln!("REFUSED: lowered CUDA text is not compiled: no libnvrtc here (METALLIC_NVRTC names the file)");
        return;
    };
    compile_all(Target::Cuda, 4, |text| nvrtc.compile(text));
}
