//! The build of kernel libraries, with a stand-in for Apple's `xcrun` that records its calls.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use metallic_kernel_build::{Error, Mode, Xcrun, libraries, write};

/// A folder of kernels, an empty output folder and a stand-in on a `PATH` of its own.
struct Site {
    folder: PathBuf,
}

impl Site {
    /// `behave` is shell code that runs with `tool` and `out` set, after the call is recorded.
    fn new(name: &str, behave: &str) -> Site {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("site-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        let site = Site { folder };
        for (path, text) in [
            ("kernels/matmul/gemm.metal", "kernel void gemm() {}"),
            ("kernels/matmul/matvec.metal", "kernel void matvec() {}"),
            (
                "kernels/matmul/variants.json",
                r#"[{ "source": "gemm.metal", "knobs": { "BN": 32, "BM": 64 }, "note": "-" },
                    { "source": "gemm.metal", "knobs": { "BM": 16, "BN": -1 } },
                    { "source": "gemm.metal", "knobs": { "BN": 32, "BM": 64 } }, { "source": "plain.rs" }]"#,
            ),
            ("kernels/msl/simd.h", "#pragma once"),
            ("kernels/softmax/kernel.sources", "# what rows share\n../common/rows.metal\n\n  block.metal # last\n"),
            ("kernels/softmax/block.metal", "kernel void block() {}"),
            ("kernels/common/rows.metal", "kernel void rows() {}"),
        ] {
            site.write(path, text);
        }
        fs::create_dir_all(site.at("out")).unwrap();
        let script = format!(
            "#!/bin/sh\n{{ for a in \"$@\"; do printf '%s\\n' \"$a\"; done; echo; }} >> '{}'\ntool=$3\n\
             while [ $# -gt 1 ]; do shift; [ \"$1\" = -o ] && out=$2; done\n{behave}\n",
            site.at("calls").display()
        );
        site.write("bin/xcrun", &script);
        fs::set_permissions(site.at("bin/xcrun"), fs::Permissions::from_mode(0o755)).unwrap();
        site
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path)
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.at(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn build(&self) -> Result<Vec<PathBuf>, Error> {
        let path = format!("{}:{}", self.at("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mode = Mode::Built(Xcrun { path: Some(path.into()) });
        write(&self.at("kernels"), &self.at("out"), &mode)
    }

    /// Every call's arguments, with the site's folder taken off.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.at("calls")).unwrap_or_default();
        let here = format!("{}/", self.folder.display());
        text.split_terminator("\n\n").map(|call| call.trim().replace('\n', " ").replace(&here, "")).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A compiler and linker that leave something.
const FINE: &str = "printf '%s of %s' \"$tool\" \"$(basename \"$out\")\" > \"$out\"";

#[test]
fn every_library_is_compiled_and_linked_once_for_each_set_of_knobs() {
    let site = Site::new("calls", FINE);
    let inputs = site.build().unwrap();
    assert_eq!(inputs, [site.at("kernels")], "binaries depend on every file");
    let pair = |source: &str, own: &str, knobs: &str, stem: &str| {
        [
            format!(
                "-sdk macosx metal -std=metal3.1 -fno-fast-math -I {own} -I kernels/msl -I kernels {knobs}-c {source} \
                 -o out/kernels/{stem}.air"
            ),
            format!("-sdk macosx metallib out/kernels/{stem}.air -o out/kernels/{stem}.metallib"),
        ]
    };
    let gemm = |knobs, stem| pair("kernels/matmul/gemm.metal", "kernels/matmul", knobs, stem);
    let want = [
        pair("kernels/common/rows.metal", "kernels/common", "", "common"),
        gemm("-DBM=16 -DBN=-1 ", "matmul_gemm-BM16-BN-1"),
        gemm("-DBM=64 -DBN=32 ", "matmul_gemm-BM64-BN32"),
        pair("kernels/matmul/matvec.metal", "kernels/matmul", "", "matmul_matvec"),
        pair("out/kernels/softmax_includes.metal", "kernels/softmax", "", "softmax"),
    ];
    assert_eq!(site.calls(), want.concat());
    let stitched = fs::read_to_string(site.at("out/kernels/softmax_includes.metal")).unwrap();
    assert_eq!(stitched, "#include \"../common/rows.metal\"\n#include \"block.metal\"\n");
}

#[test]
fn a_compiler_that_fails_fails_the_build_with_its_words() {
    let site = Site::new("fails", "echo \"gemm.metal:3:1: error: no such type\" >&2; exit 7");
    let error = site.build().unwrap_err();
    assert!(
        matches!(&error, Error::Refused { library, status, .. } if library == "common" && status.code() == Some(7))
    );
    let text = error.to_string();
    assert!(text.contains("gemm.metal:3:1: error: no such type"), "{text}");
    assert!(text.contains(r#""xcrun" "-sdk" "macosx" "metal""#), "{text}");
    assert_eq!(site.calls().len(), 1, "nothing is tried after a failure");
}

#[test]
fn a_linker_that_fails_or_leaves_nothing_fails_the_build() {
    let link = |name: &str, behave: &str| {
        let site = Site::new(name, &format!("[ $tool = metallib ] || {{ {FINE}; exit; }}\n{behave}"));
        site.build().unwrap_err()
    };
    assert!(matches!(link("link", "echo bad air >&2; exit 1"), Error::Refused { stderr, .. } if stderr == "bad air"));
    assert!(matches!(link("empty", ": > \"$out\""), Error::Hollow { what: "empty", .. }));
    assert!(matches!(link("missing", ":"), Error::Hollow { what: "missing", .. }));
}

/// As on every system but Apple's.
#[test]
fn without_xcrun_the_error_says_what_to_do() {
    let site = Site::new("absent", FINE);
    let mode = Mode::Built(Xcrun { path: Some(site.at("kernels").into()) });
    let error = write(&site.at("kernels"), &site.at("out"), &mode).unwrap_err();
    assert!(matches!(error, Error::NoCompiler { .. }));
    let text = error.to_string();
    assert!(text.contains("built_kernels") && text.contains("Xcode") && text.contains("src_kernels"), "{text}");
}

#[test]
fn a_bad_manifest_is_named_with_its_line() {
    let site = Site::new("manifest", FINE);
    site.write("kernels/softmax/kernel.sources", "# one\nblock.metal\nnone.metal\n");
    let error = libraries(&site.at("kernels")).unwrap_err();
    assert!(matches!(&error, Error::Part { line: 3, part, .. } if part == "none.metal"), "{error}");
    site.write("kernels/softmax/kernel.sources", "# nothing\n");
    assert!(matches!(libraries(&site.at("kernels")), Err(Error::NoSource { .. })));
    site.write("kernels/softmax/kernel.sources", "block.metal\n");
    site.write("kernels/matmul/variants.json", "[{}]");
    assert!(matches!(libraries(&site.at("kernels")), Err(Error::Variants { .. })));
}

/// Compiles a program that uses the macro with the generated table, and runs it.
fn program(site: &Site, body: &str) -> Result<String, String> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../kernels/library.rs");
    let text = format!(
        r#"
        pub mod contract {{
            #[derive(Clone, Debug, PartialEq, Eq)]
            pub struct Text {{
                pub path: String,
                pub text: std::borrow::Cow<'static, str>,
                pub macros: Vec<(String, String)>,
            }}
            #[derive(Debug)]
            pub enum SourceError {{ Missing {{ variant: String, path: String }} }}
            pub mod source {{
                pub fn read(path: &str) -> Option<std::borrow::Cow<'static, str>> {{
                    std::fs::read_to_string(format!("{root}/{{path}}")).ok().map(Into::into)
                }}
            }}
        }}
        #[path = {library:?}]
        pub mod library;
        fn main() {{ {body} }}
        "#,
        root = site.at("kernels").display()
    );
    site.write("main.rs", &text);
    let run = |command: &mut Command| {
        let output = command.output().map_err(|e| e.to_string())?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    };
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
    let mut compile = Command::new(rustc);
    compile.args(["--edition", "2024", "-A", "warnings", "--cfg", "feature=\"src_kernels\"", "-o"]);
    compile.arg(site.at("main")).arg(site.at("main.rs")).env("OUT_DIR", site.at("out"));
    run(&mut compile)?;
    run(&mut Command::new(site.at("main")))
}

const PRINT: &str = r#"
    let show = |code| match code {
        library::Code::Binary(bytes) => println!("{}", String::from_utf8_lossy(bytes)),
        library::Code::Text(t) => println!("{} {:?} {}", t.path, t.macros, t.text.trim()),
    };
    show(kernel_lib!("softmax").unwrap());
    show(kernel_lib!("matmul/gemm", &[("BM", 64), ("BN", 32)]).unwrap());
    show(kernel_lib!("matmul/gemm", &[("BM", 1)]).unwrap());
"#;

#[test]
fn the_macro_yields_binaries_where_they_were_built() {
    let site = Site::new("binaries", FINE);
    site.build().unwrap();
    let want = "metallib of softmax.metallib\nmetallib of matmul_gemm-BM64-BN32.metallib\n\
        matmul/gemm.metal [(\"BM\", \"1\")] kernel void gemm() {}\n";
    assert_eq!(program(&site, PRINT).unwrap(), want);
}

#[test]
fn the_macro_yields_texts_where_nothing_was_built() {
    let site = Site::new("texts", FINE);
    let inputs = write(&site.at("kernels"), &site.at("out"), &Mode::Text).unwrap();
    let named = ["kernels/matmul/variants.json", "kernels/softmax/kernel.sources"].map(|p| site.at(p));
    assert_eq!(inputs, named, "editing a kernel changes nothing in the table");
    assert_eq!(site.calls(), [""; 0], "no compiler is asked");
    let want = "softmax/softmax_includes.metal [] #include \"../common/rows.metal\"\n#include \"block.metal\"\n\
        matmul/gemm.metal [(\"BM\", \"64\"), (\"BN\", \"32\")] kernel void gemm() {}\n\
        matmul/gemm.metal [(\"BM\", \"1\")] kernel void gemm() {}\n";
    assert_eq!(program(&site, PRINT).unwrap(), want);
}

#[test]
fn a_misspelt_library_does_not_compile() {
    let site = Site::new("misspelt", FINE);
    write(&site.at("kernels"), &site.at("out"), &Mode::Text).unwrap();
    let error = program(&site, "let _ = kernel_lib!(\"sofmax\");").unwrap_err();
    assert!(error.contains("no kernel library has this name"), "{error}");
}
