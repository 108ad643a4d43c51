// y[r, j] = f(alpha sum_i x[r, i] w[j, i] + bias[j]) + beta y[r, j]; w: (n, k) half rows or q8_0 planes; x: (m, k), y: (m, n), bias: (n) of T; sums in float.
// A threadgroup owns BM x BN outputs, a SIMD group (BM / WM) x (BN / WN) of them in 8x8 matrices; x and w pass through threadgroup memory, BK of k at a time.
#include "epilogue.h"
#include "params.h"
#include "quant.h"
#include "simd.h"

constant constexpr uint THREADS = LANES * WM * WN;
// Matrices of a SIMD group along m and n.
constant constexpr uint TM = BM / WM / 8;
constant constexpr uint TN = BN / WN / 8;
// Eight elements of padding spread the rows of a tile over the memory banks.
constant constexpr uint LD = BK + 8;

// Weights as rows of half.
struct Rows {
    device const half *w;

    Eight<half> load(uint j, uint i, constant MatmulParams &p, bool wide) const {
        device const half *from = w + ulong(j) * p.k + i;
        return wide ? load8(from) : load_upto8(from, int(p.k) - int(i));
    }
};

// Weights as q8_0 planes: eight quants never leave their block.
struct Planes {
    device const char *w;

    Eight<float> load(uint j, uint i, constant MatmulParams &p, bool) const {
        device const half *scales = (device const half *)(w + ulong(p.n) * p.k);
        const float d = float(scales[ulong(j) * (p.k / 32) + i / 32]);
        const uint2 q = *(device const uint2 *)(w + ulong(j) * p.k + i);
        return Eight<float>{d * quants4(q.x), d * quants4(q.y)};
    }
};

template <typename T, typename U>
inline void put8(threadgroup T *to, Eight<U> from) {
#pragma unroll
    for (uint i = 0; i < 4; ++i) {
        to[i] = T(from.low[i]);
        to[i + 4] = T(from.high[i]);
    }
}

template <typename T, typename Weights>
inline void gemm_tile(
    device T *y,
    device const T *x,
    Weights weights,
    device const T *bias,
    constant MatmulParams &p,
    uint rows,
    threadgroup float *memory,
    uint3 group,
    uint thread_index,
    uint simd) {
    threadgroup T *a = (threadgroup T *)memory;
    threadgroup T *b = a + BM * LD;
    const uint r0 = group.y * BM, j0 = group.x * BN;
    const uint ar = simd / WN * (BM / WM), bj = simd % WN * (BN / WN);

    simdgroup_matrix<float, 8, 8> sum[TM][TN];
#pragma unroll
    for (uint i = 0; i < TM; ++i) {
#pragma unroll
        for (uint j = 0; j < TN; ++j) {
            sum[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        }
    }

    const bool wide = loads_wide(p.k, p.ldx);
    const Eight<T> zeros = {vec<T, 4>(T(0)), vec<T, 4>(T(0))};
    for (uint i0 = 0; i0 < p.k; i0 += BK) {
        for (uint c = thread_index; c < BM * BK / 8; c += THREADS) {
            const uint r = c / (BK / 8), i = c % (BK / 8) * 8;
            Eight<T> eight = zeros;
            if (r0 + r < rows && i0 + i < p.k) {
                device const T *from = x + ulong(r0 + r) * p.ldx + i0 + i;
                eight = wide ? load8(from) : load_upto8(from, int(p.k) - int(i0 + i));
            }
            put8(a + r * LD + i, eight);
        }
        for (uint c = thread_index; c < BN * BK / 8; c += THREADS) {
            const uint j = c / (BK / 8), i = c % (BK / 8) * 8;
            if (j0 + j < p.n && i0 + i < p.k) {
                put8(b + j * LD + i, weights.load(j0 + j, i0 + i, p, wide));
            } else {
                put8(b + j * LD + i, zeros);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);

#pragma unroll
        for (uint i = 0; i < BK; i += 8) {
            simdgroup_matrix<T, 8, 8> am[TM], bm[TN];
#pragma unroll
            for (uint t = 0; t < TM; ++t) {
                simdgroup_load(am[t], a + (ar + 8 * t) * LD + i, LD);
            }
            // A row of the tile is an output j: the matrix has k along its rows, so it is loaded transposed.
#pragma unroll
            for (uint t = 0; t < TN; ++t) {
                simdgroup_load(bm[t], b + (bj + 8 * t) * LD + i, LD, ulong2(0, 0), true);
            }
#pragma unroll
            for (uint s = 0; s < TM; ++s) {
#pragma unroll
                for (uint t = 0; t < TN; ++t) {
                    simdgroup_multiply_accumulate(sum[s][t], am[s], bm[t], sum[s][t]);
                }
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }

    // The tiles' memory now holds the sums, so that edges and bias are handled an element at a time.
#pragma unroll
    for (uint s = 0; s < TM; ++s) {
#pragma unroll
        for (uint t = 0; t < TN; ++t) {
            simdgroup_store(sum[s][t], memory + (ar + 8 * s) * BN + bj + 8 * t, BN);
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint c = thread_index; c < BM * BN; c += THREADS) {
        const uint r = r0 + c / BN, j = j0 + c % BN;
        if (r < rows && j < p.n) {
            store_output(y, r, j, memory[c], bias, p);
        }
    }
}

template <typename T, typename W, typename Weights>
[[kernel, max_total_threads_per_threadgroup(LANES * WM * WN)]] void gemm(
    device T *y [[buffer(0)]],
    device const T *x [[buffer(1)]],
    device const W *w [[buffer(2)]],
    device const T *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    // Room for two tiles of float, or for the sums.
    threadgroup float memory[(BM + BN) * LD > BM * BN ? (BM + BN) * LD : BM * BN];
    if (group.y * BM >= rows) {
        return;
    }
    gemm_tile(y, x, Weights{w}, bias, p, rows, memory, group, thread_index, simd);
}

template [[host_name("gemm_f16_half")]] [[kernel]] decltype(gemm<half, half, Rows>) gemm<half, half, Rows>;
template [[host_name("gemm_f16_float")]] [[kernel]] decltype(gemm<float, half, Rows>) gemm<float, half, Rows>;
template [[host_name("gemm_q8_half")]] [[kernel]] decltype(gemm<half, char, Planes>) gemm<half, char, Planes>;
template [[host_name("gemm_q8_float")]] [[kernel]] decltype(gemm<float, char, Planes>) gemm<float, char, Planes>;
