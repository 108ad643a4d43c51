//! `probe`: what it measures, what it writes, and what it refuses.

mod common;

use common::{fails, metallic, ok, text};
use serde_json::Value;

/// A product so small that a development build measures it at once.
const SMALL: [&str; 10] = ["probe", "--device", "cpu", "--op", "matmul", "--n", "64", "--k", "128", "--tb"];

fn report(more: &[&str]) -> Value {
    serde_json::from_str(&ok(&[&SMALL[..], more, &["--no-roofline", "--json", "-"]].concat())).unwrap()
}

fn entry<'a>(problem: &'a Value, variant: &str) -> &'a Value {
    let entries = problem["entries"].as_array().unwrap();
    entries.iter().find(|e| e["variant"] == variant).unwrap_or_else(|| panic!("no {variant}"))
}

#[test]
fn every_variant_is_measured_or_says_why_not() {
    let report = report(&["--m", "1,3", "--rounds", "3"]);
    let problems = report["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 2);
    assert_eq!(problems[1]["title"], "3x64x128 NT f16/f32");
    for problem in problems {
        let plain = &entry(problem, "cpu/plain")["outcome"];
        assert_eq!(plain["outcome"], "measured");
        assert!(plain["cold"]["median_us"].as_f64().unwrap() > 0.0);
        assert_eq!(plain["check"]["compared"], plain["check"]["elements"]);
        let disabled = &entry(problem, "cpu/amx_bf16_x2")["outcome"];
        assert_eq!(disabled["outcome"], "gap");
        assert!(!disabled["reason"].as_str().unwrap().is_empty());
    }
    let command = report["header"]["command"].as_str().unwrap();
    assert!(command.starts_with("metallic probe --device cpu") && command.contains("--m 1,3"), "{command}");
}

#[test]
fn patterns_pick_variants_and_checks_have_no_times() {
    let report = report(&["--check", "--variants", "cpu/p*", "--bias", "--activation", "gelu"]);
    let entries = report["problems"][0]["entries"].as_array().unwrap();
    let names: Vec<&str> = entries.iter().map(|e| e["variant"].as_str().unwrap()).collect();
    assert_eq!(names, ["cpu/portable", "cpu/plain"]);
    assert_eq!(entries[1]["outcome"]["outcome"], "checked");
    assert_eq!(entries[0]["outcome"]["reason"], "does not support an activation function");
}

#[test]
fn the_environment_is_read_and_misspelt_values_are_errors() {
    let run = |name: &str, value: &str| metallic(&SMALL).env(name, value).output().unwrap();
    let listed = run("METAL_RUN", "0");
    let out = text(&listed.stdout);
    assert!(
        listed.status.success() && out.contains("1x64x128 NT f16/f32") && out.contains("matmul/cpu/plain"),
        "{out}"
    );
    assert!(!out.contains("cold us"));
    for (name, value, says) in [
        ("MATMUL_BACKENDS", "cpuu", "families are"),
        ("MATMUL_BENCH_ITERS", "many", "number of rounds"),
        ("METAL_RUN", "maybe", "1, true, 0, false"),
    ] {
        let wrong = run(name, value);
        assert_eq!(wrong.status.code(), Some(2));
        assert!(text(&wrong.stderr).contains(says), "{}", text(&wrong.stderr));
    }
}

#[test]
fn a_folder_of_kernels_that_is_not_there_is_an_error() {
    let wrong = metallic(&SMALL).env("METALLIC_KERNELS", "no/such/folder").output().unwrap();
    let told = text(&wrong.stderr);
    assert!(!wrong.status.success() && told.contains("METALLIC_KERNELS names no/such/folder"), "{told}");
}

#[test]
fn what_cannot_be_meant_is_an_error_that_helps() {
    assert!(fails(&["probe", "qwen", "--device", "cpu"], 2).contains("qwen2.5-0.5b"));
    assert!(fails(&["probe", "--device", "cpu"], 2).contains("name a spec"));
    assert!(fails(&[&SMALL[..], &["--variants", "ksplitt"]].concat(), 2).contains("matmul/ksplit"));
    assert!(fails(&["probe", "--device", "metal", "small-n"], 1).contains("metal is not available"));
}

#[test]
fn flags_that_would_do_nothing_are_wrong_usage() {
    let small = |more: &[&str]| fails(&[&SMALL[..], more].concat(), 2);
    assert!(fails(&["probe", "small-n", "--device", "cpu", "--tb"], 2).contains("--op"));
    assert!(fails(&["probe", "--device", "cpu", "--op", "softmax", "--k", "8", "--bias"], 2).contains("has no --bias"));
    assert!(small(&["--causal"]).contains("has no --causal"));
    assert!(small(&["--m", "-4"]).contains("no size"));
    assert!(small(&["--m", "0"]).contains("no size"));
    assert!(small(&["--variants", "softmax/*"]).contains("takes no variant"));
    assert!(small(&["--check", "--tuned", "x.json"]).contains("--tuned"));
    assert!(small(&["--json", "-", "--csv", "-"]).contains("--json and --csv"));
    let out = metallic(&[&SMALL[..], &["--variants", "gemv"]].concat()).env("MATMUL_BACKENDS", "mlx").output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("no variant of matmul takes part"), "{}", text(&out.stderr));
}

