//! Commands on model files: synth, inspect, quantize, tokenize, and what they say of bad files.

mod common;

use common::{Folder, fails, ok, output, text, with_input};
use serde_json::Value;
use std::path::Path;

fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(args)).unwrap()
}

#[test]
fn every_command_has_help_with_what_it_needs() {
    let top = ok(&["--help"]);
    for command in [
        "run",
        "chat",
        "bench",
        "probe",
        "inspect",
        "tokenize",
        "quantize",
        "convert",
        "synth",
        "logits",
        "emulate",
        "lint",
        "report",
        "devices",
        "completions",
        "man",
    ] {
        assert!(top.contains(&format!("  {command} ")), "{command} is not in the help");
        let help = ok(&[command, "--help"]);
        assert!(help.contains("Usage: metallic"), "{command}");
    }
    for known in ["Exit codes", "METALLIC_MODEL", "metallic model.gguf"] {
        assert!(top.contains(known), "{known}");
    }
    assert!(ok(&["run", "--help"]).contains("--temperature"));
}

#[test]
fn completions_and_man_pages_are_written() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = ok(&["completions", shell]);
        assert!(script.contains("metallic") && script.contains("tokenize"), "{shell}");
    }
    assert!(ok(&["man"]).contains(".TH metallic 1"));
    let page = ok(&["man", "bench"]);
    assert!(page.contains("n\\-prompt") && page.contains("\n.SH NOTES\n.nf\n"), "{page}");
    let err = fails(&["man", "nothing"], 1);
    assert!(err.contains("synth"), "{err}");
}

#[test]
fn wrong_usage_is_code_2() {
    for args in [
        &["run", "--no-such-flag"][..],
        &["completions", "sh"],
        &["quantize", "a", "b", "q9_9"],
        &["synth"],
        &["run", "--stop", ""],
    ] {
        fails(args, 2);
    }
    let err = fails(&["quantize", "a", "b", "q9_9"], 2);
    assert!(err.contains("q8_0") && err.contains("q4_k"), "{err}");
}

#[test]
fn a_missing_model_is_one_error_with_a_hint() {
    let err = fails(&["inspect", "/no/such/model.gguf"], 1);
    assert_eq!(err.matches("/no/such/model.gguf: ").count(), 1, "{err}");
    assert!(err.contains("help:") && err.contains("synth"), "{err}");
    // A misspelt command is read as a model, with a prompt or without.
    for args in [&["inspekt"][..], &["inspekt", "model.gguf"]] {
        let err = fails(args, 1);
        assert!(err.contains("inspekt: ") && err.contains("--help"), "{err}");
    }
}

#[test]
fn cut_and_foreign_files_are_refused_by_name() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    let whole = std::fs::read(&model).unwrap();
    let bad = folder.path("bad.gguf");
    let bad_name = bad.to_str().unwrap();
    for (bytes, expected) in [
        (&whole[..whole.len() / 2], "bytes"),
        (&whole[..100], "room for"),
        (b"", "bytes"),
        (b"PK\x03\x04 this is some other file, long enough to have a header", "GGUF"),
    ] {
        std::fs::write(&bad, bytes).unwrap();
        for command in ["inspect", "tokenize", "run"] {
            let err = fails(&[command, bad_name, "x"][..if command == "inspect" { 2 } else { 3 }], 1);
            assert!(err.contains(expected) && err.contains("bad.gguf"), "{command}: {err}");
        }
    }
    // A tensor count of 2^63 in an otherwise sound file.
    let mut hostile = whole.clone();
    hostile[8..16].copy_from_slice(&(1u64 << 63).to_le_bytes());
    std::fs::write(&bad, hostile).unwrap();
    fails(&["inspect", bad_name], 1);
}

