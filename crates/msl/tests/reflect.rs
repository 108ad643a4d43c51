//! What is known of kernels without running them, against what the Metal specification says.

use std::path::Path;

use metallic_msl::{
    Access, AddressSpace, Arg, ArgKind, Buffer, Directories, Entry, Error, Indirection, NoIncludes, ParseOptions, Unit,
};

fn parse(text: &str) -> Result<Unit, Error> {
    Unit::parse("test.metal", text, &ParseOptions::default())
}

fn unit(text: &str) -> Unit {
    parse(text).unwrap_or_else(|e| panic!("{e}"))
}

fn style(name: &str) -> Unit {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public_styles");
    let text = std::fs::read_to_string(folder.join(name)).unwrap();
    let loader = Directories(vec![folder]);
    Unit::parse(name, &text, &ParseOptions { loader: &loader, ..ParseOptions::default() })
        .unwrap_or_else(|e| panic!("{e}"))
}

fn names(unit: &Unit) -> Vec<&str> {
    unit.entries().iter().map(|e| e.name.as_str()).collect()
}

/// An argument in short: index, space, access, indirection, element and its size.
fn short(arg: &Arg) -> String {
    match &arg.kind {
        ArgKind::Buffer(Buffer { index, space, access, by, element }) => {
            let space = if *space == AddressSpace::Device { "device" } else { "constant" };
            let access = if *access == Access::Read { "read" } else { "write" };
            let by = if *by == Indirection::Pointer { "*" } else { "&" };
            let size = element.size.map_or("?".to_owned(), |s| s.to_string());
            format!("{}: buffer {index} {space} {access} {}{by} {size}", arg.name, element.text)
        }
        ArgKind::Threadgroup { index, element } => {
            format!("{}: threadgroup {index} {} {}", arg.name, element.text, element.size.unwrap_or(0))
        }
        ArgKind::Builtin { builtin, width } => format!("{}: {builtin:?} {width}", arg.name),
        ArgKind::Unsupported { what } => format!("{}: unsupported: {what}", arg.name),
    }
}

#[track_caller]
fn takes(entry: &Entry, expected: &[&str]) {
    let got: Vec<String> = entry.args.iter().map(short).collect();
    assert_eq!(got, expected, "{}", entry.name);
}

#[test]
fn buffers_and_builtins() {
    let u = unit(
        "#include <metal_stdlib>\nusing namespace metal;\n\
         struct P { uint n; float3 scale; packed_half3 h; bool on; };\n\
         kernel void k(device const half* x [[buffer(0)]], const device float4 * y, constant P& p [[buffer(2)]],\n\
           device atomic_uint& count [[buffer(5)]], constant float m[4] [[buffer(4)]], constant packed_float3* q,\n\
           threadgroup float4* t [[threadgroup(1)]], uint2 id [[thread_position_in_grid]], ushort lane [[thread_index_in_simdgroup]],\n\
           metal::uint3 groups [[threadgroups_per_grid]]) {}",
    );
    let k = u.entry("k").unwrap();
    takes(
        k,
        &[
            "x: buffer 0 device read half* 2",
            "y: buffer 1 device read float4* 16",
            "p: buffer 2 constant read P& 48",
            "count: buffer 5 device write atomic_uint& 4",
            "m: buffer 4 constant read float* 4",
            "q: buffer 3 constant read packed_float3* 12",
            "t: threadgroup 1 float4 16",
            "id: ThreadPositionInGrid 2",
            "lane: ThreadIndexInSimdgroup 1",
            "groups: ThreadgroupsPerGrid 3",
        ],
    );
    assert_eq!((k.place.line, k.place.column), (4, 13));
    assert_eq!((k.args[2].place.line, k.args[2].place.column), (4, 88));
}

#[test]
fn forms_of_arguments() {
    let u = style("argument_forms.metal");
    assert_eq!(names(&u), ["by_struct", "implicit_indices", "named", "sizes", "with_texture"]);
    takes(
        u.entry("by_struct").unwrap(),
        &[
            "in.a: buffer 2 device read float* 4",
            "in.b: buffer 0 device write float* 4",
            "in.n: buffer 1 constant read uint& 4",
            "gid: ThreadPositionInGrid 1",
        ],
    );
    takes(
        u.entry("implicit_indices").unwrap(),
        &[
            "first: buffer 1 device write float* 4",
            "second: buffer 0 constant read int& 4",
            "third: buffer 2 device write float* 4",
            "scratch: threadgroup 1 float 4",
            "pair: threadgroup 0 float2 8",
            "where: ThreadPositionInThreadgroup 2",
            "size: ThreadsPerGrid 2",
        ],
    );
    let named = u.entry("named").unwrap();
    assert_eq!(named.function, "outer::in_namespace");
    takes(
        named,
        &[
            "table: buffer 3 device read float[16]& 64",
            "weights: buffer 1 constant read float[4]& 16",
            "counters: buffer 7 device write atomic_int* 4",
            "tid: ThreadgroupPositionInGrid 3",
            "lane: ThreadIndexInSimdgroup 1",
            "width: ThreadsPerSimdgroup 1",
        ],
    );
    // float3 16, packed_float3 12, half4x4 32 at 32, a union of 4, three ushorts: 76, rounded up to 80.
    let ArgKind::Buffer(nested) = &u.entry("sizes").unwrap().args[0].kind else { panic!() };
    assert_eq!((nested.element.size, nested.element.align), (Some(80), Some(16)));
    takes(
        u.entry("with_texture").unwrap(),
        &["image: unsupported: a [[texture]] argument", "p: ThreadPositionInGrid 2"],
    );
}

