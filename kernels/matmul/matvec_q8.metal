// y[r, j] = sum_i x[r, i] d[j, i / 32] q[j, i] (+ bias[j]) (+ y[r, j]); q: (n, k) i8, then d: (n, k / 32) half; x: (m, k), y: (m, n), bias: (n) of T.
// A threadgroup owns BN outputs of one row; its SIMD groups split k: each thread owns every (32 SIMDS)-th half block, 16 elements.
#include "params.h"
#include "quant.h"
#include "simd.h"

constant constexpr uint THREADS = LANES * SIMDS;

template <typename T>
[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void matvec_q8(
    device T *y [[buffer(0)]],
    device const T *x [[buffer(1)]],
    device const char *w [[buffer(2)]],
    device const T *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup float partial[SIMDS * BN];
    const uint r = group.y, first = group.x * BN;
    if (r >= rows) {
        return;
    }
    device const T *xr = x + ulong(r) * p.ldx;
    device const half *scales = (device const half *)(w + ulong(p.n) * p.k);
    device const uint4 *quants[BN];
    device const half *ds[BN];
#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        // Past the last output, the last row is read again and nothing is stored.
        const ulong j = min(first + b, p.n - 1);
        quants[b] = (device const uint4 *)(w + j * p.k);
        ds[b] = scales + j * (p.k / 32);
    }

    float sum[BN];
#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        sum[b] = 0.0f;
    }
    const bool wide = loads_wide(p.k, p.ldx);
    const uint halves = p.k / 16;
    for (uint c = thread_index; c < halves; c += UNROLL * THREADS) {
        Eight<T> xs[UNROLL][2];
        uint4 qs[UNROLL][BN];
        half d[UNROLL][BN];
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            const uint at = min(c + u * THREADS, halves - 1);
#pragma unroll
            for (uint b = 0; b < BN; ++b) {
                qs[u][b] = quants[b][at];
                d[u][b] = ds[b][at / 2];
            }
            device const T *from = xr + 16 * at;
            xs[u][0] = wide ? load8(from) : load_upto8(from, 8);
            xs[u][1] = wide ? load8(from + 8) : load_upto8(from + 8, 8);
        }
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            if (u == 0 || c + u * THREADS < halves) {
                const float4 x0 = float4(xs[u][0].low), x1 = float4(xs[u][0].high);
                const float4 x2 = float4(xs[u][1].low), x3 = float4(xs[u][1].high);
#pragma unroll
                for (uint b = 0; b < BN; ++b) {
                    float4 dot = x0 * quants4(qs[u][b].x);
                    dot = fma(x1, quants4(qs[u][b].y), dot);
                    dot = fma(x2, quants4(qs[u][b].z), dot);
                    dot = fma(x3, quants4(qs[u][b].w), dot);
                    sum[b] = fma(float(d[u][b]), (dot.x + dot.y) + (dot.z + dot.w), sum[b]);
                }
            }
        }
    }

#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        const float total = simd_sum(sum[b]);
        if (lane == 0) {
            partial[simd * BN + b] = total;
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    const uint j = first + thread_index;
    if (thread_index < BN && j < p.n) {
        float total = p.bias != 0 ? float(bias[j]) : 0.0f;
        for (uint s = 0; s < SIMDS; ++s) {
            total += partial[s * BN + thread_index];
        }
        device T *out = y + ulong(r) * p.ldy + j;
        *out = T(p.accumulate != 0 ? float(*out) + total : total);
    }
}

template [[host_name("matvec_q8_half")]] [[kernel]] decltype(matvec_q8<half>) matvec_q8<half>;
template [[host_name("matvec_q8_float")]] [[kernel]] decltype(matvec_q8<float>) matvec_q8<float>;
