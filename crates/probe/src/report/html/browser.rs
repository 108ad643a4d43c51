//! The page in a real browser, where this machine has one: it draws everything, and its script raises nothing.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use super::page;
use crate::fixture::report;

/// A headless start may take long on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(120);

fn browser() -> Option<PathBuf> {
    if let Some(path) = env::var_os("METALLIC_CHROMIUM") {
        return Some(path.into());
    }
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let path = env::var_os("PATH")?;
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    names.iter().flat_map(|n| folders.iter().map(move |f| f.join(n))).find(|p| p.is_file())
}

/// The browser, or a word past the test's own capture of output on what was not done.
fn browser_or_refused(what: &str) -> Option<PathBuf> {
    let found = browser();
    if found.is_none() {
        let why = "no chromium on the PATH, and METALLIC_CHROMIUM names none";
        let _ = std::io::stderr().write_all(format!("\nREFUSED: {what}: {why}\n").as_bytes());
    }
    found
}

/// A folder that goes when the test does.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let path = env::temp_dir().join(format!("metallic-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        Scratch(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the browser prints of the page once it has loaded: the document, and its log.
fn open(browser: &Path, scratch: &Path, file: &Path, flags: &[&str]) -> (String, String) {
    let mut child = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
        ])
        .args(["--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", scratch.join("profile").display()))
        .args(flags)
        .arg(format!("file://{}", file.display()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let document = thread::spawn(move || {
        let mut text = String::new();
        out.read_to_string(&mut text).map(|_| text)
    });
    let log = thread::spawn(move || {
        let mut text = Vec::new();
        err.read_to_end(&mut text).map(|_| String::from_utf8_lossy(&text).into_owned())
    });
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > PATIENCE {
            child.kill().unwrap();
            panic!("{} did not end within {PATIENCE:?}", browser.display());
        }
        thread::sleep(Duration::from_millis(50));
    }
    (document.join().unwrap().unwrap(), log.join().unwrap().unwrap())
}

#[test]
fn a_browser_draws_the_page_without_an_error() {
    let Some(browser) = browser_or_refused("the page was not opened") else { return };
    let scratch = Scratch::new("page");
    let file = scratch.0.join("probe.html");
    let runs = [report(1, &[]), report(2, &[("ksplit/f16_half_bn4_tg128", 1.05)])];
    fs::write(&file, page(&runs).unwrap()).unwrap();
    for size in ["--window-size=1280,900", "--window-size=390,844"] {
        let (document, log) = open(&browser, &scratch.0, &file, &[size]);
        let complaints: Vec<&str> = log.lines().filter(|l| l.contains("CONSOLE")).collect();
        assert!(complaints.is_empty(), "{size}: {complaints:#?}");
        assert!(document.contains("data-ready=\"true\""), "{size}: the script did not come to its end:\n{log}");
        let count = |what: &str| document.matches(what).count();
        let first = &runs[0].problems[0];
        assert_eq!(count("role=\"option\""), runs[0].problems.len(), "{size}: the list of problems");
        assert_eq!(count("class=\"row "), first.measured().count(), "{size}: bars of the first problem");
        let measured: usize = runs[0].problems.iter().map(|p| p.measured().count()).sum();
        // Six more are the legend's.
        assert_eq!(count("class=\"cell\""), measured + 6, "{size}: cells of the heat map");
        assert!(count("class=\"line\"") >= 2, "{size}: lines over n");
        assert!(count("<tr>") > measured, "{size}: rows of the table");
        assert!(document.contains("is less than the 0.4 us that memory takes"), "{size}: a reason");
    }
}

/// The check above is worth something: an error in a script is seen.
#[test]
fn a_planted_error_is_noticed() {
    let Some(browser) = browser_or_refused("no script was run") else { return };
    let scratch = Scratch::new("planted");
    let file = scratch.0.join("planted.html");
    fs::write(&file, "<script>throw new Error('planted')</script>").unwrap();
    let (_, log) = open(&browser, &scratch.0, &file, &[]);
    assert!(log.lines().any(|l| l.contains("CONSOLE") && l.contains("planted")), "{log}");
}

/// An empty report is a page too.
#[test]
fn a_browser_draws_a_run_of_nothing() {
    let Some(browser) = browser_or_refused("the page of an empty run was not opened") else { return };
    let scratch = Scratch::new("empty-page");
    let file = scratch.0.join("probe.html");
    let mut empty = report(1, &[]);
    (empty.roofline, empty.problems, empty.header.conditions) = (None, Vec::new(), Vec::new());
    fs::write(&file, page(&[empty]).unwrap()).unwrap();
    let (document, log) = open(&browser, &scratch.0, &file, &[]);
    assert!(!log.contains("CONSOLE"), "{log}");
    assert!(document.contains("data-ready=\"true\""), "{log}");
}
