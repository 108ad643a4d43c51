//! One bad source a rule, with the rule's name in a comment on the line that must be found, and nothing else found.

use std::path::Path;
use std::process::{Command, Stdio};

use metallic_msl::ParseOptions;
use metallic_msl::lint::{FieldLayout, Finding, LintOptions, RULES, StructLayout, lint};

const HEAD: &str = "#include <metal_stdlib>\nusing namespace metal;\n";

/// Lines with `// !rule`.
fn marked(text: &str) -> Vec<(u32, String)> {
    let lines = text.lines().zip(1u32..);
    lines.filter_map(|(l, n)| l.split_once("// !").map(|(_, rule)| (n, rule.trim().to_owned()))).collect()
}

fn found(findings: &[Finding]) -> Vec<(u32, String)> {
    findings.iter().map(|f| (f.diagnostic.line, f.rule.to_owned())).collect()
}

fn clang() -> Option<String> {
    let path = std::env::var("METALLIC_CLANG").unwrap_or_else(|_| "clang++".into());
    let ran = Command::new(&path).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    match ran {
        Ok(status) if status.success() => Some(path),
        _ => {
            eprintln!("REFUSED: {path} cannot be run: the rules that need clang are not tested");
            None
        }
    }
}

/// Checks with and without clang: rules that need no compiler find the same, and clang adds only what is marked `types`.
fn check(body: &str, structs: &[StructLayout]) -> Vec<Finding> {
    let text = format!("{HEAD}{body}");
    let want = marked(&text);
    let run = |clang: Option<&Path>| {
        lint("bad.metal", &text, &LintOptions { parse: ParseOptions::default(), clang, structs })
    };
    let plain = run(None);
    let without: Vec<_> = want.iter().filter(|(_, rule)| rule != "types").cloned().collect();
    assert_eq!(found(&plain.findings), without, "without clang: {:#?}", plain.findings);
    assert!(plain.refused.is_some());
    let Some(clang) = clang() else { return plain.findings };
    let report = run(Some(Path::new(&clang)));
    assert_eq!(found(&report.findings), want, "with clang: {:#?}", report.findings);
    assert_eq!(report.refused, None);
    report.findings
}

#[test]
fn words_that_metal_leaves_out() {
    check(
        r#"
kernel void k(device float *y [[buffer(0)]], uint i [[thread_position_in_grid]]) {
    double wide = y[i]; // !double
    static uint calls = 0; // !static-local
    static constant const float fixed = 2.0;
    if (wide > fixed) {
        goto end; // !cxx
    }
    y[i] = float(wide);
end:
    calls += 1;
}
"#,
        &[],
    );
    check(
        "struct S {\n    virtual void f() {} // !cxx\n};\nvoid g() {\n    thread int *p = new int; // !cxx\n    delete p; // !cxx\n}\n\
         struct Kept {\n    int a;\n    Kept(const thread Kept &) = delete;\n    float goto_count;\n};\n",
        &[],
    );
}

#[test]
fn recursion_direct_and_by_others() {
    let findings = check(
        r#"
float odd(float v);
float even(float v) { return v < 1 ? 1 : odd(v - 1); }
float odd(float v) { return v < 1 ? 0 : even(v - 1); } // !recursion
uint fact(uint n) {
    return n < 2 ? 1 : n * fact(n - 1); // !recursion
}
// Overloads, other instances and members of the same name are no recursion.
float norm(float2 v) { return v.x + v.y; }
float norm(float4 v) { return norm(v.xy) + norm(v.zw); }
template <int N> int halves(int v) {
    if constexpr (N == 0) return v;
    else return halves<N - 1>(v / 2);
}
struct Box {
    float v;
    float get() const { return v; }
};
float get(Box b) { return b.get(); }
int use(int v) { return halves<3>(v); }
"#,
        &[],
    );
    let text: Vec<_> = findings.iter().map(|f| f.diagnostic.message.as_str()).collect();
    assert_eq!(text, ["recursion: even calls odd calls even", "recursion: fact calls fact"]);
}

