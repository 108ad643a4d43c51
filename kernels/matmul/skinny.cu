// y[r, j] = f(alpha sum_i x[r, i] w[j, i] + bias[j]) + beta y[r, j] for few rows; w: (n, k), x: (m, k), y: (m, n), bias: (n), all half; sums in float.
// A warp owns 16 OT outputs of 8 TT rows and one stretch of k, 32 at a time; a block's warps split k, and one reduction joins them.
#include "tensor.h"

// The lane's eight of k of its two rows of w in each tile of outputs, UNROLL times.
struct Weights {
    uint4 upper[UNROLL][OT], lower[UNROLL][OT];
};

// Past the last output, the last row is read again; past the last eight of k, those: nothing comes of either.
__device__ __forceinline__ Weights load_weights(const __half *w, const MatmulParams &p, unsigned first, unsigned chunk, unsigned lane) {
    Weights v;
#pragma unroll
    for (unsigned u = 0; u < UNROLL; ++u) {
        const unsigned at = min((chunk + u) * 32 + lane % 4 * 8, p.k - 8);
#pragma unroll
        for (unsigned o = 0; o < OT; ++o) {
            const unsigned j = first + 16 * o + lane / 4;
            v.upper[u][o] = load_once(reinterpret_cast<const uint4 *>(w + size_t(min(j, p.n - 1)) * p.k + at));
            v.lower[u][o] = load_once(reinterpret_cast<const uint4 *>(w + size_t(min(j + 8, p.n - 1)) * p.k + at));
        }
    }
    return v;
}

extern "C" __global__ void __launch_bounds__(THREADS) skinny(
    __half *y, const __half *x, const __half *__restrict__ w, const __half *__restrict__ bias, const __half *,
    const __grid_constant__ MatmulParams p, const unsigned *rows) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned first = blockIdx.x * OUTPUTS;
    const unsigned chunks = (p.k + 31) / 32, each = (chunks + WARPS - 1) / WARPS;
    const unsigned from = min(warp * each, chunks), to = min(from + each, chunks);
    const bool wide = p.ldx % 8 == 0;

    Weights v = load_weights(w, p, first, from, lane);
    inputs_ready();
    const unsigned m = *rows;
    float sum[OT][TT][4] = {};
    for (unsigned c = from; c < to; c += UNROLL) {
        uint4 xs[UNROLL][TT];
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
            const unsigned at = (c + u) * 32 + lane % 4 * 8;
#pragma unroll
            for (unsigned t = 0; t < TT; ++t) {
                // k is a multiple of eight: a lane's eight are all there or none.
                const bool there = 8 * t + lane / 4 < m && c + u < to && at < p.k;
                const __half *from_x = x + size_t(8 * t + lane / 4) * p.ldx + at;
                xs[u][t] = !there ? make_uint4(0, 0, 0, 0) : wide ? *reinterpret_cast<const uint4 *>(from_x) : gather(from_x);
            }
        }
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
#pragma unroll
            for (unsigned o = 0; o < OT; ++o) {
                const uint4 a = v.upper[u][o], b = v.lower[u][o];
#pragma unroll
                for (unsigned t = 0; t < TT; ++t) {
                    product(sum[o][t], a.x, b.x, a.y, b.y, xs[u][t].x, xs[u][t].y);
                    product(sum[o][t], a.z, b.z, a.w, b.w, xs[u][t].z, xs[u][t].w);
                }
            }
        }
        if (c + UNROLL < to) {
            v = load_weights(w, p, first, c + UNROLL, lane);
        }
    }

    store(sum, y, bias, p, first, m);
}
