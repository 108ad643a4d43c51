//! Ctrl-C, as a shell sends it.
#![cfg(unix)]

mod common;

use common::{Folder, metallic};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Sends one SIGINT, and gives the exit code; 130 too where it came before the program listened.
fn interrupted(args: &[&str]) -> i32 {
    let mut child = metallic(args).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let _open = child.stdin.take();
    std::thread::sleep(Duration::from_millis(700));
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    let start = Instant::now();
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() < Duration::from_secs(60) => std::thread::sleep(Duration::from_millis(10)),
            None => {
                child.kill().unwrap();
                panic!("{args:?} went on");
            }
        }
    };
    status.code().or_else(|| Some(128 + status.signal()?)).unwrap()
}

#[test]
fn waiting_for_input_ends_at_the_first_signal() {
    let folder = Folder::new();
    let model = folder.model("tiny-qwen2", "q8_0");
    for args in [&["tokenize", &model, "--ids"][..], &["run", &model, "-"], &["chat", &model]] {
        assert_eq!(interrupted(args), 130, "{args:?}");
    }
}

#[test]
fn an_interrupted_probe_begins_no_history_and_writes_no_table() {
    let folder = Folder::new();
    let path = |name: &str| folder.path(name).to_str().unwrap().to_owned();
    let (json, tuned) = (path("run.json"), path("tuned.json"));
    let shape = ["probe", "--device", "cpu", "--no-roofline", "--op", "matmul", "--n", "256", "--k", "256", "--tb"];
    let long = ["--rounds", "100000", "--json", &json];
    assert_eq!(interrupted(&[&shape[..], &long, &["--history", &path("runs.sqlite")]].concat()), 130);
    assert_eq!(interrupted(&[&shape[..], &long, &["--sweep", "m=1:64", "--tuned", &tuned]].concat()), 130);
    assert!(!folder.path("tuned.json").exists());
    if folder.path("run.json").exists() {
        serde_json::from_slice::<serde_json::Value>(&std::fs::read(&json).unwrap()).unwrap();
    }
    if folder.path("runs.sqlite").exists() {
        assert_eq!(common::ok(&["report", "--history", &path("runs.sqlite")]).lines().count(), 1);
    }
    assert!(folder.files().iter().all(|f| !f.contains(".part")), "{:?}", folder.files());
}
