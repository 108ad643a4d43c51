// y[r, j] = f(alpha sum_i x[r, i] w[j, i] (+ bias[j])) (+ beta y[r, j]); x: (m, k) or (k, m), w: (n, k) or (k, n), as the arguments say; y: (m, n), bias: (n); all half, sums in float.
// A threadgroup owns BM x BN outputs of a problem, a thread TM x TN of them in registers; x and w pass through threadgroup memory as floats, BK of k at a time.
#include "epilogue.h"
#include "params.h"
#include "tile.h"

constant constexpr uint ACROSS = BN / TN;
constant constexpr uint THREADS = BM / TM * ACROSS;
// A tile has a line for each step of k; four floats of padding keep the writes of upright eights apart.
constant constexpr uint X_LD = BM + 4;
constant constexpr uint W_LD = BN + 4;
constant constexpr uint TILES = BK * (X_LD + W_LD) / 4;
constant constexpr uint SUMS = BM * BN / 4;
constant constexpr uint X_PER = BM * BK / 8 / THREADS;
constant constexpr uint W_PER = BN * BK / 8 / THREADS;

// A thread's part of OUTS outputs by BK of k. `upright`: the matrix has an output a line and k along it; otherwise the other way.
template <uint OUTS, uint PER>
inline void load_tile(
    thread uint4 *to,
    device const half *from,
    uint stride,
    bool upright,
    uint out0,
    uint outs,
    uint i0,
    uint k,
    bool wide,
    uint thread_index) {
    // Loads at no edge need no look at one.
    const bool whole = wide && i0 + BK <= k && (upright || outs % 8 == 0);
#pragma unroll
    for (uint u = 0; u < PER; ++u) {
        const uint c = thread_index + u * THREADS;
        const uint line = upright ? out0 + c % OUTS : i0 + c / (OUTS / 8);
        const uint at = upright ? i0 + c / OUTS * 8 : out0 + c % (OUTS / 8) * 8;
        if (whole) {
            to[u] = whole_eight(from, stride, upright ? min(line, outs - 1) : line, upright ? at : min(at, outs - 8));
        } else {
            to[u] = edge_eight(from, stride, line, upright ? outs : k, at, upright ? k : outs, wide);
        }
    }
}

template <uint OUTS, uint LD, uint PER>
inline void put_tile(threadgroup float *to, thread const uint4 *from, bool upright, uint thread_index) {
#pragma unroll
    for (uint u = 0; u < PER; ++u) {
        const uint c = thread_index + u * THREADS;
        const float4 low = low4(from[u]), high = high4(from[u]);
        if (upright) {
            threadgroup float *column = to + c / OUTS * 8 * LD + c % OUTS;
#pragma unroll
            for (uint e = 0; e < 4; ++e) {
                column[e * LD] = low[e];
                column[(e + 4) * LD] = high[e];
            }
        } else {
            threadgroup float4 *line = (threadgroup float4 *)(to + c / (OUTS / 8) * LD + c % (OUTS / 8) * 8);
            line[0] = low;
            line[1] = high;
        }
    }
}

[[kernel, max_total_threads_per_threadgroup(BM / TM * (BN / TN))]] void gemm_tiled(
    device half *y [[buffer(0)]],
    device const half *x [[buffer(1)]],
    device const half *w [[buffer(2)]],
    device const half *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]]) {
    // Room for both tiles, or for the sums.
    threadgroup float4 memory[TILES > SUMS ? TILES : SUMS];
    threadgroup float *a = (threadgroup float *)memory;
    threadgroup float *b = a + BK * X_LD;
    const uint r0 = group.y * BM, j0 = group.x * BN;
    const uint tr = thread_index / ACROSS * TM, tj = thread_index % ACROSS * TN;
    x += ulong(group.z) * p.bx;
    w += ulong(group.z) * p.bw;
    y += ulong(group.z) * p.by;

    const bool w_upright = p.transpose_b != 0, x_upright = p.transpose_a == 0;
    const uint w_stride = w_upright ? p.k : p.n;
    const bool w_wide = begins_wide(w_stride, p.bw), x_wide = begins_wide(p.ldx, p.bx);
    uint4 ws[W_PER], xs[X_PER];
    load_tile<BN, W_PER>(ws, w, w_stride, w_upright, j0, p.n, 0, p.k, w_wide, thread_index);
    inputs_ready();
    if (r0 >= rows) {
        return;
    }
    load_tile<BM, X_PER>(xs, x, p.ldx, x_upright, r0, rows, 0, p.k, x_wide, thread_index);

    float4 sum[TM][TN / 4];
#pragma unroll
    for (uint s = 0; s < TM; ++s) {
#pragma unroll
        for (uint t = 0; t < TN / 4; ++t) {
            sum[s][t] = float4(0.0f);
        }
    }
    for (uint i0 = 0; i0 < p.k; i0 += BK) {
        put_tile<BM, X_LD, X_PER>(a, xs, x_upright, thread_index);
        put_tile<BN, W_LD, W_PER>(b, ws, w_upright, thread_index);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        // The next tiles are on their way while these are multiplied.
        if (i0 + BK < p.k) {
            load_tile<BN, W_PER>(ws, w, w_stride, w_upright, j0, p.n, i0 + BK, p.k, w_wide, thread_index);
            load_tile<BM, X_PER>(xs, x, p.ldx, x_upright, r0, rows, i0 + BK, p.k, x_wide, thread_index);
        }

#pragma unroll
        for (uint i = 0; i < BK; ++i) {
            float4 av[TM / 4], bv[TN / 4];
#pragma unroll
            for (uint s = 0; s < TM / 4; ++s) {
                av[s] = *(threadgroup const float4 *)(a + i * X_LD + tr + 4 * s);
            }
#pragma unroll
            for (uint t = 0; t < TN / 4; ++t) {
                bv[t] = *(threadgroup const float4 *)(b + i * W_LD + tj + 4 * t);
            }
#pragma unroll
            for (uint s = 0; s < TM; ++s) {
#pragma unroll
                for (uint t = 0; t < TN / 4; ++t) {
                    sum[s][t] = fma(float4(av[s / 4][s % 4]), bv[t], sum[s][t]);
                }
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }

    // The tiles' memory now holds the sums, which threads side by side take side by side.
#pragma unroll
    for (uint s = 0; s < TM; ++s) {
#pragma unroll
        for (uint t = 0; t < TN / 4; ++t) {
            memory[((tr + s) * BN + tj) / 4 + t] = sum[s][t];
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint c = thread_index; c < BM * BN; c += THREADS) {
        const uint r = r0 + c / BN, j = j0 + c % BN;
        if (r < rows && j < p.n) {
            store_output(y, r, j, a[c], bias, p);
        }
    }
}
