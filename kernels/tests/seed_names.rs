//! The kernel families that the probe promises, written out once: each name is in its op's manifest, enabled or not as here.
//!
//! A name that goes, or changes its state, breaks every table of measurements that names it.

use metallic_kernels::OPS;

/// Families of matmul: what is offered without being asked for. `{a,b}` stands for either.
const ENABLED: [(&str, &[&str]); 8] = [
    (
        "mlx",
        &[
            "baseline",
            "baseline_nn",
            "m1_fast_{nt,nn,tn,tt}",
            "bk64_{nt,nn,tn,tt}",
            "nn_fast",
            "nn_wide",
            "nn_transposed",
        ],
    ),
    ("gemv", &["baseline", "smalln", "smalln_n{1,2,4,8,16}"]),
    ("gemm_tiled", &["baseline"]),
    ("m1_optimized", &[]),
    (
        "m1_optimized_v2",
        &["nt_bn{64,128}_col", "nt_bn{64,128}_col_bk{64,128}_tg128", "nt_bn{64,128}_col_vec4_bk{64,128}_tg128"],
    ),
    ("m1_optimized_v3", &["nt_bn{64,128}_col_vec4_tgread_bk{64,128}_tg128", "nt_bn128_col_vec4_sgbr_bk64_tg128"]),
    (
        "m1_optimized_v4",
        &[
            "nt_bn256_col_vec4_tgread_bk{64,128}_tg128",
            "nt_tiny_bn64_tg64",
            "nt_tiny_bn32_tg64",
            "nt_bn{4,8,16}_largek_smalln_tg256",
            "nt_bn8_largek_smalln_tg128",
        ],
    ),
    (
        "m1_optimized_v5",
        &["nt_ultra_tiny_bn32_tg32", "nt_ultra_tiny_single_tg32", "nt_bn{4,8,16}_largek_smalln_tg{256,512}"],
    ),
];

/// The same for what runs only where it is asked for.
const DISABLED: [(&str, &[&str]); 3] = [
    ("m1_optimized", &["simd_basic", "simd_tiled_{1,2,4}"]),
    ("m1_optimized_v2", &["nt_bn{64,128}_col_bt_bk{64,128}_tg128", "nt_bn{64,128}_col_bk64_tg64", "nt_bn{64,128}_row"]),
    (
        "m1_optimized_v3",
        &[
            "nt_bn64_col_vec4_sgbr_bk64_tg128",
            "nt_bn{64,128}_col_vec4_sgbr_bk128_tg128",
            "nt_bn256_col_vec4_sgbr_bk{64,128}_tg128",
            "nt_bn{64,128}_col_vec4_tgread_bk64_tg64",
            "nt_bn{64,128}_col_vec4_tgread_vA_bk{64,128}_tg128",
            "nt_bn{64,128}_col_vec4_tgread_vA_bk64_tg64",
            "nt_bn{64,128}_col_vec4_tgread_unroll16_bk64_tg128",
            "nt_bn{64,128}_col_vec4_tgread_vA_unroll16_bk64_tg128",
        ],
    ),
];

/// Families of softmax, which have a variant a type and size of row.
const SOFTMAX: [&str; 2] = ["vec", "block"];

/// Every name that `{..}` stands for.
fn expand(pattern: &str) -> Vec<String> {
    let Some((before, rest)) = pattern.split_once('{') else { return vec![pattern.to_owned()] };
    let (choices, after) = rest.split_once('}').unwrap();
    choices.split(',').flat_map(|choice| expand(&format!("{before}{choice}{after}"))).collect()
}

fn names(list: &[(&str, &[&str])]) -> Vec<String> {
    let patterns = list.iter().flat_map(|(family, names)| names.iter().map(move |name| format!("{family}/{name}")));
    patterns.flat_map(|pattern| expand(&pattern)).collect()
}

#[test]
fn every_promised_matmul_is_in_the_manifest() {
    let op = OPS.iter().find(|op| op.name == "matmul").unwrap();
    let variants = op.variants().unwrap();
    let (enabled, disabled) = (names(&ENABLED), names(&DISABLED));
    for (list, state) in [(&enabled, true), (&disabled, false)] {
        for name in list {
            let found = variants.iter().find(|v| v.id() == *name).unwrap_or_else(|| panic!("{name} is not there"));
            assert_eq!(found.enabled, state, "{name}");
        }
    }
    // And no such family has a name more, of which nobody promised anything.
    for v in variants.iter().filter(|v| ENABLED.iter().any(|(family, _)| *family == v.family)) {
        assert!(enabled.contains(&v.id()) || disabled.contains(&v.id()), "{} is not in this list", v.id());
    }
}

/// Epilogues are fused on every path, and every problem of one row is taken by every kernel for one row.
#[test]
fn every_promised_matmul_has_the_whole_epilogue() {
    let op = OPS.iter().find(|op| op.name == "matmul").unwrap();
    let variants = op.variants().unwrap();
    for v in variants.iter().filter(|v| ENABLED.iter().any(|(family, _)| *family == v.family)) {
        let s = &v.supports;
        assert!(s.bias && s.activation && s.accumulate && s.scaled && s.batch, "{}", v.id());
    }
}

#[test]
fn both_ways_of_softmax_are_there_for_both_types() {
    let op = OPS.iter().find(|op| op.name == "softmax").unwrap();
    let variants = op.variants().unwrap();
    for (family, act) in SOFTMAX.iter().flat_map(|family| ["f16", "f32"].map(|act| (family, act))) {
        let takes = |list: &Option<Vec<String>>| list.as_ref().is_some_and(|l| l.iter().any(|d| d == act));
        let found: Vec<_> =
            variants.iter().filter(|v| v.family == *family && v.enabled && takes(&v.supports.acts)).collect();
        assert!(found.iter().any(|v| v.supports.causal && v.supports.batch), "{family} {act}");
    }
}
