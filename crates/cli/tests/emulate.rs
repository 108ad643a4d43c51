//! `emulate`: from a file and a command line to a caught race, and back to a result.

mod common;

use common::Folder;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output};

const KERNEL: &str = "\
#include <metal_stdlib>
using namespace metal;

kernel void row_sum(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], constant uint& n [[buffer(2)]],
                    uint row [[threadgroup_position_in_grid]], uint t [[thread_index_in_threadgroup]],
                    uint size [[threads_per_threadgroup]]) {
    threadgroup float part[64];
    float sum = 0;
    for (uint i = t; i < n; i += size) sum += x[row * n + i];
    part[t] = sum;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint width = size / 2; width > 0; width /= 2) {
        if (t < width) part[t] += part[t + width];
#ifdef FIXED
        threadgroup_barrier(mem_flags::mem_threadgroup);
#endif
    }
    if (t == 0) y[row] = part[0];
}

constant uint scale [[function_constant(0)]];

kernel void scaled(device const half* x [[buffer(0)]], device half* y [[buffer(1)]], uint i [[thread_position_in_grid]]) {
    y[i] = x[i] * scale;
}
";

/// What `emulate` with `args` gives in `folder`; `None` where there is no clang, which it says.
fn emulate(folder: &Folder, args: &[&str]) -> Option<Output> {
    std::fs::write(folder.path("k.metal"), KERNEL).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_metallic"));
    let out = command.current_dir(folder.path("")).args(["emulate", "k.metal"]).args(args).output().unwrap();
    let err = String::from_utf8_lossy(&out.stderr);
    if err.contains("no clang on this machine") || err.contains("emulator is not available: it runs on") {
        // Past the test harness, which keeps the output of tests that pass.
        let _ = writeln!(std::io::stderr(), "REFUSED: {err}");
        return None;
    }
    Some(out)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const ROW_SUM: &[&str] = &["-e", "row_sum", "--grid", "2", "--threads", "64", "--bytes", "2=u32:100"];

fn row_sum(more: &[&'static str]) -> Vec<&'static str> {
    [ROW_SUM, &["--buffer", "0=x.npy", "--buffer", "1=out:f32[2]"], more].concat()
}

/// Two rows of a hundred: 0 to 99, and 100 to 199.
fn write_input(path: &Path) {
    let head = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 100), }";
    let head = format!("{head:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((head.len() as u16).to_le_bytes());
    bytes.extend(head.bytes());
    bytes.extend((0..200).flat_map(|i| (i as f32).to_le_bytes()));
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_race_is_told_with_both_places_and_exit_code_1() {
    let folder = Folder::new();
    write_input(&folder.path("x.npy"));
    let Some(out) = emulate(&folder, &row_sum(&[])) else { return };
    let said = text(&out.stdout);
    assert_eq!(out.status.code(), Some(1), "{said}{}", text(&out.stderr));
    assert!(said.contains("k.metal:13: race:") && said.contains("no barrier is between them"), "{said}");
    assert!(said.contains("threadgroup variable \"part\"") && said.contains("kernel row_sum"), "{said}");
    let json = emulate(&folder, &row_sum(&["-o", "json"])).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json.status.code(), Some(1));
    assert_eq!(report["clean"], false);
    let first = &report["list"][0];
    assert_eq!((first["kind"].as_str(), first["place"]["line"].as_u64()), (Some("race"), Some(13)));
    assert_eq!(first["other"]["place"]["line"], 13);
}

#[test]
fn the_repaired_kernel_computes_the_same_checked_and_fast() {
    let folder = Folder::new();
    write_input(&folder.path("x.npy"));
    for more in [&[][..], &["--fast"]] {
        let save: &[&str] = &["-D", "FIXED", "--save", "1=y.npy", "--show", "1"];
        let Some(out) = emulate(&folder, &[&row_sum(save)[..], more].concat()) else { return };
        assert_eq!(out.status.code(), Some(0), "{}{}", text(&out.stdout), text(&out.stderr));
        assert!(text(&out.stdout).contains("buffer 1: 4950 14950"), "{}", text(&out.stdout));
        let y = std::fs::read(folder.path("y.npy")).unwrap();
        assert_eq!(y[y.len() - 8..], [4950f32.to_le_bytes(), 14950f32.to_le_bytes()].concat());
    }
}

#[test]
fn function_constants_have_values_by_index_and_by_name() {
    let folder = Folder::new();
    for key in ["0=3", "scale=3"] {
        let buffers = ["--buffer", "0=random:f16[8]", "--buffer", "1=out:f16[8]", "--constant", key];
        let launch = ["-e", "scaled", "--threads-total", "8", "--threads", "32", "--show", "0", "--show", "1"];
        let Some(out) = emulate(&folder, &[&launch[..], &buffers].concat()) else { return };
        let said = text(&out.stdout);
        assert_eq!(out.status.code(), Some(0), "{said}{}", text(&out.stderr));
        let row = |name: &str| -> Vec<f32> {
            let line = said.lines().find(|l| l.starts_with(name)).unwrap();
            line.split(' ').skip(2).map(|v| v.parse().unwrap()).collect()
        };
        let (x, y) = (row("buffer 0:"), row("buffer 1:"));
        assert!(x.iter().zip(&y).all(|(x, y)| (3.0 * x - y).abs() < 0.01), "{said}");
    }
}

#[test]
fn what_is_missing_is_said_with_exit_code_2() {
    let folder = Folder::new();
    let wrong: [(&[&str], &str); 7] = [
        (&[], "row_sum\n  scaled"),
        (&["-e", "nothing"], "there is no kernel \"nothing\""),
        (&["-e", "row_sum", "--grid", "1"], "0 x (buffer, read"),
        (&["-e", "row_sum", "--grid", "1", "--threads", "32", "--buffer", "9=out:f32[1]"], "takes no buffer 9"),
        (&["-e", "row_sum", "--buffer", "1=out:f33[1]"], "is not an element type"),
        (&["-e", "row_sum", "--grid", "0"], "every count must be 1"),
        (&["-e", "scaled", "--constant", "7=1"], "0 scale"),
    ];
    for (args, says) in wrong {
        let Some(out) = emulate(&folder, args) else { return };
        let err = text(&out.stderr);
        assert_eq!(out.status.code(), Some(2), "{args:?}: {err}");
        assert!(err.contains(says), "{args:?}: {err}");
    }
    let Some(out) = emulate(&folder, &["-e", "row_sum", "--grid", "1", "--threads", "32"]) else { return };
    assert!(text(&out.stdout).contains("buffer 0 \"x\" is not bound"), "{}", text(&out.stdout));
}

#[test]
fn without_a_compiler_it_says_what_to_install() {
    let folder = Folder::new();
    std::fs::write(folder.path("k.metal"), KERNEL).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_metallic"));
    let command = command.current_dir(folder.path("")).args(["emulate", "k.metal"]).args(row_sum(&[]));
    for (name, value) in [("METALLIC_CLANG", "/nowhere/clang++"), ("PATH", "/nowhere")] {
        let out = command.env_remove("METALLIC_CLANG").env(name, value).output().unwrap();
        let err = text(&out.stderr);
        assert_eq!(out.status.code(), Some(1), "{err}");
        if cfg!(target_os = "linux") {
            assert!(err.contains("apt install clang") && err.contains("pip install ziglang"), "{err}");
        }
    }
}
