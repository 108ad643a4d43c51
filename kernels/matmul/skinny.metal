// y[r, j] = f(alpha sum_i x[r, i] w[j, i] + bias[j]) + beta y[r, j] for few rows; w: half, (n, k) or, without TB, (k, n), row-major; x: (m, k), y: (m, n), bias: (n) of half; sums in float.
// A threadgroup owns BM rows of BN outputs in 8x8 matrices; its SIMD groups split k: each owns one stretch of it.
#include "epilogue.h"
#include "load.h"
#include "params.h"
#include "simd.h"

constant constexpr uint THREADS = LANES * SIMDS;
// Matrices along m and n.
constant constexpr uint TM = BM / 8;
constant constexpr uint TN = BN / 8;

[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void skinny_half(
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
    threadgroup float partial[SIMDS * BM * BN];
    const uint r0 = group.y * BM, first = group.x * BN;
    // This SIMD group's stretch of k, in matrices; the last loads of one stretch may be the first of the next, multiplied by zeros.
    const uint eights = p.k / 8, each = (eights + SIMDS - 1) / SIMDS;
    const uint from = min(simd * each, eights), to = min(from + each, eights);
    // Where this lane's two elements of a matrix stand.
    const uint row = lane / 16 * 4 + lane / 2 % 4, column = lane / 8 % 2 * 4 + lane % 2 * 2;

    simdgroup_matrix<float, 8, 8> sum[TM][TN];
#pragma unroll
    for (uint s = 0; s < TM; ++s) {
#pragma unroll
        for (uint t = 0; t < TN; ++t) {
            sum[s][t] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        }
    }
    // Past the last output, the last eight are read again.
    device const half *wt[TN];
#pragma unroll
    for (uint t = 0; t < TN; ++t) {
        const uint j = min(first + 8 * t, p.n - 8);
        wt[t] = TB ? w + ulong(j) * p.k : w + j;
    }
    // Elements from one row of a matrix to the next, and from one matrix along k to the next.
    const uint ldw = TB ? p.k : p.n;
    const ulong next = TB ? 8 : ulong(8) * p.n;
    const bool pairs = (p.ldx & 1) == 0;

    simdgroup_matrix<half, 8, 8> bm[UNROLL][TN];
#pragma unroll
    for (uint u = 0; u < UNROLL; ++u) {
#pragma unroll
        for (uint t = 0; t < TN; ++t) {
            simdgroup_load(bm[u][t], wt[t] + next * min(from + u, eights - 1), ldw, ulong2(0, 0), TB);
        }
    }
    inputs_ready();
    for (uint c = from; c < to; c += UNROLL) {
#pragma unroll
        for (uint u = 0; u < UNROLL; ++u) {
#pragma unroll
            for (uint s = 0; s < TM; ++s) {
                const uint r = r0 + 8 * s + row;
                simdgroup_matrix<half, 8, 8> am;
                const bool there = r < rows && c + u < to;
                device const half *at = x + ulong(there ? r : 0) * p.ldx + 8 * min(c + u, eights - 1) + column;
                am.thread_elements() = !there ? half2(0.0h) : pairs ? *(device const half2 *)at : half2(at[0], at[1]);
#pragma unroll
                for (uint t = 0; t < TN; ++t) {
                    simdgroup_multiply_accumulate(sum[s][t], am, bm[u][t], sum[s][t]);
                }
            }
        }
        if (c + UNROLL < to) {
#pragma unroll
            for (uint u = 0; u < UNROLL; ++u) {
#pragma unroll
                for (uint t = 0; t < TN; ++t) {
                    simdgroup_load(bm[u][t], wt[t] + next * min(c + UNROLL + u, eights - 1), ldw, ulong2(0, 0), TB);
                }
            }
        }
    }

#pragma unroll
    for (uint s = 0; s < TM; ++s) {
#pragma unroll
        for (uint t = 0; t < TN; ++t) {
            simdgroup_store(sum[s][t], partial + (simd * BM + 8 * s) * BN + 8 * t, BN);
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint e = thread_index; e < BM * BN; e += THREADS) {
        const uint r = r0 + e / BN, t = e % BN / 8;
        // The outputs that a matrix at the edge reads again are another's.
        const uint j = min(first + 8 * t, p.n - 8) + e % 8;
        if (r < rows && j >= first + 8 * t) {
            float v = 0.0f;
            for (uint s = 0; s < SIMDS; ++s) {
                v += partial[s * BM * BN + e];
            }
            store_output(y, r, j, v, bias, p);
        }
    }
}
