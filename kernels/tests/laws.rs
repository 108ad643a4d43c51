//! Laws that hold for every op and every variant, on any machine.

use std::collections::BTreeSet;

use metallic_kernels::OPS;
use metallic_kernels::contract::{self, Limits, Target, source};

/// A device that has everything, so that only the problem can be refused.
fn everything() -> Limits {
    let features = [
        "avx512f",
        "avx512bw",
        "avx512vl",
        "avx512dq",
        "avx512vnni",
        "avx512bf16",
        "f16c",
        "amx-tile",
        "amx-bf16",
        "sm_80",
        "sm_90",
    ];
    Limits {
        targets: vec![Target::Cpu, Target::Msl, Target::Cuda],
        features: features.to_vec(),
        max_threads: 1024,
        threadgroup_bytes: 32 << 10,
    }
}

#[test]
fn the_header_of_argument_structs_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/msl/params.h");
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        committed == contract::header(),
        "msl/params.h is not current: cargo run -p metallic-kernels --example params_header"
    );
}

#[test]
fn argument_structs_have_no_padding() {
    for op in OPS {
        let mut end = 0;
        for f in op.params.fields {
            assert_eq!(f.offset, end, "{}.{} has padding before it", op.params.name, f.name);
            end += 4;
        }
        assert_eq!(op.params.bytes, end, "{} has padding at its end", op.params.name);
        assert!(end <= 128, "{} is larger than an argument block", op.params.name);
    }
}

#[test]
fn every_gpu_variant_has_a_geometry_for_every_case_that_it_accepts() {
    let limits = everything();
    for op in OPS {
        let cases = (op.cases)();
        for variant in op.variants().unwrap() {
            if matches!(variant.target(), Target::Cpu | Target::Library) {
                assert!(
                    variant.grid.is_none() && variant.threads.is_none(),
                    "{} has a grid, but is no kernel of ours for GPUs",
                    variant.id()
                );
                continue;
            }
            let mut met = 0;
            for case in &cases {
                let layout = variant.supports.layout.unwrap_or(case.key.layout);
                let key = contract::Key { layout, ..case.key };
                if variant.supports(&key, &limits).is_ok() {
                    met += 1;
                    variant.geometry(&key).unwrap_or_else(|e| panic!("{} [{}]: {e}", op.name, case.name));
                }
            }
            assert!(met > 0, "{} {} accepts no case: nothing checks it", op.name, variant.id());
        }
    }
}

#[test]
fn names_are_unique_and_say_what_the_fields_say() {
    for op in OPS {
        let (mut seen, cases) = (BTreeSet::new(), (op.cases)());
        for v in op.variants().unwrap() {
            assert!(seen.insert(v.id()), "{} {} occurs twice", op.name, v.id());
            assert!(!v.note.is_empty(), "{} {} has no note", op.name, v.id());
            for token in v.name.split('_') {
                let number = |prefix: &str| token.strip_prefix(prefix).and_then(|n| n.parse::<i64>().ok());
                for (prefix, knob) in [("bm", "BM"), ("bn", "BN"), ("bk", "BK")] {
                    if let Some(n) = number(prefix) {
                        assert_eq!(v.knobs.get(knob), Some(&n), "{} {}: {knob} is not {n}", op.name, v.id());
                    }
                }
                if let Some(n) = number("tg") {
                    let threads = v.geometry(&cases[0].key).unwrap().threads;
                    assert_eq!(i64::from(threads.iter().product::<u32>()), n, "{} {}", op.name, v.id());
                }
            }
        }
    }
}

#[test]
fn every_source_is_listed_and_every_listed_source_exists() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for op in OPS {
        let variants = op.variants().unwrap();
        for v in &variants {
            if v.library().is_some() {
                continue;
            }
            let path = root.join(op.name).join(&v.source);
            assert!(path.exists(), "{} {} names {}", op.name, v.id(), path.display());
            if v.target() != Target::Cpu {
                let text = v.text().unwrap();
                assert!(source::read(&text.path).is_some());
            } else if cfg!(target_arch = "x86_64") {
                assert!((op.native)(&v.entry).is_some(), "{} {} has no entry {}", op.name, v.id(), v.entry);
            }
        }
        for file in std::fs::read_dir(root.join(op.name)).unwrap() {
            let file = file.unwrap().path();
            let gpu = file.extension().is_some_and(|e| e == "metal" || e == "cu");
            let name = file.file_name().unwrap().to_string_lossy();
            assert!(!gpu || variants.iter().any(|v| v.source == name), "no variant of {} uses {name}", op.name);
        }
    }
}

/// A library's variant names one that some device has, asks for it as a feature, and is met by a case.
#[test]
fn names_of_libraries_are_known_and_asked_for() {
    const KNOWN: [&str; 4] = ["cublas", "cublaslt", "gemm", "mps"];
    let all = everything();
    let features = KNOWN.iter().chain(&all.features).copied().collect();
    let limits = Limits { targets: vec![Target::Library], features, ..all };
    for op in OPS {
        let cases = (op.cases)();
        for v in op.variants().unwrap() {
            let Some(library) = v.library() else { continue };
            assert!(KNOWN.contains(&library), "{} {} names library {library:?}; known: {KNOWN:?}", op.name, v.id());
            let features = &v.supports.features;
            assert!(features.iter().any(|f| f == library), "{} {} does not ask for {library}", op.name, v.id());
            let met = cases.iter().any(|c| v.supports(&c.key, &limits).is_ok());
            assert!(met, "{} {} accepts no case: nothing checks it", op.name, v.id());
        }
    }
}

/// A refusal is data: whatever is asked, there is an answer, and some native variant takes every case.
#[test]
fn supports_is_total() {
    let (all, cpu) = (everything(), Limits { targets: vec![Target::Cpu], features: vec![], ..everything() });
    for op in OPS {
        let variants = op.variants().unwrap();
        for case in (op.cases)() {
            let verdicts = variants.iter().map(|v| v.supports(&case.key, &all));
            for why in verdicts.filter_map(Result::err) {
                assert!(!why.to_string().is_empty());
            }
            let native = variants.iter().any(|v| v.enabled && v.supports(&case.key, &cpu).is_ok());
            assert!(native, "no native variant of {} runs {} ({})", op.name, case.name, case.key);
        }
    }
}
