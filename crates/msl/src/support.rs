//! The C++17 support library that lowered text begins with, and what has to stand around it (`support/README.md`).

use crate::Target;

/// What the targets have in common.
const COMMON: &[(&str, &str)] = &[
    ("types.h", include_str!("../support/types.h")),
    ("vec.h", include_str!("../support/vec.h")),
    ("math.h", include_str!("../support/math.h")),
    ("integer.h", include_str!("../support/integer.h")),
    ("simd.h", include_str!("../support/simd.h")),
    ("atomic.h", include_str!("../support/atomic.h")),
    ("matrix.h", include_str!("../support/matrix.h")),
    ("simdgroup_matrix.h", include_str!("../support/simdgroup_matrix.h")),
    ("pack.h", include_str!("../support/pack.h")),
];

const HOST: &[(&str, &str)] =
    &[("host_abi.h", include_str!("../support/host_abi.h")), ("host.h", include_str!("../support/host.h"))];

const CUDA: &[(&str, &str)] = &[("cuda.h", include_str!("../support/cuda.h"))];

/// What CUDA has besides, made of vectors.
const CUDA_BESIDES: &[(&str, &str)] = &[("once.h", include_str!("../support/once.h"))];

/// The headers of the support library for `target`, by name and text, in the order in which they are to be concatenated.
/// None includes another, and none includes a system header.
pub fn support(target: Target) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (first, last) = match target {
        Target::Host => (HOST, &[][..]),
        Target::Cuda => (CUDA, CUDA_BESIDES),
    };
    first.iter().chain(COMMON).chain(last).copied()
}
