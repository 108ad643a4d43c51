#!/usr/bin/env bash
# Every enabled variant of matmul on the shapes of a model, checked, timed beside the vendor's library, and held against the
# device's limits: `metallic probe` as the environment asks.
#
# usage: METAL_RUN=1 tools/run_matmul_probes.sh [SPEC...] [FLAG...]
#   SPEC, FLAG          as of `metallic probe`, specs first; qwen2.5-0.5b and small-n where neither a spec nor a shape is given
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
    # Cargo, which ran in the root, takes a relative folder from there.
    target=${CARGO_TARGET_DIR:-target}
    [[ $target == /* ]] || target=$root/$target
    bin=$target/release/metallic
fi
if [[ ${1:--} == -* && " $* " != *" --op"[\ =]* && " $* " != *" --from"[\ =]* && " $* " != *" --roofline "* ]]; then
    set -- qwen2.5-0.5b small-n "$@"
fi
exec "$bin" probe "$@"