#[test]
fn synth_gives_the_same_bytes_and_inspect_reads_them() {
    let folder = Folder::new();
    let one = folder.model("tiny-llama", "f16");
    let bytes = std::fs::read(&one).unwrap();
    let again = folder.path("again.gguf");
    ok(&["synth", "tiny-llama", again.to_str().unwrap(), "--dtype", "f16"]);
    assert_eq!(std::fs::read(&again).unwrap(), bytes);
    ok(&["synth", "tiny-llama", again.to_str().unwrap(), "--dtype", "f16", "--seed", "7"]);
    assert_ne!(std::fs::read(&again).unwrap(), bytes);

    let report = json(&["inspect", &one, "--json", "--explain"]);
    assert_eq!(report["format"], "gguf");
    assert_eq!(report["bytes"], bytes.len());
    let tensors = report["tensors"].as_array().unwrap();
    assert!(
        tensors.iter().any(|t| t["name"] == "blk.1.ffn_down.weight" && t["shape"] == serde_json::json!([256, 512]))
    );
    for choice in report["runs_on"].as_array().unwrap() {
        // What only one kind of step has is chosen for that one alone.
        let named = |step: &str| choice[step].as_str().filter(|v| v.contains('/'));
        let variant = named("decode").or(named("prefill")).expect("a variant for one kind of step at least");
        let verdicts = choice["verdicts"].as_array().unwrap();
        assert!(verdicts.iter().any(|v| v["variant"] == variant && v["verdict"] == "accepts"), "{choice}");
    }
    let table = ok(&["inspect", &one]);
    assert!(table.contains("blk.0.attn_q.weight") && table.contains("Runs on"), "{table}");
}

#[test]
fn a_forced_variant_shows_in_inspect_and_a_misspelt_one_is_refused() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    let report = json(&["inspect", &model, "--json", "--force", "matmul=cpu/plain"]);
    let matmuls: Vec<_> =
        report["runs_on"].as_array().unwrap().iter().filter(|c| c["op"] == "matmul").map(|c| &c["prefill"]).collect();
    assert!(!matmuls.is_empty() && matmuls.iter().all(|v| **v == "cpu/plain"), "{matmuls:?}");
    for bad in ["matmul=cpu/plian", "matmull=cpu/plain", "matmul"] {
        let err = fails(&["inspect", &model, "--force", bad], 1);
        assert!(err.contains(bad), "{err}");
    }
    let err = fails(&["devices", "--without", "avx9000"], 1);
    assert!(err.contains("avx9000") && err.contains("avx512f"), "{err}");
}

#[test]
fn quantize_there_and_back() {
    let folder = Folder::new();
    let f32 = folder.model("tiny-qwen3", "f32");
    let path = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    for dtype in ["f16", "q8_0", "q4_0", "q4_k"] {
        let smaller = path(dtype);
        let said = json(&["quantize", &f32, &smaller, dtype, "--json"]);
        assert_eq!(said["bytes"], std::fs::metadata(&smaller).unwrap().len());
        let totals = json(&["inspect", &smaller, "--json"])["totals"].clone();
        assert!(totals.as_array().unwrap().iter().any(|t| t["dtype"] == dtype), "{totals}");
        let back = path("back");
        ok(&["quantize", &smaller, &back, "f16"]);
        assert!(std::fs::metadata(&back).unwrap().len() >= std::fs::metadata(&smaller).unwrap().len());
    }
    let err = fails(&["quantize", &f32, &f32, "q8_0"], 1);
    assert!(err.contains("itself"), "{err}");
    assert!(folder.files().iter().all(|f| !f.contains(".part")), "{:?}", folder.files());
}

