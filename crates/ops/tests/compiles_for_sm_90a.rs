//! Every variant in MSL or CUDA C++ of every op becomes machine code for the H100 and H200, on a machine without a GPU, and so do
//! the hand-written twins of the translation example.

use std::collections::HashSet;

use metallic_device::cache::Key;
use metallic_device::cuda::{Compiler, Nvrtc, Program, Source, assemble};
use metallic_kernels::OPS;
use metallic_kernels::contract::{Target, Variant};

const CAPABILITY: (i32, i32) = (9, 0);
const ARCH: &str = "sm_90a";

/// The compiler, or a loud word that nothing was checked.
fn compiler() -> Option<Compiler> {
    let loud =
        |why: &_| eprintln!("REFUSED, nothing was compiled for {ARCH}: {why}; tools/install_nvrtc.sh installs it");
    Some(Compiler::with(Nvrtc::load().inspect_err(loud).ok()?, None))
}

#[test]
fn every_gpu_variant() {
    let Some(compiler) = compiler() else { return };
    let (mut failures, mut done, mut seen) = (Vec::new(), 0, HashSet::<Key>::new());
    for op in OPS {
        for variant in op.variants().unwrap().iter().filter(|v| v.target() != Target::Cpu) {
            let build = || {
                let program = Program::of(op, variant, CAPABILITY)?;
                let source = program.source(ARCH);
                if seen.insert(compiler.key(&source)) { compiler.build(&source).map(|_| ()) } else { Ok(()) }
            };
            done += 1;
            if let Err::<(), metallic_device::cuda::Error>(why) = { build }() {
                let log = match &why {
                    metallic_device::cuda::Error::Program { log, .. } => log.as_str(),
                    _ => "",
                };
                failures.push(format!("{} {}: {why}\n{log}", op.name, variant.id()));
            }
        }
    }
    println!("{done} variants, {} programs", seen.len());
    assert!(failures.is_empty(), "{} of {done} variants:\n{}", failures.len(), failures.join("\n"));
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
            let macros = ["BEGIN=", "T=__half"].into_iter().chain(macros.iter().copied()).map(str::to_owned);
            let options: Vec<String> = knobs.chain(macros).map(|m| format!("--define-macro={m}")).collect();
            let source = Source { file, entry, symbol: entry, text: &text, options: &options, arch: ARCH };
            if let Err(why) = compiler.build(&source) {
                panic!("{why} {why:?}");
            }
        }
    }
}
