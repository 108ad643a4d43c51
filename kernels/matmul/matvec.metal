// y[r, j] = sum_i x[r, i] w[j, i] (+ bias[j]) (+ y[r, j]); w: (n, k) half, row-major; x: (m, k), y: (m, n), bias: (n) of T; sums in float.
// A threadgroup owns BN outputs of one row; its SIMD groups split k: each thread owns every (32 SIMDS)-th eight elements of it.
#include "load.h"
#include "params.h"
#include "simd.h"

constant constexpr uint THREADS = LANES * SIMDS;

template <typename T>
[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void matvec(
    device T *y [[buffer(0)]],
    device const T *x [[buffer(1)]],
    device const half *w [[buffer(2)]],
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
    // Past the last output, the last row is read again and nothing is stored.
    device const half *wr[BN];
#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        wr[b] = w + ulong(min(first + b, p.n - 1)) * p.k;
    }

    float4 sum[BN];
#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        sum[b] = float4(0.0f);
    }
    const uint eights = loads_wide(p.k, p.ldx) ? p.k / 8 : 0;
    for (uint c = thread_index; c < eights; c += UNROLL * THREADS) {
        Eight<T> xs[UNROLL];
        Eight<half> ws[UNROLL][BN];
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            const uint at = 8 * min(c + u * THREADS, eights - 1);
            xs[u] = load8(xr + at);
#pragma unroll
            for (uint b = 0; b < BN; ++b) {
                ws[u][b] = load8(wr[b] + at);
            }
        }
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            if (u == 0 || c + u * THREADS < eights) {
                const float4 low = float4(xs[u].low), high = float4(xs[u].high);
#pragma unroll
                for (uint b = 0; b < BN; ++b) {
                    sum[b] = fma(low, float4(ws[u][b].low), sum[b]);
                    sum[b] = fma(high, float4(ws[u][b].high), sum[b]);
                }
            }
        }
    }
    for (uint i = 8 * eights + thread_index; i < p.k; i += THREADS) {
        const float xi = float(xr[i]);
#pragma unroll
        for (uint b = 0; b < BN; ++b) {
            sum[b].x = fma(xi, float(wr[b][i]), sum[b].x);
        }
    }

#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        const float total = simd_sum((sum[b].x + sum[b].y) + (sum[b].z + sum[b].w));
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

template [[host_name("matvec_f16_half")]] [[kernel]] decltype(matvec<half>) matvec<half>;
template [[host_name("matvec_f16_float")]] [[kernel]] decltype(matvec<float>) matvec<float>;
