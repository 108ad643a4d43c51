//! Text that was made to do harm: an error or a result, never a panic, a hang or an overflowing stack.

use std::path::Path;

use metallic_msl::{LowerOptions, ParseOptions, Target, Unit};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Reads `text` and lowers its first kernels.
fn run(text: &str) -> Result<(), String> {
    let unit = Unit::parse("hostile.metal", text, &ParseOptions::default()).map_err(|e| e.to_string())?;
    for entry in unit.entries().iter().take(3) {
        for target in [Target::Host, Target::Cuda] {
            let _ = unit.lower(target, &LowerOptions { entry: &entry.name, ..LowerOptions::default() });
        }
    }
    Ok(())
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    let got = run(text).unwrap_err();
    assert!(got.contains(expected), "{got:?} does not contain {expected:?}");
}

const WORDS: &[&str] = &[
    "kernel",
    "void",
    "f",
    "T",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "<",
    ">",
    ",",
    ";",
    ":",
    "::",
    "=",
    "*",
    "&",
    "device",
    "constant",
    "threadgroup",
    "thread",
    "const",
    "float",
    "int",
    "uint3",
    "half",
    "template",
    "typename",
    "struct",
    "enum",
    "union",
    "class",
    "using",
    "namespace",
    "typedef",
    "operator",
    "[[",
    "]]",
    "buffer(0)",
    "host_name(\"x\")",
    "function_constant(1)",
    "kernel",
    "thread_position_in_grid",
    "constexpr",
    "static",
    "1",
    "0x10",
    "2.5",
    "1.h",
    "\"s\"",
    "'c'",
    "?",
    ".",
    "->",
    "xz",
    "...",
    "+",
    "sizeof",
    "decltype",
    "\n#define A(x, ...) x ## B __VA_ARGS__ #x\n",
    "A",
    "B",
    "\n#if",
    "\n#endif\n",
    "\n#else\n",
    "\n",
    "\n#define B A(B, B)\n",
    "\n#pragma unroll\n",
    "_Pragma(\"x\")",
    "__attribute__((packed))",
    "alignas(16)",
    "~",
    "extern",
    "\"C\"",
    "metal",
    "is_function_constant_defined",
    "static_assert",
    "public",
    "return",
    ">>",
    "auto",
    "unsigned",
    "long",
    "case",
    "{}",
    "();",
];

fn corpus() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public_styles");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
    files.sort();
    files.iter().map(|f| std::fs::read_to_string(f).unwrap()).filter(|t| t.len() < 6000).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_words(words in prop::collection::vec(select(WORDS), 0..60)) {
        let _ = run(&words.join(" "));
    }

    #[test]
    fn a_kernel_around_any_words(words in prop::collection::vec(select(WORDS), 0..30)) {
        let _ = run(&format!("template <typename T, int N = 4> kernel void f(device T* x, {}) {{ {} }}\ntemplate [[host_name(\"g\")]] kernel void f<{}>;\n",
            words[..words.len() / 3].join(" "), words[words.len() / 3..words.len() * 2 / 3].join(" "), words[words.len() * 2 / 3..].join(" ")));
    }

    #[test]
    fn any_text(text in "[ -~\n\\\\\"'#(){}\\[\\]<>/*]{0,200}") {
        let _ = run(&text);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 250, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changed_kernels(file in any::<Index>(), changes in prop::collection::vec((any::<Index>(), any::<Index>(), 0..4u8), 1..6)) {
        let files = corpus();
        let mut words: Vec<&str> = file.get(&files).split_inclusive([' ', '\n', '(', ')', '<', '>', ';', ',', '[', ']', '{', '}']).collect();
        for (at, what, how) in &changes {
            let at = at.index(words.len());
            match how {
                0 => { words.remove(at); }
                1 => words.insert(at, WORDS[what.index(WORDS.len())]),
                2 => words[at] = WORDS[what.index(WORDS.len())],
                _ => { let other = what.index(words.len()); words.swap(at, other); }
            }
            if words.is_empty() { break; }
        }
        let _ = run(&words.concat());
    }
}

#[test]
fn nesting_has_an_end() {
    fails(&"namespace a {".repeat(100_000), "never closed");
    fails(&format!("{}{}", "namespace a {".repeat(5000), "}".repeat(5000)), "nested more than 64 deep");
    fails(&format!("{}{}", "struct a {".repeat(5000), "};".repeat(5000)), "nested more than 64 deep");
    fails(&format!("int x = {}1{};", "(".repeat(200_000), ")".repeat(199_999)), "never closed");
    let deep = |n: usize| {
        format!(
            "constant int x = {}1{};\nkernel void k(device int* p) {{ threadgroup int y[x]; p[0] = y[0]; }}",
            "(".repeat(n),
            ")".repeat(n)
        )
    };
    run(&deep(10)).unwrap();
    run(&deep(100_000)).unwrap();
    run(&format!("kernel void k(device {}int{}* p) {{}}", "vec<".repeat(20_000), ", 2>".repeat(20_000))).unwrap();
    run(&format!("kernel void k(device {}int* p) {{}}", "a<".repeat(50_000))).unwrap();
}

#[test]
fn sizes_have_an_end() {
    // Each struct is twice the one before: 2^200 bytes, and as many paths to look along.
    let mut text = String::from("struct S0 { int x; };\n");
    for i in 1..200 {
        text.push_str(&format!("struct S{i} {{ S{} a; S{} b[sizeof(S{})]; }};\n", i - 1, i - 1, i - 1));
    }
    run(&format!("{text}kernel void k(device S199* p) {{}}")).unwrap();
    run("struct S { char a[sizeof(S)]; S s; };\nkernel void k(device S* p) { threadgroup S x[sizeof(S)]; }").unwrap();
    run("constant int A = B + B; constant int B = A + A;\nkernel void k(device int* p) { threadgroup int x[A]; }")
        .unwrap();
    run("using A = B; using B = A;\nkernel void k(device A* p, B x [[thread_position_in_grid]]) {}").unwrap();
    let many: String = (1..40).map(|i| format!(", typename T{i} = X<T{0}, T{0}, T{0}, T{0}>", i - 1)).collect();
    run(&format!("template <typename T0{many}> kernel void k(device T39* p) {{}}\ntemplate kernel void k<int>;"))
        .unwrap();
}

#[test]
fn repetition_stays_linear() {
    for word in [
        "constant ",
        "threadgroup ",
        "? ",
        "a.xz = ",
        "a ? b : ",
        "x < ",
        "> ",
        ":: ",
        "operator ",
        "template ",
        "[[a]] ",
        "*",
        "a, ",
    ] {
        let body = word.repeat(20_000);
        let _ = run(&format!("kernel void k(device int* p) {{ {body}; }}"));
        let _ = run(&format!("{body};"));
        let _ = run(&format!("kernel void k({body}) {{}}"));
    }
}
