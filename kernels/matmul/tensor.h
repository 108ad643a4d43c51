// What the kernels for few rows share. The tensor core's rows are outputs, and its columns rows of x. Since any order of k gives the
// same sum, each lane takes the eight neighbours along k that it loads at once as its own share of two steps: neither operand passes
// through shared memory.
#pragma once

#include "cuda.h"

constexpr unsigned THREADS = 32 * WARPS;
// Of a block: OT tiles of sixteen outputs by TT tiles of eight rows.
constexpr unsigned OUTPUTS = 16 * OT;
constexpr unsigned ROWS = 8 * TT;

// sum += W x^T over sixteen of k: the lane's two rows of w, two pairs of each, and the same pairs of its row of x.
__device__ __forceinline__ void product(float (&sum)[4], uint w0, uint w1, uint w2, uint w3, uint x0, uint x1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(w0), "r"(w1), "r"(w2), "r"(w3), "r"(x0), "r"(x1));
}

// The warps' sums, each of its stretch of k; a word of padding spreads the rows over the banks.
typedef float Partial[WARPS][ROWS][OUTPUTS + 1];

// Joins them and stores the block's results.
__device__ __forceinline__ void store_joined(
    const Partial &partial, __half *y, const __half *bias, const MatmulParams &p, unsigned first, unsigned m) {
    __syncthreads();
    for (unsigned e = threadIdx.x; e < OUTPUTS * ROWS; e += THREADS) {
        const unsigned r = e / OUTPUTS, j = first + e % OUTPUTS;
        if (r < m && j < p.n) {
            float total = 0.0f;
#pragma unroll
            for (unsigned s = 0; s < WARPS; ++s) {
                total += partial[s][r][e % OUTPUTS];
            }
            finish(y + size_t(r) * p.ldy + j, bias, p, j, total);
        }
    }
}

// The same from registers: lane l holds outputs l / 4 and l / 4 + 8 of rows 2 (l % 4) and the next.
__device__ __forceinline__ void store(
    const float (&sum)[OT][TT][4], __half *y, const __half *bias, const MatmulParams &p, unsigned first, unsigned m) {
    __shared__ Partial partial;
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (unsigned o = 0; o < OT; ++o) {
#pragma unroll
        for (unsigned t = 0; t < TT; ++t) {
#pragma unroll
            for (unsigned e = 0; e < 4; ++e) {
                partial[warp][8 * t + lane % 4 * 2 + e % 2][16 * o + lane / 4 + e / 2 * 8] = sum[o][t][e];
            }
        }
    }
    store_joined(partial, y, bias, p, first, m);
}