#[test]
fn names_and_instantiations() {
    let u = style("mlx_softmax.metal");
    assert_eq!(names(&u).len(), 6);
    let k = u.entry("block_softmax_precise_float16").unwrap();
    assert_eq!(k.function, "softmax_single_row<half, float>");
    assert_eq!(short(&k.args[1]), "out: buffer 1 device write half* 2");
    assert_eq!(k.threadgroup_bytes, Some(256));
    assert_eq!(k.place.line, 83, "the line of the macro's use");
    assert_eq!(u.entry("block_softmax_float16").unwrap().threadgroup_bytes, Some(128));

    let u = style("ggml_quant.metal");
    assert_eq!(
        names(&u),
        ["kernel_get_rows_q4_0", "kernel_get_rows_q8_0", "kernel_get_rows_q4_K", "kernel_mul_mv_q8_0_f32"]
    );
    let k = u.entry("kernel_get_rows_q4_K").unwrap();
    assert_eq!(short(&k.args[0]), "args: buffer 0 constant read ggml_metal_kargs_rows& 48");
    assert_eq!(short(&k.args[3]), "dst: buffer 3 device write float* 4");

    let u = style("scan_histogram.metal");
    assert_eq!(names(&u), ["histogram", "exclusive_scan_u32", "exclusive_scan_f32", "atomic_max_float"]);
    assert_eq!(u.entry("exclusive_scan_f32").unwrap().max_threads, Some(1024));
    assert_eq!(u.entry("histogram").unwrap().threadgroup_bytes, Some(1024));
    assert_eq!(u.entry("histogram").unwrap().function_constants, [0]);
}

#[test]
fn function_constants_and_attributes() {
    let u = style("steel_gemm.metal");
    let constants: Vec<_> =
        u.function_constants().iter().map(|c| (c.name.as_str(), c.index, c.type_text.as_str())).collect();
    assert_eq!(constants, [("align_M", 200, "bool"), ("align_N", 201, "bool"), ("do_axpby", 110, "bool")]);
    let k = u.entry("steel_gemm_nt_bfloat16_bm32_bn64_bk16_wm1_wn2").unwrap();
    assert_eq!(k.max_threads, Some(64));
    // 32 and 64 rows of 16 + 8 elements of two bytes.
    assert_eq!(k.threadgroup_bytes, Some((32 + 64) * 24 * 2));
    assert_eq!(k.args[4].condition.as_deref(), Some("use_axpby"));
    assert_eq!(k.function_constants, [0, 1, 2]);
    let u = style("ggml_softmax.metal");
    let indices: Vec<_> = u.function_constants().iter().map(|c| c.index).collect();
    assert_eq!(indices, [300, 301]);
}

#[test]
fn threadgroup_sizes() {
    let bytes = |body: &str| {
        let text = format!(
            "struct S {{ char c; float f; }}; constant int N = 8 * 2; template <typename T, int M> kernel void k(device T* p) {{ {body} }}\ntemplate [[host_name(\"k\")]] kernel void k<half, 3>(device half*);"
        );
        unit(&text).entry("k").unwrap().threadgroup_bytes
    };
    assert_eq!(bytes("threadgroup float a[N], b[4][M];"), Some(64 + 48));
    assert_eq!(bytes("constexpr int W = M + 5; threadgroup T a[W * 4]; { threadgroup S s[2]; }"), Some(64 + 16));
    assert_eq!(
        bytes("threadgroup T* q = (threadgroup T*)p; threadgroup const float& r = *(threadgroup float*)p;"),
        Some(0)
    );
    assert_eq!(bytes("threadgroup Unknown a[2];"), None);
    assert_eq!(bytes("threadgroup atomic_int a[(N >> 2) + (M > 2 ? 1 : 0)];"), Some(32));
}

#[track_caller]
fn fails(text: &str, expected: &str) {
    let got = parse(text).map(|_| ()).unwrap_err().to_string();
    assert!(got.contains(expected), "{got:?} does not contain {expected:?}");
}

#[test]
fn what_is_wrong_is_named_at_its_line() {
    fails("kernel void a() {}\nkernel void a() {}", "test.metal:2:13: error: two kernels are called \"a\"");
    fails("\n\nkernel void a( {}", "test.metal:3:14: error: this ( is never closed");
    fails("void f() { [ } ]", "test.metal:1:14: error: this } does not close the last open bracket");
    fails("int x", "this declaration has no closing ;");
    fails("+ 1;", "a declaration cannot begin with \"+\"");
    fails(
        "constant int a [[function_constant(0)]];\nconstant int b [[function_constant(0)]];",
        "test.metal:2:14: error: two function constants",
    );
    fails("constant int a [[function_constant(f(x))]];", "is not a constant number");
    fails("template [[host_name(\"x\")]] kernel void nothing<int>();", "no kernel template makes nothing<int>");
    fails("#include \"missing.h\"", "include file \"missing.h\" is not found");
    let options = ParseOptions { loader: &NoIncludes, defines: &[("BROKEN(", "1")], ..ParseOptions::default() };
    assert!(Unit::parse("t", "", &options).is_err());
}
