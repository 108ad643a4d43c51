// y[r, j] = f(alpha sum_i x[r, i] d[j, i / 32] q[j, i] + bias[j]) + beta y[r, j] for few rows; q: (n, k) i8, then d: (n, k / 32) half; x: (m, k), y: (m, n), bias: (n), all half; sums in float.
// A warp owns 16 OT outputs of 8 TT rows and one stretch of k, a block of 32 at a time; a block's warps split k, and one reduction joins them.
#include "tensor.h"

// The lane's eight quants of its two rows in each tile of outputs, with their scales, UNROLL times.
struct Weights {
    uint2 upper[UNROLL][OT], lower[UNROLL][OT];
    __half du[UNROLL][OT], dl[UNROLL][OT];
};

// Past the last output, the last row is read again; past the last block, that: nothing comes of either.
__device__ __forceinline__ Weights load_weights(const char *w, const MatmulParams &p, unsigned first, unsigned block, unsigned lane) {
    const unsigned blocks = p.k / 32;
    const __half *scales = reinterpret_cast<const __half *>(w + size_t(p.n) * p.k);
    Weights v;
#pragma unroll
    for (unsigned u = 0; u < UNROLL; ++u) {
        const unsigned b = min(block + u, blocks - 1);
#pragma unroll
        for (unsigned o = 0; o < OT; ++o) {
            const unsigned j = first + 16 * o + lane / 4;
            const size_t ju = min(j, p.n - 1), jl = min(j + 8, p.n - 1);
            v.upper[u][o] = load_once(reinterpret_cast<const uint2 *>(w + ju * p.k + b * 32 + lane % 4 * 8));
            v.lower[u][o] = load_once(reinterpret_cast<const uint2 *>(w + jl * p.k + b * 32 + lane % 4 * 8));
            v.du[u][o] = scales[ju * blocks + b];
            v.dl[u][o] = scales[jl * blocks + b];
        }
    }
    return v;
}

// Four quants as halves, in order: 1024 + u is the half 0x6400 | u for u below 1024, and u is the quant with its sign turned, 128 more.
__device__ __forceinline__ uint2 halves(uint word) {
    const uint turned = word ^ 0x80808080u;
    const uint low = __byte_perm(turned, 0x64646464u, 0x4140), high = __byte_perm(turned, 0x64646464u, 0x4342);
    const __half2 bias = __float2half2_rn(1152.0f);
    const __half2 a = __hsub2(reinterpret_cast<const __half2 &>(low), bias), b = __hsub2(reinterpret_cast<const __half2 &>(high), bias);
    return make_uint2(reinterpret_cast<const uint &>(a), reinterpret_cast<const uint &>(b));
}

extern "C" __global__ void __launch_bounds__(THREADS) skinny_q8(
    __half *y, const __half *x, const char *__restrict__ w, const __half *__restrict__ bias, const char *,
    const __grid_constant__ MatmulParams p, const unsigned *rows) {
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned first = blockIdx.x * OUTPUTS;
    const unsigned blocks = p.k / 32, each = (blocks + WARPS - 1) / WARPS;
    const unsigned from = min(warp * each, blocks), to = min(from + each, blocks);
    const bool wide = p.ldx % 8 == 0;

    Weights v = load_weights(w, p, first, from, lane);
    inputs_ready();
    const unsigned m = *rows;
    float sum[OT][TT][4] = {};
    for (unsigned c = from; c < to; c += UNROLL) {
        uint4 xs[UNROLL][TT];
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
#pragma unroll
            for (unsigned t = 0; t < TT; ++t) {
                const bool there = 8 * t + lane / 4 < m && c + u < to;
                const __half *from_x = x + size_t(8 * t + lane / 4) * p.ldx + (c + u) * 32 + lane % 4 * 8;
                xs[u][t] = !there ? make_uint4(0, 0, 0, 0) : wide ? *reinterpret_cast<const uint4 *>(from_x) : gather(from_x);
            }
        }
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
#pragma unroll
            for (unsigned o = 0; o < OT; ++o) {
                const uint2 a0 = halves(v.upper[u][o].x), a1 = halves(v.upper[u][o].y);
                const uint2 b0 = halves(v.lower[u][o].x), b1 = halves(v.lower[u][o].y);
                const float du = __half2float(v.du[u][o]), dl = __half2float(v.dl[u][o]);
#pragma unroll
                for (unsigned t = 0; t < TT; ++t) {
                    float of_block[4] = {};
                    product(of_block, a0.x, b0.x, a0.y, b0.y, xs[u][t].x, xs[u][t].y);
                    product(of_block, a1.x, b1.x, a1.y, b1.y, xs[u][t].z, xs[u][t].w);
#pragma unroll
                    for (unsigned e = 0; e < 4; ++e) {
                        sum[o][t][e] = fmaf(e < 2 ? du : dl, of_block[e], sum[o][t][e]);
                    }
                }
            }
        }
        if (c + UNROLL < to) {
            v = load_weights(w, p, first, c + UNROLL, lane);
        }
    }

    store(sum, y, bias, p, first, m);
}
