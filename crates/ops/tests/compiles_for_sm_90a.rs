//! Every variant in MSL or CUDA C++ of every op becomes machine code for the H100 and H200, on a machine without a GPU, and so do
//! the hand-written twins of the translation example.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use metallic_device::cache::{Cache, Key};
use metallic_device::cuda::{Compiler, Error, Nvrtc, Program, Source, assemble};
use metallic_kernels::OPS;
use metallic_kernels::contract::{Target, Variant};

const CAPABILITY: (i32, i32) = (9, 0);
const ARCH: &str = "sm_90a";

/// The compiler, or a loud word that nothing was checked. Programs are compiled anew unless `METALLIC_CACHE_DIR` says where to keep
/// them: a machine with a GPU and the same compiler takes them from there.
fn compiler() -> Option<Compiler> {
    let loud =
        |why: &_| eprintln!("REFUSED, nothing was compiled for {ARCH}: {why}; tools/install_nvrtc.sh installs it");
    let cache = std::env::var_os("METALLIC_CACHE_DIR").and_then(|_| Cache::user("cubin"));
    Some(Compiler::with(Nvrtc::load().inspect_err(loud).ok()?, cache))
}

#[test]
fn every_gpu_variant() {
    let Some(compiler) = compiler() else { return };
    let (mut failures, mut programs) = (Vec::new(), HashMap::<Key, (String, Program)>::new());
    for op in OPS {
        for variant in op.variants().unwrap().iter().filter(|v| matches!(v.target(), Target::Msl | Target::Cuda)) {
            let name = format!("{} {}", op.name, variant.id());
            match Program::of(op, variant, CAPABILITY) {
                Ok(program) => {
                    programs.insert(compiler.key(&program.source(ARCH)), (name, program));
                }
                Err(why) => failures.push(format!("{name}: {why}")),
            }
        }
    }
    let programs: Vec<_> = programs.into_values().collect();
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(failures);
    let compile = || {
        while let Some((name, program)) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(why) = compiler.build(&program.source(ARCH)) {
                let log = if let Error::Program { log, .. } = &why { log.as_str() } else { "" };
                failures.lock().unwrap().push(format!("{name}: {why}\n{log}"));
            }
        }
    };
    std::thread::scope(|s| {
        s.spawn(compile);
        compile();
    });
    let failures = failures.into_inner().unwrap();
    println!("{} programs", programs.len());
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_twin() {
    let Some(compiler) = compiler() else { return };
    let twins = [
        ("matvec.cu", include_str!("../examples/cuda/matvec.cu"), "matvec", "matvec.metal", &[][..]),
        ("softmax.cu", include_str!("../examples/cuda/softmax.cu"), "softmax_vec", "softmax.metal", &["PER=32"]),
        ("softmax.cu", include_str!("../examples/cuda/softmax.cu"), "softmax_block", "softmax.metal", &[]),
    ];
    for (file, text, entry, of, macros) in twins {
        let text = assemble(file, text).unwrap();
        let variants = OPS.iter().flat_map(|op| op.variants().unwrap());
        let of: Vec<Variant> = variants.filter(|v| v.source == of).collect();
        assert!(!of.is_empty(), "{file} is the twin of no variant");
        for variant in of {
            let knobs = variant.knobs.iter().map(|(name, value)| format!("{name}={value}"));
            let macros = ["READY=", "T=__half"].into_iter().chain(macros.iter().copied()).map(str::to_owned);
            let options: Vec<String> = knobs.chain(macros).map(|m| format!("--define-macro={m}")).collect();
            let source = Source { file, entry, symbol: entry, text: &text, options: &options, arch: ARCH };
            if let Err(why) = compiler.build(&source) {
                panic!("{why} {why:?}");
            }
        }
    }
}
