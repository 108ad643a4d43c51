//! Every Metal kernel of this repository, with every set of knobs, against every rule.

use std::collections::BTreeSet;
use std::path::Path;

use metallic_kernels::contract::{Target, source};
use metallic_msl::lint::{FieldLayout, LintOptions, StructLayout, lint};
use metallic_msl::{Directories, IncludeForm, Included, ParseOptions};

fn clang() -> String {
    std::env::var("METALLIC_CLANG").unwrap_or_else(|_| "clang++".into())
}

/// The argument structs as Rust lays them out.
fn structs() -> Vec<StructLayout> {
    let ops = metallic_kernels::OPS.iter().filter(|op| !op.params.name.is_empty());
    let layout = ops.map(|op| StructLayout {
        name: op.params.name.to_owned(),
        bytes: op.params.bytes,
        fields: op
            .params
            .fields
            .iter()
            .map(|f| FieldLayout { name: f.name.into(), msl: f.msl.into(), offset: f.offset })
            .collect(),
    });
    layout.collect()
}

#[test]
fn our_kernels_lint_clean() {
    let load = |name: &str, _: IncludeForm, from: &str| {
        source::include(from, name).map(|(name, text)| Included { name, text: text.into_owned() })
    };
    let structs = structs();
    let (mut done, mut faults, mut refused) = (BTreeSet::new(), String::new(), BTreeSet::new());
    for op in metallic_kernels::OPS {
        for variant in op.variants().unwrap().iter().filter(|v| v.target() == Target::Msl) {
            let text = variant.text().unwrap();
            if !done.insert((text.path.clone(), text.macros.clone())) {
                continue;
            }
            let defines: Vec<_> = text.macros.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let parse = ParseOptions { defines: &defines, loader: &load, ..ParseOptions::default() };
            let clang = clang();
            let options = LintOptions { parse, clang: Some(Path::new(&clang)), structs: &structs };
            let report = lint(&text.path, &text.text, &options);
            refused.extend(report.refused);
            for finding in report.findings {
                faults += &format!("{} [{}] {}\n", variant.id(), finding.rule, finding.diagnostic);
            }
        }
    }
    for why in refused {
        eprintln!("REFUSED: the rules that need clang did not run: {why}");
    }
    assert!(!done.is_empty());
    assert!(faults.is_empty(), "{faults}");
}

/// Kernels in the styles of public code, which compile: whatever is found in them would be a false alarm.
#[test]
fn kernels_in_public_styles_lint_clean() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public_styles");
    let clang = clang();
    let mut faults = String::new();
    for path in std::fs::read_dir(&folder).unwrap().map(|f| f.unwrap().path()) {
        if path.extension().is_some_and(|e| e == "metal") {
            let text = std::fs::read_to_string(&path).unwrap();
            let loader = Directories(vec![folder.clone()]);
            let parse = ParseOptions { loader: &loader, ..ParseOptions::default() };
            let options = LintOptions { parse, clang: Some(Path::new(&clang)), structs: &[] };
            let name = path.file_name().unwrap().to_string_lossy();
            let report = lint(&name, &text, &options);
            if let Some(why) = report.refused {
                eprintln!("REFUSED: {name}: the rules that need clang did not run: {why}");
            }
            for finding in report.findings {
                faults += &format!("[{}] {}\n", finding.rule, finding.diagnostic);
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
}
