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
