// y[r, j] = f(alpha sum_i x[r, i] w[j, i] + bias[j]) + beta y[r, j]; w: (n, k) half, row-major; x: (m, k), y: (m, n), bias: (n) of T; sums in float.
// A threadgroup owns BN outputs of one row; its SIMD groups split k: each thread owns every (32 SIMDS)-th eight elements of it.
#include "epilogue.h"
#include "load.h"
#include "params.h"
#include "simd.h"

constant constexpr uint THREADS = LANES * SIMDS;

// Weights of BN rows as they lie in memory: eight elements of each, UNROLL times.
struct Tile {
    uint4 w[UNROLL][BN];
};

// Past the last output, the last row is read again; past the last eight elements, those: nothing comes of either.
inline Tile load_tile(device const half *w, uint first, constant MatmulParams &p, uint c, uint eights) {
    Tile tile;
#pragma unroll
    for (uint u = 0; u < UNROLL; ++u) {
#pragma unroll
        for (uint b = 0; b < BN; ++b) {
            device const half *row = w + ulong(min(first + b, p.n - 1)) * p.k;
            tile.w[u][b] = load_once((device const uint4 *)row + min(c + u * THREADS, eights - 1));
        }
    }
    return tile;
}

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
    const uint eights = loads_wide(p.k, p.ldx) ? p.k / 8 : 0;

    // The first weights are on their way before anything else is known.
    Tile tile = {};
    uint c = thread_index;
    if (eights > 0) {
        tile = load_tile(w, first, p, c, eights);
    }
    inputs_ready();
    // The first row need not wait for the row count: it is there, and only its result is left out where there are no rows.
    if (r > 0 && r >= rows) {
        return;
    }
    device const T *xr = x + ulong(r) * p.ldx;
    // Two sums an output: registers that a threadgroup does not take let the next launch's begin.
    float2 sum[BN];
#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        sum[b] = float2(0.0f);
    }
    while (c < eights) {
        Eight<T> xs[UNROLL];
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            xs[u] = load8(xr, min(c + u * THREADS, eights - 1));
        }
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            if (u == 0 || c + u * THREADS < eights) {
                const float4 low = float4(xs[u].low), high = float4(xs[u].high);
#pragma unroll
                for (uint b = 0; b < BN; ++b) {
                    sum[b].x = add_products(low, low4(tile.w[u][b]), sum[b].x);
                    sum[b].y = add_products(high, high4(tile.w[u][b]), sum[b].y);
                }
            }
        }
        c += UNROLL * THREADS;
        if (c < eights) {
            tile = load_tile(w, first, p, c, eights);
        }
    }
    for (uint i = 8 * eights + thread_index; i < p.k; i += THREADS) {
        const float xi = float(xr[i]);
#pragma unroll
        for (uint b = 0; b < BN; ++b) {
            sum[b].x = fma(xi, float(w[ulong(min(first + b, p.n - 1)) * p.k + i]), sum[b].x);
        }
    }

    float total[BN];
#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        total[b] = simd_sum(sum[b].x + sum[b].y);
    }
    if (lane == 0) {
#pragma unroll
        for (uint b = 0; b < BN; ++b) {
            partial[simd * BN + b] = total[b];
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    const uint j = first + thread_index;
    if (thread_index < BN && j < p.n && r < rows) {
        float v = 0.0f;
        for (uint s = 0; s < SIMDS; ++s) {
            v += partial[s * BN + thread_index];
        }
        store_output(y, r, j, v, bias, p);
    }
}

template [[host_name("matvec_f16_half")]] [[kernel]] decltype(matvec<half>) matvec<half>;
template [[host_name("matvec_f16_float")]] [[kernel]] decltype(matvec<float>) matvec<float>;
