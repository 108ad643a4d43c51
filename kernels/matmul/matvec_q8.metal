// y[r, j] = f(alpha sum_i x[r, i] d[j, i / 32] q[j, i] + bias[j]) + beta y[r, j]; q: (n, k) i8, then d: (n, k / 32) half; x: (m, k), y: (m, n), bias: (n) of T.
// A threadgroup owns BN outputs of one row; its SIMD groups split k: each thread owns every (32 SIMDS)-th half block, 16 elements.
#include "epilogue.h"
#include "params.h"
#include "quant.h"
#include "simd.h"

constant constexpr uint THREADS = LANES * SIMDS;

// Weights of BN rows as they lie in memory: half a block of each, UNROLL times.
struct Tile {
    uint4 q[UNROLL][BN];
    half d[UNROLL][BN];
};

inline device const half *scales_of(device const char *w, constant MatmulParams &p) {
    return (device const half *)(w + ulong(p.n) * p.k);
}

// Past the last output, the last row is read again; past the last half block, that: nothing comes of either.
inline Tile load_tile(device const char *w, uint first, constant MatmulParams &p, uint c, uint halves) {
    device const half *scales = scales_of(w, p);
    Tile tile;
#pragma unroll
    for (uint u = 0; u < UNROLL; ++u) {
        const uint at = min(c + u * THREADS, halves - 1);
#pragma unroll
        for (uint b = 0; b < BN; ++b) {
            const ulong j = min(first + b, p.n - 1);
            tile.q[u][b] = load_once((device const uint4 *)(w + j * p.k + 16 * at));
            tile.d[u][b] = scales[j * (p.k / 32) + at / 2];
        }
    }
    return tile;
}

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
    const uint halves = loads_wide(p.k, p.ldx) ? p.k / 16 : 0;

    // The first weights are on their way before anything else is known.
    Tile tile = {};
    uint c = thread_index;
    if (halves > 0) {
        tile = load_tile(w, first, p, c, halves);
    }
    inputs_ready();
    // The first row need not wait for the row count: it is there, and only its result is left out where there are no rows.
    if (r > 0 && r >= rows) {
        return;
    }
    device const T *xr = x + ulong(r) * p.ldx;
    float sum[BN];
#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        sum[b] = 0.0f;
    }
    while (c < halves) {
        Eight<T> xs[UNROLL][2];
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            device const T *from = xr + 16 * min(c + u * THREADS, halves - 1);
            xs[u][0] = load8(from);
            xs[u][1] = load8(from + 8);
        }
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            if (u == 0 || c + u * THREADS < halves) {
                const float4 x0 = float4(xs[u][0].low), x1 = float4(xs[u][0].high);
                const float4 x2 = float4(xs[u][1].low), x3 = float4(xs[u][1].high);
#pragma unroll
                for (uint b = 0; b < BN; ++b) {
                    const uint4 q = tile.q[u][b];
                    float4 dot = x0 * quants4(q.x);
                    dot = fma(x1, quants4(q.y), dot);
                    dot = fma(x2, quants4(q.z), dot);
                    dot = fma(x3, quants4(q.w), dot);
                    sum[b] = fma(float(tile.d[u][b]), (dot.x + dot.y) + (dot.z + dot.w), sum[b]);
                }
            }
        }
        c += UNROLL * THREADS;
        if (c < halves) {
            tile = load_tile(w, first, p, c, halves);
        }
    }
    // Where rows of x do not lie on boundaries of sixteen bytes.
    for (uint i = 16 * halves + thread_index; i < p.k; i += THREADS) {
        const float xi = float(xr[i]);
#pragma unroll
        for (uint b = 0; b < BN; ++b) {
            const ulong j = min(first + b, p.n - 1);
            sum[b] = fma(xi * float(scales_of(w, p)[j * (p.k / 32) + i / 32]), float(w[j * p.k + i]), sum[b]);
        }
    }

    float total[BN];
#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        total[b] = simd_sum(sum[b]);
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

template [[host_name("matvec_q8_half")]] [[kernel]] decltype(matvec_q8<half>) matvec_q8<half>;
template [[host_name("matvec_q8_float")]] [[kernel]] decltype(matvec_q8<float>) matvec_q8<float>;
