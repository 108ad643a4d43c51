// y[r, j] = f(alpha sum_i x[r, i] w[i, j] + bias[j]) + beta y[r, j]; w: (k, n) half, row-major; x: (m, k), y: (m, n), bias: (n) of T; sums in float.
// A threadgroup owns BN outputs of one row: a thread eight neighbours of them and every STEP-th of k.
#include "epilogue.h"
#include "load.h"
#include "params.h"
#include "simd.h"

constant constexpr uint THREADS = LANES * SIMDS;
// Threads side by side along n, and rows of w that the threadgroup reads together.
constant constexpr uint WIDE = BN / 8;
constant constexpr uint STEP = THREADS / WIDE;

template <typename T>
[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void matvec_nn(
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
    const uint j0 = first + thread_index % WIDE * 8, i0 = thread_index / WIDE;
    const bool wide = (p.n & 7) == 0;

    // The first weights are on their way before anything else is known.
    uint4 tile[UNROLL];
    if (wide) {
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            tile[u] = load_once((device const uint4 *)(w + ulong(min(i0 + u * STEP, p.k - 1)) * p.n + min(j0, p.n - 8)));
        }
    }
    inputs_ready();
    // The first row need not wait for the row count: it is there, and only its result is left out where there are no rows.
    if (r > 0 && r >= rows) {
        return;
    }
    device const T *xr = x + ulong(r) * p.ldx;
    float4 low = float4(0.0f), high = float4(0.0f);
    for (uint i = i0; wide && i < p.k; i += UNROLL * STEP) {
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            const float xi = i + u * STEP < p.k ? float(xr[min(i + u * STEP, p.k - 1)]) : 0.0f;
            low = fma(xi, low4(tile[u]), low);
            high = fma(xi, high4(tile[u]), high);
        }
        if (i + UNROLL * STEP < p.k) {
#pragma unroll
            for (uint u = 0; u < UNROLL; ++u) {
                const uint next = min(i + (UNROLL + u) * STEP, p.k - 1);
                tile[u] = load_once((device const uint4 *)(w + ulong(next) * p.n + min(j0, p.n - 8)));
            }
        }
    }
    // Where rows of w do not lie on boundaries of sixteen bytes.
    for (uint i = i0; !wide && i < p.k; i += STEP) {
        const float xi = float(xr[i]);
        device const half *from = w + ulong(i) * p.n;
#pragma unroll
        for (uint e = 0; e < 4; ++e) {
            low[e] = fma(xi, float(from[min(j0 + e, p.n - 1)]), low[e]);
            high[e] = fma(xi, float(from[min(j0 + 4 + e, p.n - 1)]), high[e]);
        }
    }

    // Lanes WIDE apart hold the same outputs.
#pragma unroll
    for (uint step = LANES / 2; step >= WIDE; step /= 2) {
        low += simd_shuffle_xor(low, step);
        high += simd_shuffle_xor(high, step);
    }
    if (lane < WIDE) {
#pragma unroll
        for (uint e = 0; e < 4; ++e) {
            partial[simd * BN + lane * 8 + e] = low[e];
            partial[simd * BN + lane * 8 + 4 + e] = high[e];
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

template [[host_name("matvec_nn_half")]] [[kernel]] decltype(matvec_nn<half>) matvec_nn<half>;