#[test]
fn pointers_to_functions_and_pointers_to_nowhere() {
    check("float apply(float (*f)(float), float v) { // !function-pointer\n    return f(v);\n}\n", &[]);
    check(
        r#"
struct Item { float v; };
float first(const float *p) { return p[0]; } // !pointer-space
float second(device const float *p, thread Item &item) {
    const device float *q = p;
    float *r = q; // !pointer-space
    auto s = q;
    return item.v + s[1];
}
void third(Item &item) { item.v = 0; } // !pointer-space
template <typename P> float fourth(P p) { return p[3]; }
float fifth(threadgroup float (&tile)[4]) { return tile[0]; }
"#,
        &[],
    );
}

#[test]
fn kernels_that_ask_for_more_than_there_is() {
    let findings = check(
        r#"
constant constexpr uint N = 4096;
kernel void wide(device float *y [[buffer(0)]]) { // !threadgroup-memory
    threadgroup float a[N];
    threadgroup half b[N * 2], c;
    y[0] = a[1] + b[2] + c;
}
kernel void fits(device float *y [[buffer(0)]]) {
    threadgroup float a[2 * N];
    y[0] = a[1];
}
[[kernel, max_total_threads_per_threadgroup(2048)]] void many(device float *y [[buffer(0)]]) { y[0] = 1; } // !threads
kernel void far(device float *y [[buffer(30)]],
                device float *z [[buffer(31)]]) { y[0] = z[0]; } // !buffer-index
kernel void same(device float *y [[buffer(0)]],
                 device const float *x [[buffer(0)]]) { y[0] = x[0]; } // !buffer-index
"#,
        &[],
    );
    assert!(findings[0].diagnostic.message.contains("32784 bytes"), "{:?}", findings[0]);
    check(
        r#"
constant bool wide [[function_constant(0)]];
constant bool narrow [[function_constant(1)]];
kernel void either(device float *y [[buffer(0)]],
                   device const float *x [[buffer(1), function_constant(wide)]],
                   device const half *h [[buffer(1), function_constant(narrow)]]) {
    y[0] = wide ? x[0] : float(h[0]);
}
"#,
        &[],
    );
}

#[test]
fn vectors_where_they_cannot_be_aligned() {
    let findings = check(
        r#"
struct Block { half d; char qs[32]; };
kernel void k(device float4 *y [[buffer(0)]], device const float *x [[buffer(1)]], device const Block *w [[buffer(2)]],
              device const uchar *bytes [[buffer(3)]]) {
    float4 a = *(device const float4 *)(x + 4);
    float4 b = *(device const float4 *)(x + 2); // !alignment
    float2 c = *(device const float2 *)&x[3]; // !alignment
    uint d = *(device const uint *)w->qs; // !alignment
    ushort e = *(device const ushort *)w->qs;
    uint f = *(device const uint *)&w[3].qs[2]; // !alignment
    uint g = *reinterpret_cast<device const uint *>(bytes + 6); // !alignment
    uint h = *(device const uint *)bytes;
    packed_float3 p = *(device const packed_float3 *)(x + 1);
    y[0] = a + b + float4(c, float(d + f), float(e + g + h)) + p[0];
}
"#,
        &[],
    );
    assert!(findings[2].diagnostic.message.contains("byte 2 of Block"), "{:?}", findings[2]);
    assert!(findings[3].diagnostic.message.contains("34 bytes"), "{:?}", findings[3]);
}

