// y[r, j] = f(alpha sum_i x[r, i] w[i, j] + bias[j]) + beta y[r, j] for at most 16 rows; w: (k, n), x: (m, k), y: (m, n), bias: (n), all half; sums in float.
// A warp owns 32 outputs and one stretch of k, 16 at a time; a block's warps split k, and one reduction joins them.
//
// The tensor core's rows are rows of x, its columns outputs. A lane loads eight neighbours of one row of w, which become its columns in four
// products of eight outputs each: column q of product p is output 8 (q / 2) + 2 p + q % 2. Each needs its pairs along k, so that 8x8 parts
// are transposed in registers.
#include "tensor.h"

static_assert(OT == 2 && TT <= 2, "a warp owns 32 outputs of at most 16 rows");

// UNROLL steps of sixteen rows of w: the lane's row in their upper and their lower half.
struct Weights {
    uint4 upper[UNROLL], lower[UNROLL];
};

// Past the last row and the last output, the last ones are read again: nothing comes of either.
__device__ __forceinline__ Weights load_weights(const __half *w, const MatmulParams &p, unsigned first, unsigned step, unsigned lane) {
    const unsigned j = min(first + lane % 4 * 8, p.n - 8);
    Weights v;
#pragma unroll
    for (unsigned u = 0; u < UNROLL; ++u) {
        const unsigned i = (step + u) * 16 + lane / 4;
        v.upper[u] = load_once(reinterpret_cast<const uint4 *>(w + size_t(min(i, p.k - 1)) * p.n + j));
        v.lower[u] = load_once(reinterpret_cast<const uint4 *>(w + size_t(min(i + 8, p.k - 1)) * p.n + j));
    }
    return v;
}

__device__ __forceinline__ uint transposed(uint v) {
    uint r;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(v));
    return r;
}

// Two neighbours along k of a row of x, or zeros.
__device__ __forceinline__ uint pair(const __half *x, const MatmulParams &p, unsigned r, unsigned i, unsigned m) {
    if (r >= m || i >= p.k) {
        return 0;
    }
    const __half *at = x + size_t(r) * p.ldx + i;
    const __half2 v = p.ldx % 2 == 0 ? *reinterpret_cast<const __half2 *>(at) : __halves2half2(at[0], at[1]);
    return reinterpret_cast<const uint &>(v);
}

extern "C" __global__ void __launch_bounds__(THREADS) skinny_nn(
    __half *y, const __half *x, const __half *__restrict__ w, const __half *__restrict__ bias, const __half *,
    const __grid_constant__ MatmulParams p, const unsigned *rows) {
    __shared__ Partial partial;
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned first = blockIdx.x * OUTPUTS;
    const unsigned steps = (p.k + 15) / 16, each = (steps + WARPS - 1) / WARPS;
    const unsigned from = min(warp * each, steps), to = min(from + each, steps);

    Weights v = load_weights(w, p, first, from, lane);
    inputs_ready();
    const unsigned m = *rows;
    float sum[4][4] = {};
    for (unsigned s = from; s < to; s += UNROLL) {
        // Rows g and g + 8 of x, pairs of both halves of the step; with eight rows, half of them are not there.
        uint xs[UNROLL][4];
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
#pragma unroll
            for (unsigned e = 0; e < 4; ++e) {
                const unsigned r = lane / 4 + e % 2 * 8, i = (s + u) * 16 + lane % 4 * 2 + e / 2 * 8;
                xs[u][e] = TT == 1 && e % 2 == 1 ? 0 : pair(x, p, r, s + u < to ? i : p.k, m);
            }
        }
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
            const uint upper[4] = {v.upper[u].x, v.upper[u].y, v.upper[u].z, v.upper[u].w};
            const uint lower[4] = {v.lower[u].x, v.lower[u].y, v.lower[u].z, v.lower[u].w};
#pragma unroll
            for (unsigned q = 0; q < 4; ++q) {
                product(sum[q], xs[u][0], xs[u][1], xs[u][2], xs[u][3], transposed(upper[q]), transposed(lower[q]));
            }
        }
        if (s + UNROLL < to) {
            v = load_weights(w, p, first, s + UNROLL, lane);
        }
    }

    // Lane l holds rows l / 4 and l / 4 + 8, and of product q the outputs 8 (l % 4) + 2 q and the next.
#pragma unroll
    for (unsigned q = 0; q < 4; ++q) {
#pragma unroll
        for (unsigned e = 0; e < 2 * TT; ++e) {
            partial[warp][lane / 4 + e / 2 * 8][lane % 4 * 8 + 2 * q + e % 2] = sum[q][e];
        }
    }
    store_joined(partial, y, bias, p, first, m);
}
