#!/usr/bin/env bash
# Statistics of generation speed for FP16 and Q8: min, average and max of "TPS Total" (tokens generated a second, the
# prompt's time included) and "TPS Decode" (tokens a second after the first), over ITERATIONS runs.
#
# usage: tools/run_throughput.sh [MODEL_FP16 [MODEL_Q8]]
#   MODEL_FP16, MODEL_Q8  models to run; where absent, ones of SHAPE with random weights are written (speed is the same)
#   SHAPE                 shape of those (qwen2.5-0.5b)
#   ITERATIONS            runs of each model (5)
#   MAX_TOKENS            tokens to generate in each (50)
#   PROMPT                text to continue
#   OUT                   folder of metallic-throughput-fp16.txt and metallic-throughput-q8.txt (target)
#   METALLIC_BIN          the program (built by cargo where absent)
#   METALLIC_ARGS         further flags, e.g. "--threads 2 --without amx"
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
fp16=${1:-${MODEL_FP16:-}}
q8=${2:-${MODEL_Q8:-}}
shape=${SHAPE:-qwen2.5-0.5b}
iterations=${ITERATIONS:-5}
max_tokens=${MAX_TOKENS:-50}
prompt=${PROMPT:-Once upon a time there was an engine that read every weight once.}
out=${OUT:-target}
bin=${METALLIC_BIN:-}
read -ra extra <<<"${METALLIC_ARGS:-}"

mkdir -p "$out"
if [[ -z $bin ]]; then
    (cd "$root" && cargo build --release)
    bin=${CARGO_TARGET_DIR:-$root/target}/release/metallic
fi
if [[ -z $fp16 ]]; then
    fp16=$out/$shape-f16.gguf
    [[ -f $fp16 ]] || "$bin" synth "$shape" "$fp16" --dtype f16
fi
if [[ -z $q8 ]]; then
    q8=$out/$shape-q8_0.gguf
    [[ -f $q8 ]] || "$bin" synth "$shape" "$q8" --dtype q8_0
fi

# The number after "NAME: " in the summary line.
figure() { sed -n "s/.*$1: \([0-9.]*\).*/\1/p"; }

statistics() {
    awk -v name="$1" '
        { if (NR == 1 || $1 < min) min = $1; if (NR == 1 || $1 > max) max = $1; sum += $1 }
        END { if (NR == 0) exit 1; printf "%-11s min %.2f  avg %.2f  max %.2f  (%d runs)\n", name ":", min, sum / NR, max, NR }'
}

# Runs the program; where it fails, shows what it said.
run() {
    local said
    if ! said=$("$bin" "$@" --output-format none --seed 42 "${extra[@]}" 2>&1); then
        echo "$said" >&2
        return 1
    fi
    echo "$said"
}

measure() {
    local model=$1 file=$2 line i
    local totals=() decodes=()
    {
        echo "model: $model"
        echo "command: metallic MODEL PROMPT -n $max_tokens --ignore-eos --output-format none --seed 42 ${extra[*]-}"
        "$bin" devices | head -n 1
    } >"$file"
    # One run to bring the file into the page cache; it is not counted.
    run "$model" "$prompt" -n 1 >/dev/null
    for ((i = 1; i <= iterations; i++)); do
        line=$(run "$model" "$prompt" -n "$max_tokens" --ignore-eos)
        echo "run $i: $line" >>"$file"
        totals+=("$(figure 'TPS Total' <<<"$line")")
        decodes+=("$(figure 'TPS Decode' <<<"$line")")
    done
    printf '%s\n' "${totals[@]}" | statistics 'TPS Total' >>"$file"
    printf '%s\n' "${decodes[@]}" | statistics 'TPS Decode' >>"$file"
}

report() {
    local label=$1 model=$2 file=$3
    measure "$model" "$file"
    echo "$label ($model)"
    grep '^TPS ' "$file"
}

report FP16 "$fp16" "$out/metallic-throughput-fp16.txt"
report Q8 "$q8" "$out/metallic-throughput-q8.txt"
