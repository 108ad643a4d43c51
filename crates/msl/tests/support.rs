//! The support library by itself: C++ programs that hold it against other arithmetic, and what NVRTC makes of it.

#[allow(dead_code, reason = "each test takes the compilers that it needs")]
mod compilers;

use std::path::{Path, PathBuf};
use std::process::Command;

use compilers::Nvrtc;
use metallic_msl::{Target, support::support};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support")
}

/// The source `name`, with the library in the place of its `//!support` line.
fn source(name: &str, target: Target) -> String {
    let text = std::fs::read_to_string(folder().join(name)).unwrap();
    let (before, after) = text.split_once("//!support\n").expect("a place for the library");
    let library: String = support(target).map(|(file, text)| format!("#line 1 \"{file}\"\n{text}\n")).collect();
    let line = before.lines().count() + 2;
    format!("{before}{library}#line {line} \"{name}\"\n{after}")
}

/// Compiles the test program `name` with `flags`, and runs it: it says itself what is wrong.
fn run_on_host(name: &str, flags: &[&str]) {
    if !cfg!(all(target_os = "linux", target_pointer_width = "64")) {
        eprintln!("refused: {name}: the lanes of these tests are ucontexts of 64-bit Linux");
        return;
    }
    let compiler = std::env::var("METALLIC_CLANG").unwrap_or_else(|_| "clang++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        eprintln!(
            "refused: {name}: no {compiler} on this machine; set METALLIC_CLANG to clang++ of version 14 or newer"
        );
        return;
    }
    let at = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("support_{name}{}", flags.concat()));
    std::fs::create_dir_all(&at).unwrap();
    let (text, program) = (at.join("test.cc"), at.join("test"));
    std::fs::write(&text, source(&format!("{name}.cc"), Target::Host)).unwrap();
    let compiled = Command::new(&compiler)
        .args(["-std=c++17", "-O1", "-ffp-contract=off", "-fno-strict-aliasing", "-fwrapv", "-fsigned-char"])
        .arg("-Wno-everything")
        .args(flags)
        .arg("-I")
        .arg(folder())
        .args([&text, &folder().join("harness.cc")])
        .args(["-lm", "-o"])
        .arg(&program)
        .output()
        .unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let ran = Command::new(&program).output().unwrap();
    assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn types_convert_and_round() {
    run_on_host("types", &[]);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn types_convert_and_round_with_the_conversions_of_the_processor() {
    if std::arch::is_x86_feature_detected!("f16c") {
        run_on_host("types", &["-mf16c"]);
    } else {
        eprintln!("refused: types with -mf16c: this processor has no F16C");
    }
}

#[test]
fn functions_match_double_precision_and_definitions() {
    run_on_host("math", &[]);
}

#[test]
fn lanes_meet() {
    run_on_host("simd", &[]);
}

fn nvrtc(test: &str) -> Option<Nvrtc> {
    let found = Nvrtc::load();
    if found.is_none() {
        eprintln!("refused: {test}: no libnvrtc on this machine; set METALLIC_NVRTC to it");
    }
    found
}

/// The body of the kernel `name` in `ptx`.
fn body<'a>(ptx: &'a str, name: &str) -> &'a str {
    let (_, rest) = ptx.split_once(&format!(".entry {name}(")).unwrap_or_else(|| panic!("no kernel {name}"));
    rest.split_once("\n}").expect("the end of a kernel").0
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[test]
fn everything_compiles_for_every_generation() {
    let Some(nvrtc) = nvrtc("everything_compiles_for_every_generation") else { return };
    for elements in ["", "#define MSL_USES_THREAD_ELEMENTS 1\n"] {
        let text = format!("{elements}{}", source("everything.cu", Target::Cuda));
        for architecture in ["sm_80", "sm_90a"] {
            let ptx = nvrtc.ptx(&text, architecture).unwrap_or_else(|e| panic!("{architecture}:\n{e}"));
            for kernel in ["geometry", "whole_numbers", "together", "memory", "matrices", "simdgroup_matrices"] {
                assert!(!body(&ptx, kernel).contains(".local"), "{architecture}: {kernel} uses local memory");
            }
        }
    }
}

#[test]
fn vectors_travel_whole() {
    let Some(nvrtc) = nvrtc("vectors_travel_whole") else { return };
    let ptx = nvrtc.ptx(&source("wide.cu", Target::Cuda), "sm_90a").unwrap_or_else(|e| panic!("{e}"));
    for kernel in
        ["copy_float4", "copy_uint4", "copy_half4", "copy_through_threadgroup", "halves_to_floats", "function_of_two"]
    {
        let body = body(&ptx, kernel);
        let whole = count(body, "ld.global.v4") + count(body, "ld.global.nc.v4");
        assert!(whole > 0 && whole == count(body, "ld.global"), "{kernel} loads by parts:\n{body}");
        assert_eq!(count(body, "st.global"), count(body, "st.global.v"), "{kernel} stores by parts:\n{body}");
    }
    let shared = body(&ptx, "copy_through_threadgroup");
    assert!(shared.contains("st.shared.v4") && shared.contains("ld.shared.v4"), "{shared}");
    let halves = body(&ptx, "half_arithmetic");
    assert!(halves.contains("mul.f16x2") && halves.contains("add.f16x2") && !halves.contains("cvt."), "{halves}");
    let brains = body(&ptx, "bfloat_arithmetic");
    assert!(brains.contains("mul.bf16x2") && !brains.contains("cvt."), "{brains}");
}

#[test]
fn lanes_work_together_by_instructions() {
    let Some(nvrtc) = nvrtc("lanes_work_together_by_instructions") else { return };
    let ptx = nvrtc.ptx(&source("wide.cu", Target::Cuda), "sm_90a").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(count(body(&ptx, "sum_of_floats"), "shfl.sync.bfly"), 5);
    let sum = body(&ptx, "sum_of_integers");
    assert!(sum.contains("redux.sync.add") && !sum.contains("shfl"), "{sum}");
    // A right-hand side loaded transposed is what the tensor core wants; one loaded as it is turns in registers.
    let transposed = body(&ptx, "product_transposed");
    assert!(transposed.contains("mma.sync.aligned.m16n8k") && !transposed.contains("movmatrix"), "{transposed}");
    let plain = body(&ptx, "product");
    assert!(plain.contains("mma.sync.aligned.m16n8k") && count(plain, "movmatrix") == 1, "{plain}");
    // Pairs of steps along k become one instruction; both operands come whole from threadgroup memory.
    let four = body(&ptx, "four_products");
    assert_eq!(count(four, "m16n8k16"), 2, "{four}");
    assert_eq!(count(four, "m16n8k8."), 0, "{four}");
    assert_eq!(count(four, "ld.shared.u32"), 8, "{four}");
    assert_eq!(count(four, "ld.shared"), 8, "{four}");
    let exact = body(&ptx, "product_of_floats");
    assert!(exact.contains("fma.rn.f32") && !exact.contains("mma"), "{exact}");
}
