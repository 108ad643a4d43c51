// y[j] = f(alpha sum_i x[i] w[j, i] (+ bias[j])) (+ beta y[j]), one row; x: (k), w: (n, k) or (k, n), as the arguments say; y, bias: (n); all half, sums in float.
// A threadgroup owns BN outputs of a problem. (n, k): a SIMD group takes its share of them, a lane every 32nd eight elements of k. (k, n): a thread takes eight outputs and every (8 TG / BN)-th step of k.
#include "epilogue.h"
#include "params.h"
#include "reduce.h"
#include "tile.h"

constant constexpr uint SIMDS = TG / LANES;
// (n, k): outputs of a SIMD group. (k, n): eights across a threadgroup's outputs, and threads that share each.
constant constexpr uint OUTS = BN / SIMDS;
constant constexpr uint ACROSS = BN / 8;
constant constexpr uint SHARING = TG / ACROSS;

// (n, k): UNROLL eights of each of OUTS lines; past the last output, the last one again, past the end, the last eight: nothing comes of them.
inline void load_lines(thread uint4 *to, device const uint4 *lines, uint last, uint eights, uint c) {
#pragma unroll
    for (uint u = 0; u < UNROLL; ++u) {
#pragma unroll
        for (uint o = 0; o < OUTS; ++o) {
            to[u * OUTS + o] = lines[min(o, last) * eights + min(c + u * LANES, eights - 1)];
        }
    }
}

// (k, n): an eight of each of UNROLL OUTS steps of k; past the last step, that one again: nothing comes of it.
inline void load_steps(thread uint4 *to, device const half *w, uint n, uint j, uint i, uint k) {
#pragma unroll
    for (uint u = 0; u < UNROLL * OUTS; ++u) {
        to[u] = whole_eight(w, n, min(i + u * SHARING, k - 1), j);
    }
}

[[kernel, max_total_threads_per_threadgroup(TG)]] void gemv(
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

    uint4 ws[UNROLL * OUTS] = {};
    if (p.transpose_b != 0) {
        // A SIMD group past the last output does that one's work again.
        const uint j0 = first + simd * OUTS, from = min(j0, p.n - 1), last = p.n - 1 - from;
        device const half *lines = w + ulong(from) * p.k;
        const uint eights = loads_wide(p.k | p.bx, p.bw) ? p.k / 8 : 0;
        if (eights > 0) {
            load_lines(ws, (device const uint4 *)lines, last, eights, lane);
        }
        inputs_ready();

        float sum[OUTS] = {};
        for (uint c = lane; c < eights; c += UNROLL * LANES) {
#pragma unroll
            for (uint u = 0; u < UNROLL; ++u) {
                if (u == 0 || c + u * LANES < eights) {
                    const Eight<half> xs = load8(x, c + u * LANES);
#pragma unroll
                    for (uint o = 0; o < OUTS; ++o) {
                        sum[o] = dot8(xs, ws[u * OUTS + o], sum[o]);
                    }
                }
            }
            if (c + UNROLL * LANES < eights) {
                load_lines(ws, (device const uint4 *)lines, last, eights, c + UNROLL * LANES);
            }
        }
        for (uint i = 8 * eights + lane; i < p.k; i += LANES) {
#pragma unroll
            for (uint o = 0; o < OUTS; ++o) {
                sum[o] = fma(float(x[i]), float(lines[min(o, last) * p.k + i]), sum[o]);
            }
        }
        const float mine = simd_sums<OUTS, LANES, 1>(sum, lane);
        const uint j = j0 + lane / (LANES / OUTS);
        if (lane % (LANES / OUTS) == 0 && j < p.n && rows > 0) {
            store_output(y, 0, j, mine, bias, p);
        }
        return;
    }

    const uint across = thread_index % ACROSS, step = thread_index / ACROSS;
    const bool wide = begins_wide(p.n, p.bw);
    const uint j8 = first + across * 8, at = wide ? min(j8, p.n - 8) : 0;
    if (wide) {
        load_steps(ws, w, p.n, at, step, p.k);
    }
    inputs_ready();

    float sum[8] = {};
    if (wide) {
        for (uint i = step; i < p.k; i += UNROLL * OUTS * SHARING) {
#pragma unroll
            for (uint u = 0; u < UNROLL * OUTS; ++u) {
                if (u == 0 || i + u * SHARING < p.k) {
                    const float xi = float(x[i + u * SHARING]);
                    const float4 low = low4(ws[u]), high = high4(ws[u]);
#pragma unroll
                    for (uint e = 0; e < 4; ++e) {
                        sum[e] = fma(xi, low[e], sum[e]);
                        sum[e + 4] = fma(xi, high[e], sum[e + 4]);
                    }
                }
            }
            if (i + UNROLL * OUTS * SHARING < p.k) {
                load_steps(ws, w, p.n, at, i + UNROLL * OUTS * SHARING, p.k);
            }
        }
    } else {
        for (uint i = step; i < p.k; i += SHARING) {
            const float xi = float(x[i]);
#pragma unroll
            for (uint e = 0; e < 8; ++e) {
                sum[e] = fma(xi, float(w[ulong(i) * p.n + min(j8 + e, p.n - 1)]), sum[e]);
            }
        }
    }
    // Lanes ACROSS apart share an eight.
    const float mine = simd_sums<8, LANES, ACROSS>(sum, lane);
    if (lane % (LANES / 8) < ACROSS) {
        partial[simd * BN + across * 8 + lane / (LANES / 8)] = mine;
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
