// y[r, j] = silu(g[r, j]) g[r, k + j]; y: (m, k), g: (m, 2 k) float.
// A thread owns one element of y.
#include "math.h"
#include "params.h"

[[kernel, max_total_threads_per_threadgroup(TG)]] void swiglu(
    device float *y [[buffer(0)]],
    device const float *g [[buffer(1)]],
    constant SwigluParams &p [[buffer(2)]],
    constant uint &rows [[buffer(3)]],
    uint3 at [[thread_position_in_grid]]) {
    const uint r = at.y, j = at.x;
    if (r >= rows || j >= p.k) {
        return;
    }
    device const float *from = g + ulong(r) * 2 * p.k;
    y[ulong(r) * p.k + j] = silu(from[j]) * from[p.k + j];
}
