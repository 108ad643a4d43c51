// y[r, g, i] = x[r, g, i] / sqrt(mean_i(x[r, g, i]^2) + eps) w[i]; x, y: m rows of `batch` groups of k float; w: (k).
// A threadgroup of SIMDS SIMD groups owns a group; a thread owns every (32 SIMDS)-th element, so that y may be x.
#include "params.h"
#include "simd.h"

[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void rms_norm(
    device float *y [[buffer(0)]],
    device const float *x [[buffer(1)]],
    device const float *w [[buffer(2)]],
    constant NormParams &p [[buffer(3)]],
    constant uint &rows [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup float slots[SIMDS];
    const uint r = group.y;
    if (r >= rows) {
        return;
    }
    device const float *from = x + ulong(r) * p.ldx + group.x * p.k;
    device float *to = y + ulong(r) * p.ldy + group.x * p.k;

    float squares = 0.0f;
    for (uint i = thread_index; i < p.k; i += LANES * SIMDS) {
        squares = fma(from[i], from[i], squares);
    }
    const Place at = {thread_index, lane, simd, SIMDS};
    const float total = threadgroup_sum(squares, slots, at);

    const float scale = 1.0f / precise::sqrt(total / float(p.k) + p.eps);
    for (uint i = thread_index; i < p.k; i += LANES * SIMDS) {
        to[i] = from[i] * scale * w[i];
    }
}
