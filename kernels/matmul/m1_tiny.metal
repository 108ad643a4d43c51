// y[j] = f(alpha sum_i x[i] w[j, i] (+ bias[j])) (+ beta y[j]), one row; x: (k), w: (n, k), y, bias: (n); all half, sums in float.
// A threadgroup owns BN outputs of a problem; MATES lanes side by side share every (TG / MATES)-th of them, a lane every MATES-th eight elements of k. No threadgroup memory, no barrier.
#include "epilogue.h"
#include "params.h"
#include "reduce.h"
#include "tile.h"

constant constexpr uint TEAMS = TG / MATES;
// Outputs of a team.
constant constexpr uint OUTS = BN / TEAMS;

// Weights of a team's outputs as they lie in memory: eight elements of each, UNROLL times.
struct Batch {
    uint4 w[UNROLL][OUTS];
};

// The lines of a team's outputs, the first at `lines`, TEAMS lines of `eights` loads apart. Past the last output, the last one is read again;
// past the last eight elements, those: nothing comes of either.
inline Batch load_batch(device const uint4 *lines, uint last, uint eights, uint c) {
    Batch batch;
#pragma unroll
    for (uint u = 0; u < UNROLL; ++u) {
#pragma unroll
        for (uint b = 0; b < OUTS; ++b) {
            batch.w[u][b] = lines[min(b * TEAMS, last) * eights + min(c + u * MATES, eights - 1)];
        }
    }
    return batch;
}

[[kernel, max_total_threads_per_threadgroup(TG)]] void m1_tiny(
    device half *y [[buffer(0)]],
    device const half *x [[buffer(1)]],
    device const half *w [[buffer(2)]],
    device const half *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
    const uint mate = thread_index % MATES, first = group.x * BN + thread_index / MATES;
    x += ulong(group.z) * p.bx;
    w += ulong(group.z) * p.bw;
    y += ulong(group.z) * p.by;

    const uint eights = loads_wide(p.k | p.bx, p.bw) ? p.k / 8 : 0;
    // A team past the last output does that one's work again.
    const uint from = min(first, p.n - 1), last = p.n - 1 - from;
    device const half *lines = w + ulong(from) * p.k;
    uint c = mate;
    Batch batch = {};
    if (eights > 0) {
        batch = load_batch((device const uint4 *)lines, last, eights, c);
    }
    inputs_ready();

    float sum[OUTS];
#pragma unroll
    for (uint b = 0; b < OUTS; ++b) {
        sum[b] = 0.0f;
    }
    while (c < eights) {
        const Batch now = batch;
        const uint next = c + UNROLL * MATES;
        if (next < eights) {
            batch = load_batch((device const uint4 *)lines, last, eights, next);
        }
        Eight<half> xs[UNROLL];
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            xs[u] = load8(x, min(c + u * MATES, eights - 1));
        }
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
            if (u == 0 || c + u * MATES < eights) {
#pragma unroll
                for (uint b = 0; b < OUTS; ++b) {
                    sum[b] = dot8(xs[u], now.w[u][b], sum[b]);
                }
            }
        }
        c = next;
    }
    for (uint i = 8 * eights + mate; i < p.k; i += MATES) {
        const float xi = float(x[i]);
#pragma unroll
        for (uint b = 0; b < OUTS; ++b) {
            sum[b] = fma(xi, float(lines[min(b * TEAMS, last) * p.k + i]), sum[b]);
        }
    }

    const float mine = simd_sums<OUTS, MATES, 1>(sum, lane);
    const uint j = first + mate / (MATES / OUTS) * TEAMS;
    if (mate % (MATES / OUTS) == 0 && j < p.n && rows > 0) {
        store_output(y, 0, j, mine, bias, p);
    }
}
