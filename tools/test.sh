#!/usr/bin/env bash
# Runs every test: tools/test.sh [arguments of cargo test]
#
# Beyond Rust and a C compiler the tests of the Metal front end want a clang (emulator, lint) and NVIDIA's run-time compiler
# (proof that every kernel compiles for CUDA; no GPU). Both are set up first: as a system package by root, as a Python wheel
# inside target/ by anyone else. Where one cannot be had, its tests say so loudly, and all others run.
set -euo pipefail
cd "$(dirname "$0")/.."
tools=$PWD/target/tools
refused() { printf '\n*** refused: %s\n*** %s\n\n' "$1" "$2" >&2; }

have_clang() {
    [ -n "${METALLIC_CLANG:-}" ] && return
    for name in clang++ clang++-{22,21,20,19,18,17,16,15,14}; do command -v "$name" >/dev/null && return; done
    return 1
}

clang_by_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "installing clang (apt-get) ..." >&2
    { apt-get install -qq -y clang || { apt-get update -qq && apt-get install -qq -y clang; }; } >"$tools/clang.log" 2>&1
}

# The ziglang wheel carries a whole clang and needs no root.
clang_by_wheel() {
    command -v python3 >/dev/null || return 1
    if ! [ -x "$tools/clang++" ]; then
        echo "installing clang (ziglang wheel, into target/tools) ..." >&2
        python3 -m pip install -q --target "$tools/ziglang" ziglang >"$tools/clang.log" 2>&1 || return 1
        printf '#!/bin/sh\nPYTHONPATH=%q exec python3 -m ziglang c++ "$@"\n' "$tools/ziglang" >"$tools/clang++"
        chmod +x "$tools/clang++"
    fi
    export METALLIC_CLANG=$tools/clang++
}

mkdir -p "$tools"
have_clang || clang_by_package || clang_by_wheel ||
    refused "the emulator and the lint: no clang, and neither apt-get nor pip gave one" "install clang 14 or newer, or set METALLIC_CLANG"
if [ -z "${METALLIC_NVRTC:-}" ] && setting=$(tools/install_nvrtc.sh); then eval "$setting"; fi
[ -n "${METALLIC_NVRTC:-}" ] || refused "compilation for CUDA: no libnvrtc" "tools/install_nvrtc.sh says why; or set METALLIC_NVRTC"

exec cargo test --workspace "$@"
