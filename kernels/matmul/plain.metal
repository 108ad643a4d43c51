// y[r, j] = f(alpha sum_i x[r, i] w[j, i] + bias[j]) + beta y[r, j]; w: (n, k) of W; x: (m, k), y: (m, n), bias: (n) float; sums in float.
// A SIMD group owns one output, a lane every 32nd element of k.
#include "epilogue.h"
#include "params.h"
#include "simd.h"
#include "weights.h"

template <typename W>
[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void plain(
    device float *y [[buffer(0)]],
    device const float *x [[buffer(1)]],
    device const W *w [[buffer(2)]],
    device const float *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    const uint r = group.y, j = group.x * SIMDS + simd;
    if (r >= rows || j >= p.n) {
        return;
    }
    device const float *from = x + ulong(r) * p.ldx;

    float sum = 0.0f;
    for (uint i = lane; i < p.k; i += LANES) {
        sum = fma(from[i], weight(w, p.n, p.k, j, i), sum);
    }
    sum = simd_sum(sum);

    if (lane == 0) {
        store_output(y, r, j, sum, bias, p);
    }
}

template [[host_name("plain_f32")]] [[kernel]] decltype(plain<float>) plain<float>;
template [[host_name("plain_bf16")]] [[kernel]] decltype(plain<bfloat>) plain<bfloat>;
