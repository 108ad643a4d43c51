//! `report`: pages, tables and comparisons of runs in files.

mod common;

use common::{Folder, ok, output, text};
use metallic_probe::record::*;
use std::fs;

/// A run with one variant and one library on four problems; `slow` is how many times as long the variant takes.
fn run(started: &str, slow: f64) -> Report {
    let times = |us: f64| {
        let rounds: Vec<f64> = (0..12).map(|i| us * (1.0 + 0.001 * f64::from(i * 5 % 7))).collect();
        Times { median_us: us, low_us: us, high_us: us * 1.006, host_us: us, launches: 8, rounds }
    };
    let entry = |variant: &str, target: &str, us: f64| {
        let check = Check { compared: 10, elements: 10, worst: 0.5 };
        let (entry, grid, threads) = (String::new(), [1; 3], [1; 3]);
        let outcome = Outcome::Measured(Measured { check, cold: times(us), hot: times(us), entry, grid, threads });
        Entry { variant: variant.to_owned(), target: target.to_owned(), enabled: true, outcome }
    };
    let problem = |n: usize| Problem {
        op: "matmul".to_owned(),
        title: format!("1x{n}x896 NT f16"),
        key: format!("matmul m=1 n={n} k=896 f16/row"),
        shape: Shape { m: 1, n, k: 896, batch: 1 },
        detail: String::new(),
        bytes: 1000,
        flops: 2000,
        floor_us: Some(1.0),
        entries: vec![entry("family/ours", "msl", n as f64 * slow), entry("vendor/theirs", "library", n as f64)],
    };
    let header = Header {
        schema: SCHEMA,
        started: started.to_owned(),
        version: "0.1.0".to_owned(),
        commit: "abcdef012345".to_owned(),
        command: "metallic probe".to_owned(),
        device: "cuda".to_owned(),
        description: "a made-up GPU".to_owned(),
        conditions: Vec::new(),
        seconds: 1.0,
    };
    Report { header, roofline: None, problems: [64, 128, 256, 512].map(problem).into() }
}

fn file(folder: &Folder, name: &str, report: &Report) -> String {
    let path = folder.path(name);
    fs::write(&path, serde_json::to_string(report).unwrap()).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_page_and_a_table_of_a_file() {
    let folder = Folder::new();
    let before = file(&folder, "before.json", &run("2026-01-01T00:00:00Z", 1.0));
    let page = folder.path("page.html");
    let rows = ok(&["report", &before, "--html", page.to_str().unwrap(), "--csv", "-"]);
    assert_eq!(rows.lines().count(), 1 + 8, "{rows}");
    assert!(rows.contains("family/ours"));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("a made-up GPU"));
}

#[test]
fn a_slowdown_fails_and_the_same_times_do_not() {
    let folder = Folder::new();
    let before = file(&folder, "before.json", &run("2026-01-01T00:00:00Z", 1.0));
    let same = file(&folder, "same.json", &run("2026-01-02T00:00:00Z", 1.001));
    let slower = file(&folder, "slower.json", &run("2026-01-03T00:00:00Z", 1.05));
    let history = folder.path("runs.sqlite").to_str().unwrap().to_owned();

    let out = output(&["report", &same, "--compare", &before]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let out = output(&["report", &slower, "--compare", &before]);
    assert_eq!(out.status.code(), Some(1));
    let said = text(&out.stderr);
    assert!(said.contains("SLOWER  matmul 1x64x896 NT f16 family/ours cold: 64.00 -> 67.20 us"), "{said}");
    assert!(said.contains("error: 4 of our variants became slower or broke"), "{said}");
    assert!(output(&["report", &slower, "--compare", &before, "--threshold", "8"]).status.success());

    ok(&["report", &before, &same, "--history", &history]);
    assert_eq!(ok(&["report", "--history", &history]).lines().count(), 3);
    for base in ["last", "1", "abcdef"] {
        let out = output(&["report", &slower, "--history", &history, "--compare", base]);
        assert_eq!(out.status.code(), Some(1), "{base}: {}", text(&out.stderr));
    }
    let rows = ok(&["report", "--history", &history, "--run", "2", "--csv", "-"]);
    assert!(rows.contains("2026-01-02"), "{rows}");
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = Folder::new();
    let before = file(&folder, "before.json", &run("2026-01-01T00:00:00Z", 1.0));
    let says = |args: &[&str], code: i32, words: &str| {
        let out = output(args);
        let said = text(&out.stderr);
        assert_eq!(out.status.code(), Some(code), "{said}");
        assert!(said.contains(words), "{said}");
    };
    says(&["report"], 2, "<FILE>");
    says(&["report", &before], 2, "nothing to do with the reports");
    says(&["report", &before, "--compare", "last"], 2, "looked for in --history FILE");
    says(&["report", &before, &before, "--compare", &before], 2, "one report to compare, not 2");
    says(&["report", &before, "--threshold", "3"], 2, "--compare");
    let nothing = folder.path("nothing.sqlite").to_str().unwrap().to_owned();
    says(&["report", "--history", &nothing], 1, "does not exist");
    says(&["report", "--history", &nothing, "--run", "1", "--csv", "-"], 1, "does not exist");
    assert!(!std::path::Path::new(&nothing).exists(), "a question begins no history");
    says(&["report", &before, "--compare", ""], 2, "wants a JSON file");
    says(&["report", &before, "--html", "-", "--csv", "-"], 2, "standard output");
    let elsewhere = run("2026-01-01T00:00:00Z", 1.0);
    let header = Header { description: "another GPU".to_owned(), ..elsewhere.header };
    let elsewhere = file(&folder, "elsewhere.json", &Report { header, ..elsewhere });
    let page = folder.path("page.html");
    let page = page.to_str().unwrap();
    says(&["report", &before, "--compare", &elsewhere, "--html", page], 2, "compare with a run of this device");
    says(&["report", &before, "--html", folder.path("").to_str().unwrap()], 1, "cannot write");
    assert!(!std::path::Path::new(page).exists());
    let kept = folder.path("kept.sqlite").to_str().unwrap().to_owned();
    ok(&["report", &before, "--history", &kept]);
    says(&["report", "--history", &kept, "--html", page], 2, "Give --run N");
    says(&["report", &before, "--history", &before], 1, "--history wants a file");
    says(&["report", &before, "--history", &nothing, "--compare", "last"], 1, "holds no run before this one");
    let other = folder.path("other.json").to_str().unwrap().to_owned();
    fs::write(&other, "{}").unwrap();
    says(&["report", &other, "--csv", "-"], 1, "not a report of `metallic probe`");
}
