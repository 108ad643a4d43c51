// y[j] = f(alpha sum_i x[i] w[j, i] (+ bias[j])) (+ beta y[j]), one row; x: (k), w: (n, k), y, bias: (n); all half, sums in float.
// A threadgroup owns BN outputs of a problem, a SIMD group as many of them as the others, TILE at a time, a lane every 32nd eight elements of k; STAGED, x passes through threadgroup memory BK at a time.
#include "epilogue.h"
#include "params.h"
#include "reduce.h"
#include "tile.h"

constant constexpr uint SIMDS = TG / LANES;
// Outputs of a SIMD group.
constant constexpr uint OUTS = BN / SIMDS;
// Loads of a lane from one line and one stretch of BK.
constant constexpr uint LOADS = BK / 8 / LANES;

struct Batch {
    uint4 w[LOADS][TILE];
};

// TILE lines from the b-th on, of those at `lines`. Past the last output, the last one is read again; past the last eight elements, those:
// nothing comes of either.
inline Batch load_batch(device const uint4 *lines, uint last, uint b, uint eights, uint c) {
    Batch batch;
#pragma unroll
    for (uint u = 0; u < LOADS; ++u) {
#pragma unroll
        for (uint o = 0; o < TILE; ++o) {
            batch.w[u][o] = lines[min(b + o, last) * eights + min(c + u * LANES, eights - 1)];
        }
    }
    return batch;
}

[[kernel, max_total_threads_per_threadgroup(TG)]] void m1_row(
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
    threadgroup uint4 tile[STAGED != 0 ? BK / 8 : 1];
    const uint first = group.x * BN + simd * OUTS;
    x += ulong(group.z) * p.bx;
    w += ulong(group.z) * p.bw;
    y += ulong(group.z) * p.by;

    // A SIMD group past the last output does that one's work again, so that it is at every barrier.
    const uint from = min(first, p.n - 1), last = p.n - 1 - from;
    device const half *lines = w + ulong(from) * p.k;
    device const uint4 *wide_lines = (device const uint4 *)lines;
    const uint eights = loads_wide(p.k | p.bx, p.bw) ? p.k / 8 : 0;
    Batch next = {};
    if (eights > 0) {
        next = load_batch(wide_lines, last, 0, eights, lane);
    }
    inputs_ready();

    float sum[OUTS];
#pragma unroll
    for (uint o = 0; o < OUTS; ++o) {
        sum[o] = 0.0f;
    }
    for (uint c0 = 0; c0 < eights; c0 += BK / 8) {
        if (STAGED != 0) {
            for (uint c = thread_index; c < BK / 8 && c0 + c < eights; c += TG) {
                tile[c] = ((device const uint4 *)x)[c0 + c];
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
        Eight<half> xs[LOADS];
#pragma unroll
        for (uint u = 0; u < LOADS; ++u) {
            const uint c = min(c0 + lane + u * LANES, eights - 1);
            const uint4 bits = STAGED != 0 ? tile[c - c0] : ((device const uint4 *)x)[c];
            xs[u] = Eight<half>{as_type<half4>(bits.xy), as_type<half4>(bits.zw)};
        }
#pragma unroll
        for (uint b = 0; b < OUTS; b += TILE) {
            const Batch now = next;
            if (b + TILE < OUTS) {
                next = load_batch(wide_lines, last, b + TILE, eights, c0 + lane);
            } else if (c0 + BK / 8 < eights) {
                next = load_batch(wide_lines, last, 0, eights, c0 + BK / 8 + lane);
            }
#pragma unroll
            for (uint u = 0; u < LOADS; ++u) {
                if (c0 + lane + u * LANES < eights) {
#pragma unroll
                    for (uint o = 0; o < TILE; ++o) {
                        sum[b + o] = dot8(xs[u], now.w[u][o], sum[b + o]);
                    }
                }
            }
        }
        if (STAGED != 0) {
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
    for (uint i = 8 * eights + lane; i < p.k; i += LANES) {
        const float xi = float(x[i]);
#pragma unroll
        for (uint o = 0; o < OUTS; ++o) {
            sum[o] = fma(xi, float(lines[min(o, last) * p.k + i]), sum[o]);
        }
    }

    const float mine = simd_sums<OUTS, LANES, 1>(sum, lane);
    const uint j = first + lane / (LANES / OUTS);
    if (lane % (LANES / OUTS) == 0 && j < p.n && rows > 0) {
        store_output(y, 0, j, mine, bias, p);
    }
}
