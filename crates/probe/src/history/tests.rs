//! What goes into a history comes out, once, and the right run is found.

use super::*;
use crate::fixture::report;

#[test]
fn a_report_comes_out_as_it_went_in() {
    let mut history = History::in_memory().unwrap();
    for seed in [1, 2] {
        let mut r = report(seed, &[]);
        if seed == 2 {
            (r.roofline, r.problems[0].floor_us) = (None, None);
        }
        let run = history.add(&r).unwrap();
        assert!(history.load(run).unwrap() == r);
        assert_eq!(history.add(&r).unwrap(), run, "the same run is added once");
    }
    let runs = history.runs().unwrap();
    assert_eq!(runs.len(), 2);
    let r = report(2, &[]);
    assert_eq!(runs[0].commit, r.header.commit, "newest first");
    assert_eq!(runs[0].measured, r.problems.iter().map(|p| p.measured().count()).sum::<usize>());
}

#[test]
fn the_run_that_is_meant_is_found() {
    let mut history = History::in_memory().unwrap();
    let new = report(9, &[]);
    let none = history.find(&Which::Last, &new.header).unwrap_err();
    assert!(none.to_string().ends_with("it is empty"), "{none}");
    let ids: Vec<i64> = [3, 4].iter().map(|s| history.add(&report(*s, &[])).unwrap()).collect();
    let mut elsewhere = report(5, &[]);
    elsewhere.header.description = "another GPU".to_owned();
    history.add(&elsewhere).unwrap();
    history.add(&new).unwrap();
    let find = |text: &str| history.find(&Which::parse(text), &new.header).map(|r| r.run);
    assert_eq!(find("last").unwrap(), ids[1], "of the same device, and not the run itself");
    assert_eq!(find(&ids[0].to_string()).unwrap(), ids[0]);
    assert_eq!(find("c0ffee000003").unwrap(), ids[0]);
    let e = find("c0ffee000005").unwrap_err().to_string();
    assert!(e.contains("of commit c0ffee000005 on Made-up GPU"), "{e}");
    assert!(find("77").unwrap_err().to_string().contains("the newest are"));
}

#[test]
fn a_number_is_a_run_and_a_long_one_a_commit() {
    assert_eq!(Which::parse("last"), Which::Last);
    assert_eq!(Which::parse("12"), Which::Run(12));
    assert_eq!(Which::parse("1234567"), Which::Commit("1234567".to_owned()));
    assert_eq!(Which::parse("c0ffee"), Which::Commit("c0ffee".to_owned()));
}

#[test]
fn a_file_outlives_the_program_and_a_newer_one_is_refused() {
    let path = std::env::temp_dir().join(format!("metallic-history-{}.sqlite", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let run = History::open(&path).unwrap().add(&report(1, &[])).unwrap();
    let again = History::open(&path).unwrap();
    assert!(again.load(run).unwrap() == report(1, &[]));
    again.connection.execute("INSERT INTO migration VALUES (99, '2026-01-01T00:00:00Z')", []).unwrap();
    drop(again);
    assert!(matches!(History::open(&path), Err(HistoryError::Newer { got: 99, .. })));
    std::fs::write(&path, "this is a text and no database, and long enough to be told from an empty file").unwrap();
    assert!(matches!(History::open(&path), Err(HistoryError::Sqlite { .. })));
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn files_hold_one_report_or_several() {
    let folder = std::env::temp_dir().join(format!("metallic-files-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let (a, b) = (report(1, &[]), report(2, &[]));
    let one = |r: &Report| serde_json::to_string(r).unwrap();
    let texts = [
        ("one.json", one(&a), 1),
        ("pretty.json", serde_json::to_string_pretty(&a).unwrap(), 1),
        ("several.json", format!("[{}, {}]", one(&a), one(&b)), 2),
        ("lines.jsonl", format!("{}\n\n{}\n", one(&a), one(&b)), 2),
    ];
    for (name, text, count) in texts {
        let path = folder.join(name);
        std::fs::write(&path, text).unwrap();
        assert!(read(&path).unwrap() == [a.clone(), b.clone()][..count], "{name}");
    }
    let path = folder.join("other.jsonl");
    std::fs::write(&path, format!("{}\n{{\"n_gen\": 128}}\n", one(&a))).unwrap();
    let e = read(&path).unwrap_err().to_string();
    assert!(e.contains("other.jsonl, line 2: not a report of `metallic probe`: missing field"), "{e}");
    let mut newer = a;
    newer.header.schema = SCHEMA_OF_TOMORROW;
    std::fs::write(&path, one(&newer)).unwrap();
    assert!(matches!(read(&path), Err(FileError::Newer { got: SCHEMA_OF_TOMORROW, .. })));
    std::fs::remove_dir_all(&folder).unwrap();
}

const SCHEMA_OF_TOMORROW: u32 = crate::record::SCHEMA + 1;
