//! `probe --sweep`: winners along a dimension, as a table that dispatch reads.

mod common;

use common::{Folder, output, text};
use metallic_ops::tuned::Table;
use std::fs;

const SHAPE: [&str; 15] = [
    "probe",
    "--op",
    "matmul",
    "--n",
    "64",
    "--k",
    "64",
    "--tb",
    "--w",
    "f32",
    "--device",
    "cpu",
    "--threads",
    "1",
    "--no-roofline",
];

fn probe(more: &[&str]) -> std::process::Output {
    output(&SHAPE.iter().chain(["--rounds", "2"].iter()).chain(more).copied().collect::<Vec<_>>())
}

#[test]
fn a_sweep_writes_a_table_that_keeps_the_laws_and_is_updated() {
    let folder = Folder::new();
    let file = folder.path("tuned.json");
    let path = file.to_str().unwrap();
    let out = probe(&["--sweep", "m=1:8", "--tuned", path]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let said = text(&out.stdout);
    assert!(said.contains("matmul m=* n=64 k=64 f32/row tb over m"), "{said}");
    assert!(said.contains("this table costs"), "{said}");
    let read = || Table::parse("tuned.json", &fs::read_to_string(&file).unwrap()).unwrap();
    let first = read();
    first.check("tuned.json").unwrap();
    assert_eq!(first.entries[0].m.0, 1);
    assert_eq!(first.entries.last().unwrap().m.1, Some(8));
    assert!(probe(&["--sweep", "m=1:8", "--tuned", path]).status.success());
    read().check("tuned.json").unwrap();

    let mut other = read();
    other.header.model = "another".to_owned();
    fs::write(&file, other.text().unwrap()).unwrap();
    let out = probe(&["--sweep", "m=1:8", "--tuned", path]);
    assert_eq!(out.status.code(), Some(1));
    assert!(text(&out.stderr).contains("is of another, and this is"), "{}", text(&out.stderr));
}

#[test]
fn a_range_that_cannot_be_meant_is_wrong_usage() {
    for (range, why) in
        [("m=8:1", "8 is not below 1"), ("b=1:8", "no dimension"), ("m=1", "n=1:4096"), ("m=0:8", "no size")]
    {
        let out = probe(&["--sweep", range]);
        assert_eq!(out.status.code(), Some(2), "{range}");
        assert!(text(&out.stderr).contains(why), "{range}: {}", text(&out.stderr));
    }
    assert_eq!(probe(&["--tuned", "x.json"]).status.code(), Some(2));
}

#[test]
fn a_sweep_whose_ends_are_no_shapes_is_an_error() {
    let out = probe(&["--w", "q8_0", "--sweep", "k=1:64"]);
    let told = text(&out.stderr);
    assert_eq!(out.status.code(), Some(2), "{told}");
    assert!(told.contains("k is no multiple of the blocks of w"), "{told}");
}

#[test]
fn what_a_sweep_goes_along_needs_no_value_of_its_own() {
    let run = |more: &[&str]| {
        let common = ["probe", "--device", "cpu", "--threads", "1", "--no-roofline", "--rounds", "2"];
        output(&common.iter().chain(more).copied().collect::<Vec<_>>())
    };
    let out = run(&["--op", "softmax", "--m", "2", "--sweep", "k=8:32", "--act", "f32"]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    assert!(text(&out.stdout).contains("softmax m=2"), "{}", text(&out.stdout));
    for (shape, missing) in [(["--op", "matmul", "--k", "64"], "--n"), (["--op", "matmul", "--n", "64"], "--k")] {
        let out = run(&shape);
        assert_eq!(out.status.code(), Some(2));
        assert!(text(&out.stderr).contains(&format!("matmul needs {missing}")), "{}", text(&out.stderr));
    }
}