#[test]
fn kernels_are_read_from_a_folder_that_is_named_or_not_at_all() {
    let folder = common::Folder::new();
    let run = |kernels: &std::path::Path| {
        metallic(&[&SMALL[..], &["--list"]].concat()).env("METALLIC_KERNELS", kernels).output().unwrap()
    };
    let out = run(&folder.path("missing"));
    assert_eq!(out.status.code(), Some(2));
    assert!(text(&out.stderr).contains("METALLIC_KERNELS names"), "{}", text(&out.stderr));
    let op = folder.path("kernels/matmul");
    std::fs::create_dir_all(&op).unwrap();
    let source = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels/matmul/variants.json");
    let manifest = std::fs::read_to_string(source).unwrap().replace("\"gemv\"", "\"renamed\"");
    std::fs::write(op.join("variants.json"), manifest).unwrap();
    let listed = text(&run(&folder.path("kernels")).stdout);
    assert!(listed.contains("matmul/renamed/baseline") && !listed.contains("matmul/gemv/"), "{listed}");
}

#[test]
fn what_cannot_be_written_is_said_before_anything_is_measured() {
    let folder = common::Folder::new();
    let path = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    for flag in ["--html", "--csv", "--json", "--history"] {
        let out = metallic(&[&SMALL[..], &[flag, &path("missing/file")]].concat()).output().unwrap();
        assert_eq!((out.status.code(), text(&out.stdout)), (Some(1), String::new()), "{flag}");
        assert!(text(&out.stderr).contains("missing/file"), "{}", text(&out.stderr));
    }
    let out =
        metallic(&[&SMALL[..], &["--sweep", "m=1:2", "--tuned", &path("missing/file")]].concat()).output().unwrap();
    assert_eq!((out.status.code(), text(&out.stdout)), (Some(1), String::new()));
    let huge = ["probe", "--device", "cpu", "--op", "matmul", "--m", "46000", "--n", "46000", "--k", "46000"];
    if cfg!(target_os = "linux") && std::fs::read_to_string("/proc/meminfo").is_ok_and(|m| kilobytes(&m) < 60_000_000) {
        assert!(fails(&huge, 1).contains("take a smaller shape"));
    }
    assert!(folder.files().is_empty(), "{:?}", folder.files());
}

fn kilobytes(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn tables_in_other_formats_have_standard_output_for_themselves() {
    let out = ok(&[&SMALL[..], &["--check", "--variants", "cpu/plain", "--csv", "-"]].concat());
    assert!(out.starts_with("device,") && out.lines().count() == 2, "{out}");
}

#[test]
fn a_model_names_its_products() {
    let folder = common::Folder::new();
    let model = folder.model("tiny-llama", "f16");
    let out = metallic(&["probe", "--device", "cpu", "--from", &model, "--list"]).output().unwrap();
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(text(&out.stderr).contains("not probed") && text(&out.stderr).contains("attention"));
    assert!(text(&out.stdout).contains(" NT f16/f32"), "{}", text(&out.stdout));
}