#[test]
fn structs_that_differ_from_the_hosts() {
    let field = |name: &str, msl: &str, offset| FieldLayout { name: name.into(), msl: msl.into(), offset };
    let host = |fields: &[FieldLayout], bytes| [StructLayout { name: "P".into(), bytes, fields: fields.to_vec() }];
    let same = [field("n", "uint", 0), field("eps", "float", 4), field("v", "float4", 16)];
    let text = "struct P {\n    uint n;\n    float eps;\n    float4 v;\n};\n";
    check(text, &host(&same, 32));
    check(&text.replace("struct P {", "struct P { // !params"), &host(&same, 36));
    let offset = [field("n", "uint", 0), field("eps", "float", 4), field("v", "float4", 8)];
    check(&text.replace("float4 v;", "float4 v; // !params"), &host(&offset, 32));
    let kind = [field("n", "int", 0), field("eps", "float", 4), field("v", "float4", 16)];
    let findings = check(&text.replace("uint n;", "uint n; // !params"), &host(&kind, 32));
    assert_eq!(findings[0].diagnostic.message, "P: here uint n at byte 0, on the host int n at byte 0");
    check(&text.replace("float4 v;", "float4 v; // !params"), &host(&same[..2], 32));
    check(
        &text.replace("struct P {", "struct P { // !params"),
        &host(&[&same[..], &[field("k", "uint", 32)]].concat(), 32),
    );
}

#[test]
fn address_spaces_are_real() {
    let findings = check(
        r#"
struct P { uint n; float4 v; };
float own(thread const float *p) { return *p; }
float fixed(constant float *p) { return *p; }
constant float table[2] = {1.0, 2.0};
kernel void k(device float *y [[buffer(0)]], constant P &p [[buffer(1)]], device const float4 *x [[buffer(2)]],
              uint i [[thread_position_in_grid]]) {
    threadgroup float tile[32];
    float mine[4] = {1, 2, 3, 4};
    y[0] = own(mine) + fixed(table) + table[1];
    y[1] = own(y); // !types
    y[2] = fixed(y); // !types
    p.n = 3; // !types
    threadgroup float *t = mine; // !types
    device float *z = (device float *)tile; // !types
    y[3] = undeclared; // !types
    x[0] = float4(0); // !types
    half narrow = half(x[i].y) * 2.0h;
    P copy = p;
    float4 v = x[i].wzyx + copy.v.xyzw;
    v.xy = v.zw;
    tile[i] = simd_sum(v.x) + float(narrow);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    y[4] = tile[0] + dot(v, float4(1, 2.0, v.xy)) + float(as_type<uint>(v.y) >> 3);
}
"#,
        &[],
    );
    if let Some(f) = findings.first() {
        assert_eq!(f.diagnostic.column, 12, "the column is the user's");
        let note = f.diagnostic.note.as_deref().unwrap_or_default();
        assert!(note.contains("address space 'device'") && note.contains("address space 'thread'"), "{note}");
    }
}

#[test]
fn what_cannot_be_read_is_one_finding() {
    let report = lint("bad.metal", "kernel void k() {\n    int a = (1;\n}\n", &LintOptions::default());
    assert_eq!(found(&report.findings), [(3, "syntax".to_owned())]);
    assert!(!report.clean());
}

#[test]
fn a_place_in_a_header_and_in_a_macro_is_the_users() {
    let load = |name: &str, _: metallic_msl::IncludeForm, _: &str| {
        let text = "#define SQUARE(T, v) (T(v) * T(v))\ninline float f(float v) {\n    return float(double(v));\n}\n"
            .to_owned();
        Some(metallic_msl::Included { name: name.to_owned(), text })
    };
    let parse = ParseOptions { loader: &load, ..ParseOptions::default() };
    let text = "#include \"a.h\"\n\nkernel void k(device float *y) {\n    y[0] = f(SQUARE(double, 2));\n}\n";
    let report = lint("b.metal", text, &LintOptions { parse, ..LintOptions::default() });
    let places: Vec<_> = report.findings.iter().map(|f| (&*f.diagnostic.file, f.diagnostic.line, f.rule)).collect();
    assert_eq!(places, [("a.h", 3, "double"), ("b.metal", 4, "double")]);
}

#[test]
fn every_rule_has_a_test() {
    let tests = include_str!("lint_rules.rs");
    for (rule, _) in RULES.iter().filter(|(rule, _)| *rule != "syntax") {
        assert!(tests.contains(&format!("// !{rule}")), "{rule} has no bad source");
    }
}
