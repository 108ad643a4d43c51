// y[r, j] = f(alpha sum_i x[r, i] w[j, i] (+ bias[j])) (+ beta y[r, j]); x: (m, k), w: (k, n) or (n, k), as the arguments say; y: (m, n), bias: (n); n = N, a handful; all half, sums in float.
// A SIMD group owns a row of y, a lane every 32nd eight elements of k for all of its outputs.
#include "epilogue.h"
#include "params.h"
#include "reduce.h"
#include "tile.h"

// The weights of eight steps of k, from 8 c on, as they lie in memory: (k, n) all together, (n, k) eight elements of each line.
template <uint N>
inline void load_weights(thread uint4 *to, device const uint4 *w, uint c, bool upright, uint eights) {
#pragma unroll
    for (uint q = 0; q < N; ++q) {
        to[q] = upright ? w[q * eights + c] : w[c * N + q];
    }
}

// (k, n): element 8 q + e of the weights of eight steps is of step (8 q + e) / N and output (8 q + e) % N.
template <uint N>
inline void add_steps(thread float *sum, thread const float *x, thread const uint4 *w) {
#pragma unroll
    for (uint q = 0; q < N; ++q) {
        const float4 low = low4(w[q]), high = high4(w[q]);
#pragma unroll
        for (uint e = 0; e < 4; ++e) {
            const uint f = 8 * q + e;
            sum[f % N] = fma(x[f / N], low[e], sum[f % N]);
            sum[(f + 4) % N] = fma(x[(f + 4) / N], high[e], sum[(f + 4) % N]);
        }
    }
}

template <uint N>
inline void small_n(
    device half *y,
    device const half *x,
    device const half *w,
    device const half *bias,
    constant MatmulParams &p,
    uint rows,
    uint r,
    uint lane) {
    const bool upright = p.transpose_b != 0;
    // Lines of (n, k) must begin at sixteen bytes; steps of (k, n) do by eights.
    const bool wide = begins_wide(p.ldx | p.bx | (upright ? p.k : 0), p.bw);
    const uint eights = wide ? p.k / 8 : 0;
    uint4 ws[N] = {};
    if (lane < eights) {
        load_weights<N>(ws, (device const uint4 *)w, lane, upright, eights);
    }
    inputs_ready();
    if (r >= rows) {
        return;
    }
    x += ulong(r) * p.ldx;

    float sum[N];
#pragma unroll
    for (uint j = 0; j < N; ++j) {
        sum[j] = 0.0f;
    }
    for (uint c = lane; c < eights; c += LANES) {
        const Eight<half> xs = load8(x, c);
        if (upright) {
#pragma unroll
            for (uint j = 0; j < N; ++j) {
                sum[j] = dot8(xs, ws[j], sum[j]);
            }
        } else {
            float eight[8];
#pragma unroll
            for (uint e = 0; e < 4; ++e) {
                eight[e] = float(xs.low[e]);
                eight[e + 4] = float(xs.high[e]);
            }
            add_steps<N>(sum, eight, ws);
        }
        if (c + LANES < eights) {
            load_weights<N>(ws, (device const uint4 *)w, c + LANES, upright, eights);
        }
    }
    for (uint i = 8 * eights + lane; i < p.k; i += LANES) {
        const float xi = float(x[i]);
#pragma unroll
        for (uint j = 0; j < N; ++j) {
            sum[j] = fma(xi, float(upright ? w[j * p.k + i] : w[i * N + j]), sum[j]);
        }
    }

    const float mine = simd_sums<N, LANES, 1>(sum, lane);
    if (lane % (LANES / N) == 0) {
        store_output(y, r, lane / (LANES / N), mine, bias, p);
    }
}

template <uint N>
[[kernel, max_total_threads_per_threadgroup(TG)]] void smalln(
    device half *y [[buffer(0)]],
    device const half *x [[buffer(1)]],
    device const half *w [[buffer(2)]],
    device const half *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    x += ulong(group.z) * p.bx;
    w += ulong(group.z) * p.bw;
    y += ulong(group.z) * p.by;
    small_n<N>(y, x, w, bias, p, rows, group.x * (TG / LANES) + simd, lane);
}

template [[host_name("smalln_n1")]] [[kernel]] decltype(smalln<1>) smalln<1>;
template [[host_name("smalln_n2")]] [[kernel]] decltype(smalln<2>) smalln<2>;
template [[host_name("smalln_n4")]] [[kernel]] decltype(smalln<4>) smalln<4>;
template [[host_name("smalln_n8")]] [[kernel]] decltype(smalln<8>) smalln<8>;
template [[host_name("smalln_n16")]] [[kernel]] decltype(smalln<16>) smalln<16>;

// Any of these n.
[[kernel, max_total_threads_per_threadgroup(TG)]] void smalln_any(
    device half *y [[buffer(0)]],
    device const half *x [[buffer(1)]],
    device const half *w [[buffer(2)]],
    device const half *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    x += ulong(group.z) * p.bx;
    w += ulong(group.z) * p.bw;
    y += ulong(group.z) * p.by;
    const uint r = group.x * (TG / LANES) + simd;
    switch (p.n) {
    case 1: small_n<1>(y, x, w, bias, p, rows, r, lane); break;
    case 2: small_n<2>(y, x, w, bias, p, rows, r, lane); break;
    case 4: small_n<4>(y, x, w, bias, p, rows, r, lane); break;
    case 8: small_n<8>(y, x, w, bias, p, rows, r, lane); break;
    case 16: small_n<16>(y, x, w, bias, p, rows, r, lane); break;
    default: break;
    }
}
