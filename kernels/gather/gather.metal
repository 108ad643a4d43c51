// y[r, j] = x[index[r], j]; y: (m, k), x: (any, k) float; index: (m).
// A thread owns one element of y.
#include "params.h"

#include <metal_stdlib>
using namespace metal;

[[kernel, max_total_threads_per_threadgroup(TG)]] void gather_rows(
    device float *y [[buffer(0)]],
    device const float *x [[buffer(1)]],
    device const int *index [[buffer(2)]],
    constant GatherParams &p [[buffer(3)]],
    constant uint &rows [[buffer(4)]],
    uint3 at [[thread_position_in_grid]]) {
    const uint r = at.y, j = at.x;
    if (r >= rows || j >= p.k) {
        return;
    }
    y[ulong(r) * p.k + j] = x[ulong(index[r]) * p.k + j];
}
