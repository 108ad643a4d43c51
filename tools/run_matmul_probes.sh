#!/usr/bin/env bash
# Every enabled variant of matmul on the shapes of a model, checked, timed beside the vendor's library, and held against the
# device's limits: `metallic probe` as the environment asks.
#
# usage: METAL_RUN=1 tools/run_matmul_probes.sh [SPEC...] [FLAG...]
#   SPEC, FLAG          as of `metallic probe`; without any qwen2.5-0.5b and small-n
#   METAL_RUN           1 or true runs; 0, false or nothing lists the shapes and variants
#   MATMUL_BACKENDS     families that take part, with commas between, e.g. mlx,gemv (all)
#   MATMUL_BENCH_ITERS  rounds
#   METALLIC_BIN        the program (built by cargo where absent)
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export METAL_RUN=${METAL_RUN:-0}
bin=${METALLIC_BIN:-}

if [[ -z $bin ]]; then
    (cd "$root" && cargo build --release)
    bin=${CARGO_TARGET_DIR:-$root/target}/release/metallic
fi
[[ $# -gt 0 ]] || set -- qwen2.5-0.5b small-n
exec "$bin" probe "$@"
