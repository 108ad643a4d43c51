// One element of a weight matrix of any form that kernels here know: n rows of k.
#pragma once

#include "quant.h"

inline float weight(device const float *w, uint, uint k, uint row, uint i) {
    return w[ulong(row) * k + i];
}

inline float weight(device const half *w, uint, uint k, uint row, uint i) {
    return float(w[ulong(row) * k + i]);
}

inline float weight(device const bfloat *w, uint, uint k, uint row, uint i) {
    return float(w[ulong(row) * k + i]);
}

inline float weight(device const BlockQ8 *w, uint, uint k, uint row, uint i) {
    device const BlockQ8 &block = w[ulong(row) * (k / 32) + i / 32];
    return float(block.d) * float(block.quants[i % 32]);
}

// Planes: the quants of all rows, then their scales.
inline float weight(device const char *w, uint n, uint k, uint row, uint i) {
    device const half *scales = (device const half *)(w + ulong(n) * k);
    return float(scales[ulong(row) * (k / 32) + i / 32]) * float(w[ulong(row) * k + i]);
}
