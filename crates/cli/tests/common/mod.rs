//! Running the program, on small models with random weights. Not every test needs all of it.

#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A folder that is removed at the end of a test.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn files(&self) -> Vec<String> {
        let name = |e: std::io::Result<std::fs::DirEntry>| e.unwrap().file_name().into_string().unwrap();
        std::fs::read_dir(&self.0).unwrap().map(name).collect()
    }

    /// Writes a tiny model of a shape.
    pub fn model(&self, shape: &str, dtype: &str) -> String {
        let path = self.path(&format!("{shape}-{dtype}.gguf")).to_str().unwrap().to_owned();
        ok(&["synth", shape, &path, "--dtype", dtype]);
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The program with nothing of the caller's environment that would change what it does.
pub fn metallic(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_metallic"));
    let others = ["METALLIC_MODEL", "METALLIC_KERNELS", "FORCE_MATMUL_BACKEND", "SOFTMAX_BACKEND"];
    for name in others.iter().chain(&["MATMUL_BACKENDS", "MATMUL_BENCH_ITERS", "METAL_RUN"]) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn output(args: &[&str]) -> Output {
    metallic(args).output().unwrap()
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Standard output of a run that must succeed.
pub fn ok(args: &[&str]) -> String {
    let out = output(args);
    assert!(out.status.success(), "{args:?}: {}\n{}", out.status, text(&out.stderr));
    text(&out.stdout)
}

/// Standard error of a run that must fail with `code`, printing one error and no panic.
pub fn fails(args: &[&str], code: i32) -> String {
    let out = output(args);
    let err = text(&out.stderr);
    assert_eq!(out.status.code(), Some(code), "{args:?}: {err}");
    assert!(!err.contains("panicked"), "{args:?}: {err}");
    assert_eq!(err.matches("error:").count(), 1, "{args:?}: {err}");
    err
}

/// Standard output of a run that gets `input` and must succeed.
pub fn with_input(args: &[&str], input: &[u8]) -> Output {
    use std::io::Write;
    let mut child = metallic(args).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// Shape and values of an array, by the format's description.
pub fn npy(path: &Path) -> (String, Vec<f32>) {
    let bytes = std::fs::read(path).unwrap();
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let end = 10 + u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    let values = bytes[end..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    (text(&bytes[10..end]), values)
}
