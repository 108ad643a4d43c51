// y[j] = f(alpha sum_i x[i] w[j, i] (+ bias[j])) (+ beta y[j]), one row; x: (k), w: (n, k), y, bias: (n); all half, sums in float.
// A threadgroup owns BN outputs of a problem, TG / BN threads each of them; x passes through threadgroup memory BK at a time and w 64 of k at a time, loaded in whole lines and read back a column a thread.
#include "epilogue.h"
#include "params.h"
#include "tile.h"

// Threads of an output.
constant constexpr uint SLICES = TG / BN;
// k of a tile of w: a tile of BN x BK would not always fit. Eight elements of padding spread its lines over the memory banks.
constant constexpr uint WK = 64;
constant constexpr uint LD = WK + 8;
constant constexpr uint W_PER = BN * WK / 8 / TG;
constant constexpr uint PER = WK / SLICES;

inline void load_w(thread uint4 *to, device const half *w, uint first, constant MatmulParams &p, uint at, uint thread_index) {
#pragma unroll
    for (uint u = 0; u < W_PER; ++u) {
        const uint c = thread_index + u * TG;
        to[u] = whole_eight(w, p.k, min(first + c / (WK / 8), p.n - 1), at + c % (WK / 8) * 8);
    }
}

[[kernel, max_total_threads_per_threadgroup(TG)]] void m1_bt(
    device half *y [[buffer(0)]],
    device const half *x [[buffer(1)]],
    device const half *w [[buffer(2)]],
    device const half *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]]) {
    threadgroup uint4 memory[BN * LD / 8];
    threadgroup float4 x_memory[BK / 4];
    threadgroup half *tile = (threadgroup half *)memory;
    threadgroup float *xs = (threadgroup float *)x_memory;
    const uint first = group.x * BN, mine = thread_index % BN, part = thread_index / BN;
    x += ulong(group.z) * p.bx;
    w += ulong(group.z) * p.bw;
    y += ulong(group.z) * p.by;

    const uint whole = begins_wide(p.k, p.bw) ? p.k / WK : 0;
    uint4 ws[W_PER] = {};
    if (whole > 0) {
        load_w(ws, w, first, p, 0, thread_index);
    }
    inputs_ready();

    float sum = 0.0f;
    for (uint t = 0; t < whole; ++t) {
        const uint x_at = t * WK % BK;
        if (x_at == 0) {
            for (uint i = thread_index; i < BK && t * WK + i < p.k; i += TG) {
                xs[i] = float(x[t * WK + i]);
            }
        }
#pragma unroll
        for (uint u = 0; u < W_PER; ++u) {
            const uint c = thread_index + u * TG;
            *(threadgroup uint4 *)(tile + c / (WK / 8) * LD + c % (WK / 8) * 8) = ws[u];
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        // The next tile is on its way while this one is multiplied.
        if (t + 1 < whole) {
            load_w(ws, w, first, p, (t + 1) * WK, thread_index);
        }

#pragma unroll
        for (uint e = 0; e < PER; e += 8) {
            const uint i = part * PER + e;
            threadgroup const float4 *from = (threadgroup const float4 *)(xs + x_at + i);
            sum = dot8(Eight<float>{from[0], from[1]}, *(threadgroup const uint4 *)(tile + mine * LD + i), sum);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    const uint j = first + mine;
    for (uint i = whole * WK + part; i < p.k; i += SLICES) {
        sum = fma(float(x[i]), float(w[ulong(min(j, p.n - 1)) * p.k + i]), sum);
    }

    if (SLICES > 1) {
        // The tile is done with: its memory now holds sums.
        threadgroup float *partial = (threadgroup float *)memory;
        partial[thread_index] = sum;
        threadgroup_barrier(mem_flags::mem_threadgroup);
#pragma unroll
        for (uint s = 1; s < SLICES; ++s) {
            sum += part == 0 ? partial[mine + s * BN] : 0.0f;
        }
    }
    if (part == 0 && j < p.n && rows > 0) {
        store_output(y, 0, j, sum, bias, p);
    }
}
