//! The C++17 support library that lowered text begins with, and what has to stand around it (`support/README.md`).

use crate::Target;

const HOST: &[(&str, &str)] = &[
    ("host_abi.h", include_str!("../support/host_abi.h")),
    ("host.h", include_str!("../support/host.h")),
    ("types.h", TYPES),
    ("vec.h", VEC),
    ("math.h", MATH),
    ("integer.h", INTEGER),
    ("simd.h", SIMD),
    ("atomic.h", ATOMIC),
    ("matrix.h", MATRIX),
    ("simdgroup_matrix.h", SIMDGROUP_MATRIX),
    ("pack.h", PACK),
];

const CUDA: &[(&str, &str)] = &[
    ("cuda.h", include_str!("../support/cuda.h")),
    ("types.h", TYPES),
    ("vec.h", VEC),
    ("once.h", include_str!("../support/once.h")),
    ("math.h", MATH),
    ("integer.h", INTEGER),
    ("simd.h", SIMD),
    ("atomic.h", ATOMIC),
    ("matrix.h", MATRIX),
    ("simdgroup_matrix.h", SIMDGROUP_MATRIX),
    ("pack.h", PACK),
];

const TYPES: &str = include_str!("../support/types.h");
const VEC: &str = include_str!("../support/vec.h");
const MATH: &str = include_str!("../support/math.h");
const INTEGER: &str = include_str!("../support/integer.h");
const SIMD: &str = include_str!("../support/simd.h");
const ATOMIC: &str = include_str!("../support/atomic.h");
const MATRIX: &str = include_str!("../support/matrix.h");
const SIMDGROUP_MATRIX: &str = include_str!("../support/simdgroup_matrix.h");
const PACK: &str = include_str!("../support/pack.h");

/// The headers of the support library for `target`, by name, in the order in which they are to be concatenated. None
/// includes another, and none includes a system header.
pub fn support(target: Target) -> &'static [(&'static str, &'static str)] {
    match target {
        Target::Host => HOST,
        Target::Cuda => CUDA,
    }
}
