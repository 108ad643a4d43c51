#!/bin/sh
# Puts NVIDIA's run-time compiler and its headers into target/nvrtc, from Python wheels: no GPU, no driver, no root. Tests
# find it there; release builds need the printed line. Run again, it does nothing.
set -eu
version=13.0
root=$(cd "$(dirname "$0")/.." && pwd)
to=$root/target/nvrtc
library=$to/nvidia/cu13/lib/libnvrtc.so.13

if [ ! -f "$library" ] || [ ! -f "$to/nvidia/cu13/include/cuda_fp16.h" ]; then
    python=python3
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        "$python" -m venv "$root/target/nvrtc-venv"
        python=$root/target/nvrtc-venv/bin/python
    fi
    draft=$to.$$
    trap 'rm -rf "$draft"' EXIT
    "$python" -m pip install --quiet --disable-pip-version-check --no-deps --target "$draft" \
        "nvidia-cuda-nvrtc==$version.*" "nvidia-cuda-runtime==$version.*" "nvidia-cuda-cccl==$version.*" \
        "nvidia-cuda-crt==$version.*" >&2
    rm -rf "$to"
    mv "$draft" "$to"
fi
echo "export METALLIC_NVRTC=$library"
