//! What lowering refuses, with the line that the user wrote.

use metallic_msl::{LowerOptions, ParseOptions, Target, Unit};

/// Every problem of lowering the kernel `k`, as `line: message`.
fn problems(body: &str) -> String {
    let text = format!("#include <metal_stdlib>\nusing namespace metal;\n{body}\n");
    let unit = Unit::parse("refused.metal", &text, &ParseOptions::default()).unwrap();
    let lower = |target| unit.lower(target, &LowerOptions { entry: "k", ..LowerOptions::default() });
    let [host, cuda] = [Target::Host, Target::Cuda].map(|t| lower(t).err().map(|e| e.to_string()).unwrap_or_default());
    assert_eq!(host, cuda);
    host
}

#[test]
fn threadgroup_variables_with_initializers() {
    for declaration in [
        "threadgroup float x = 1;",
        "threadgroup float x{1};",
        "threadgroup float y, x = 1;",
        "threadgroup int x[2] = {1, 2};",
    ] {
        let body = format!("kernel void k(device float *o [[buffer(0)]]) {{\n    {declaration}\n    o[0] = 1;\n}}");
        let told = problems(&body);
        assert!(
            told.contains("refused.metal:4:") && told.contains("cannot be initialized where it is declared"),
            "{declaration}: {told:?}"
        );
    }
}

#[test]
fn threadgroup_pointers_may_have_one() {
    let body = "kernel void k(device float *o [[buffer(0)]]) {\n    threadgroup float x[4];\n    threadgroup float *p = x;\n    \
                threadgroup float a[2], *q = p + 1;\n    a[0] = *q; o[0] = a[0];\n}";
    assert_eq!(problems(body), "");
}

#[test]
fn qualified_names_of_the_library_are_not() {
    let body = "kernel void k(device float *o [[buffer(0)]], metal::uint2 i [[thread_position_in_grid]]) {\n    \
                o[i.x] = metal::simd_sum(o[i.x]) + metal::quad_prefix_exclusive_sum(1.0f) + metal::fast::exp2(1.0f);\n    \
                o[i.y] = metal::unpack_snorm2x16_to_half(3).x + metal::float2x4(1.0f)[0][0];\n}";
    assert_eq!(problems(body), "");
    let told = problems("kernel void k(device float *o [[buffer(0)]]) { o[0] = metal::erf(1.0f); }");
    assert!(told.contains("metal::erf is not supported"), "{told:?}");
}