#[test]
fn tokenize_prints_ids_alone_and_decodes_them_back() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    let said = "Hello, wörld\n\n  42";
    let out = with_input(&["tokenize", &model, "--ids"], said.as_bytes());
    let line = text(&out.stdout);
    let ids = line.strip_suffix('\n').unwrap();
    assert!(!ids.is_empty() && ids.chars().all(|c| c.is_ascii_digit() || c == ' '), "{line:?}");
    assert_eq!(ok(&["tokenize", &model, "--decode", &ids.replace(' ', ",")]), format!("{said}\n"));
    let listed: Value = serde_json::from_str(&ok(&["tokenize", &model, said, "--json"])).unwrap();
    assert_eq!(listed["count"], ids.split(' ').count());
    assert_eq!(text(&with_input(&["tokenize", &model, "--ids"], b"").stdout), "\n");
    let out = with_input(&["tokenize", &model, "--ids"], b"\xff\xfe");
    assert_eq!(out.status.code(), Some(1));
}

/// The cases published with llama.cpp's vocabulary of Qwen2, one call of the program each.
#[test]
fn tokenize_agrees_with_published_ids() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vocab");
    let model = dir.join("ggml-vocab-qwen2.gguf");
    let read = |suffix| std::fs::read_to_string(format!("{}.{suffix}", model.display()));
    let (Ok(input), Ok(expected)) = (read("inp"), read("out")) else {
        eprintln!("NOT TESTED: {} is absent", model.display());
        return;
    };
    let texts = input.split("\n__ggml_vocab_test__\n").zip(expected.lines());
    for (said, ids) in texts {
        let out = with_input(&["tokenize", model.to_str().unwrap(), "--ids"], said.as_bytes());
        assert_eq!(text(&out.stdout).trim_end_matches('\n'), ids.trim(), "{said:?}");
    }
}

#[test]
fn devices_names_every_device_or_why_it_is_not_there() {
    let report = json(&["devices", "--json", "--threads", "1", "--without", "avx"]);
    let (found, refused) = (report["devices"].as_array().unwrap(), report["refused"].as_array().unwrap());
    let mut names: Vec<&str> = found.iter().chain(refused).map(|d| d["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["cpu", "cuda", "emulator", "metal"]);
    assert_eq!((&found[0]["name"], &found[0]["threads"]), (&Value::from("cpu"), &Value::from(1)));
    let features = found[0]["features"].as_array().unwrap();
    assert!(features.iter().all(|f| !f.as_str().unwrap().starts_with("avx")), "{features:?}");
    // What a CPU lacks are features of CPUs.
    let lacking = found[0]["lacking"].as_object().unwrap();
    assert!(lacking.contains_key("avx512f") && !lacking.contains_key("sm_80"), "{lacking:?}");
    assert!(!lacking.contains_key("cublas"), "{lacking:?}");
    for device in found {
        assert!(device["commands"].as_array().unwrap().contains(&"probe".into()), "{device}");
        let models = device["commands"].as_array().unwrap().contains(&"run".into());
        assert_eq!(models, device["name"] == "cpu", "{device}");
    }
    assert!(
        refused.iter().all(|r| !r["reason"].as_str().unwrap().contains("build") || r["name"] == "metal"),
        "{refused:?}"
    );
    let text = ok(&["devices"]);
    assert!(text.contains("\n  runs the kernels of run, chat, bench, logits, probe\n"), "{text}");
    fails(&["devices", "--threads", "0"], 1);
}

#[test]
fn a_device_that_does_not_open_tells_its_own_reason() {
    let out = common::metallic(&["devices"]).env("METALLIC_CLANG", "/nonexistent/clang").output().unwrap();
    let said = text(&out.stdout);
    assert!(out.status.success() && said.contains("emulator: not available: METALLIC_CLANG is"), "{said}");
}

#[test]
fn a_reader_that_leaves_early_is_no_error() {
    use std::io::Read;
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    for args in [&["inspect", &model][..], &["inspect", &model, "--json"], &["man"], &["synth", "--list"]] {
        let mut child = common::metallic(args).spawn().unwrap();
        drop(child.stdout.take());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        assert!(child.wait().unwrap().success(), "{args:?}: {err}");
        assert_eq!(err, "", "{args:?}");
    }
    assert!(output(&["synth", "--list"]).status.success());
}
