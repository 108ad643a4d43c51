//! `metallic lint`: what it prints, and what it ends with.

mod common;

use common::{Folder, metallic, output, text};
use serde_json::Value;

const BAD: &str = "#include \"types.h\"\nkernel void k(device float *y [[buffer(0)]], constant P &p [[buffer(0)]]) {\n\tdouble d = p.n * SCALE;\n    y[0] = d;\n}\n";

fn folder() -> Folder {
    let folder = Folder::new();
    std::fs::create_dir_all(folder.path("include")).unwrap();
    std::fs::write(folder.path("include/types.h"), "#pragma once\nstruct P {\n    uint n;\n    float4 v;\n};\n")
        .unwrap();
    std::fs::write(folder.path("bad.metal"), BAD).unwrap();
    folder
}

#[test]
fn findings_are_shown_with_their_lines_and_end_with_one() {
    let folder = folder();
    let (file, include) = (folder.path("bad.metal"), folder.path("include"));
    let (file, include) = (file.to_str().unwrap(), include.to_str().unwrap());
    let run = output(&["lint", file, "-I", include, "-D", "SCALE=2.0", "--no-clang"]);
    assert_eq!(run.status.code(), Some(1));
    let out = text(&run.stdout);
    let double = format!(
        "error[double]: double: Metal has no double-precision type\n --> {file}:3:2\n  |\n3 | \tdouble d = p.n * SCALE;\n  | \t^\n"
    );
    assert!(out.contains(&double), "{out}");
    assert!(out.contains("error[buffer-index]: buffer(0) is taken by y"), "{out}");
    assert!(text(&run.stderr).contains("2 findings in 1 sources"));

    let run = output(&["lint", file, "-I", include, "-DSCALE", "--no-clang", "--json"]);
    assert_eq!(run.status.code(), Some(1));
    let json: Value = serde_json::from_slice(&run.stdout).unwrap();
    let place = |i: usize| {
        let f = &json["findings"][i];
        (f["rule"].as_str(), f["severity"].as_str(), f["line"].as_u64(), f["file"].as_str() == Some(file))
    };
    assert_eq!(place(0), (Some("buffer-index"), Some("error"), Some(2), true));
    assert_eq!(place(1), (Some("double"), Some("error"), Some(3), true));
    assert_eq!(json["refused"].as_array().map(Vec::len), Some(0), "left out on purpose");
}

#[test]
fn without_clang_the_refusal_is_loud_and_the_other_rules_run() {
    let folder = folder();
    let (file, include) = (folder.path("bad.metal"), folder.path("include"));
    let args = ["lint", file.to_str().unwrap(), "-I", include.to_str().unwrap(), "--clang", "/nowhere/clang++"];
    let run = output(&args);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stdout).contains("error[double]"));
    let err = text(&run.stderr);
    assert!(err.contains("REFUSED") && err.contains("the rules that need clang did not run"), "{err}");
    assert!(err.contains("/nowhere/clang++"), "{err}");
}

#[test]
fn argument_structs_are_held_against_the_hosts() {
    let folder = folder();
    let source =
        "#include \"include/types.h\"\nkernel void k(constant P &p [[buffer(0)]], device float *y) { y[0] = p.v.x; }\n";
    std::fs::write(folder.path("good.metal"), source).unwrap();
    let layout = |bytes: usize| {
        let fields =
            r#"[{ "name": "n", "type": "uint", "offset": 0 }, { "name": "v", "type": "float4", "offset": 16 }]"#;
        std::fs::write(folder.path("p.json"), format!(r#"[{{ "name": "P", "bytes": {bytes}, "fields": {fields} }}]"#))
            .unwrap();
        let (file, params) = (folder.path("good.metal"), folder.path("p.json"));
        output(&["lint", file.to_str().unwrap(), "--params", params.to_str().unwrap(), "--no-clang"])
    };
    assert_eq!(layout(32).status.code(), Some(0));
    let bad = layout(20);
    assert_eq!(bad.status.code(), Some(1));
    assert!(
        text(&bad.stdout).contains("error[params]: P has 32 bytes here and 20 on the host"),
        "{}",
        text(&bad.stdout)
    );
}

#[test]
fn what_cannot_be_done_ends_with_two() {
    let run = output(&["lint", "/nowhere/none.metal"]);
    assert_eq!(run.status.code(), Some(2));
    assert!(text(&run.stderr).contains("cannot read /nowhere/none.metal"));
    assert_eq!(output(&["lint"]).status.code(), Some(2));
    let rules = output(&["lint", "--rules"]);
    assert_eq!(rules.status.code(), Some(0));
    assert!(text(&rules.stdout).contains("threadgroup-memory "));
}

/// With every set of knobs; the same as the library's own test, but through the program.
#[test]
fn the_programs_own_kernels_are_clean() {
    let run = metallic(&["lint", "--kernels", "--no-clang", "--json"]).output().unwrap();
    let json: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(run.status.code(), Some(0), "{json:#}");
    assert!(json["sources"].as_u64().is_some_and(|n| n > 0));
}
