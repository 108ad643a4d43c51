// y[j] = f(alpha sum_i x[i] w[j, i] (+ bias[j])) (+ beta y[j]), one row; x: (k), w: (n, k), y, bias: (n); all half, sums in float.
// A threadgroup owns BN outputs of a problem; its SIMD groups split k: SLICED, each takes a slice of it, a lane every 32nd eight elements of the slice; otherwise a thread takes every TG-th eight of all.
#include "epilogue.h"
#include "params.h"
#include "reduce.h"
#include "tile.h"

constant constexpr uint SIMDS = TG / LANES;
// Threads side by side that share a stretch of k.
constant constexpr uint SHARING = SLICED != 0 ? LANES : TG;

// Weights of BN outputs as they lie in memory: eight elements of each, UNROLL times.
struct Batch {
    uint4 w[UNROLL][BN];
};

// The lines of BN outputs, `eights` loads long. Past the last output, the last one is read again; past the end, the last eight elements:
// nothing comes of either.
inline Batch load_batch(device const uint4 *lines, uint last, uint eights, uint c, uint end) {
    Batch batch;
#pragma unroll
    for (uint u = 0; u < UNROLL; ++u) {
#pragma unroll
        for (uint b = 0; b < BN; ++b) {
            batch.w[u][b] = lines[min(b, last) * eights + min(c + u * SHARING, end - 1)];
        }
    }
    return batch;
}

[[kernel, max_total_threads_per_threadgroup(TG)]] void m1_largek(
    device half *y [[buffer(0)]],
    device const half *x [[buffer(1)]],
    device const half *w [[buffer(2)]],
    device const half *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup float partial[SIMDS * BN];
    const uint first = group.x * BN;
    x += ulong(group.z) * p.bx;
    w += ulong(group.z) * p.bw;
    y += ulong(group.z) * p.by;

    const uint last = p.n - 1 - first;
    device const half *lines = w + ulong(first) * p.k;
    const uint eights = loads_wide(p.k | p.bx, p.bw) ? p.k / 8 : 0;
    // Slices of whole pairs of eights: 32 bytes are what memory gives at once.
    const uint slice = (eights + 2 * SIMDS - 1) / (2 * SIMDS) * 2;
    const uint end = SLICED != 0 ? min((simd + 1) * slice, eights) : eights;
    uint c = SLICED != 0 ? simd * slice + lane : thread_index;
    Batch batch = {};
    if (c - lane < end) {
        batch = load_batch((device const uint4 *)lines, last, eights, c, end);
    }
    inputs_ready();

    float sum[BN];
#pragma unroll
    for (uint b = 0; b < BN; ++b) {
        sum[b] = 0.0f;
    }
    while (c < end) {
        Eight<half> xs[UNROLL];
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            xs[u] = load8(x, min(c + u * SHARING, end - 1));
        }
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            if (u == 0 || c + u * SHARING < end) {
#pragma unroll
                for (uint b = 0; b < BN; ++b) {
                    sum[b] = dot8(xs[u], batch.w[u][b], sum[b]);
                }
            }
        }
        c += UNROLL * SHARING;
        if (c < end) {
            batch = load_batch((device const uint4 *)lines, last, eights, c, end);
        }
    }
    for (uint i = 8 * eights + thread_index; i < p.k; i += TG) {
        const float xi = float(x[i]);
#pragma unroll
        for (uint b = 0; b < BN; ++b) {
            sum[b] = fma(xi, float(lines[min(b, last) * p.k + i]), sum[b]);
        }
    }

    const float mine = simd_sums<BN, LANES, 1>(sum, lane);
    if (lane % (LANES / BN) == 0) {
        partial[simd * BN + lane / (LANES / BN)] = mine;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    const uint j = first + thread_index;
    if (thread_index < BN && j < p.n && rows > 0) {
        float all = 0.0f;
#pragma unroll
        for (uint s = 0; s < SIMDS; ++s) {
            all += partial[s * BN + thread_index];
        }
        store_output(y, 0, j, all, bias, p);
    }
}
