// y[r, j] = w[ids[r], j]; y: (m, k) float; ids: (m); w: (n, k) of float, half, q8_0 blocks or q8_0 planes.
// A thread owns one element of y.
#include "params.h"
#include "quant.h"

// Element (row, j) of a table of n rows of k.
inline float element(device const float *w, uint, uint k, uint row, uint j) {
    return w[ulong(row) * k + j];
}

inline float element(device const half *w, uint, uint k, uint row, uint j) {
    return float(w[ulong(row) * k + j]);
}

inline float element(device const BlockQ8 *w, uint, uint k, uint row, uint j) {
    device const BlockQ8 &block = w[ulong(row) * (k / 32) + j / 32];
    return float(block.d) * float(block.quants[j % 32]);
}

// Planes: the quants of all rows, then their scales.
inline float element(device const char *w, uint n, uint k, uint row, uint j) {
    device const half *scales = (device const half *)(w + ulong(n) * k);
    return float(scales[ulong(row) * (k / 32) + j / 32]) * float(w[ulong(row) * k + j]);
}

template <typename W>
[[kernel, max_total_threads_per_threadgroup(TG)]] void embed(
    device float *y [[buffer(0)]],
    device const int *ids [[buffer(1)]],
    device const W *w [[buffer(2)]],
    constant EmbedParams &p [[buffer(3)]],
    constant uint &rows [[buffer(4)]],
    uint3 at [[thread_position_in_grid]]) {
    const uint r = at.y, j = at.x;
    if (r >= rows || j >= p.k) {
        return;
    }
    y[ulong(r) * p.k + j] = element(w, p.n, p.k, uint(ids[r]), j);
}

template [[host_name("embed_f32")]] [[kernel]] decltype(embed<float>) embed<float>;
template [[host_name("embed_f16")]] [[kernel]] decltype(embed<half>) embed<half>;
template [[host_name("embed_q8")]] [[kernel]] decltype(embed<BlockQ8>) embed<BlockQ8>;
template [[host_name("embed_q8_planes")]] [[kernel]] decltype(embed<char>) embed<char>;
