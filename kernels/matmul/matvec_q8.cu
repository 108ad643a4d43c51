// y[r, j] = f(alpha sum_i x[r, i] d[j, i / 32] q[j, i] + bias[j]) + beta y[r, j]; q: (n, k) i8, then d: (n, k / 32) half; x: (m, k), y: (m, n), bias: (n), all half; sums in float.
// A block owns BN outputs of one row; its warps split k: each thread owns every (32 WARPS)-th half block of it, 16 elements.
//
// Why CUDA: its dot products of bytes need no conversion of weights. A thread turns its sixteen of x into integers of 16 bits with a scale
// of their own, as two bytes each, so that products and sums are exact.
#include "cuda.h"

constexpr unsigned THREADS = 32 * WARPS;

// Weights of BN rows as they lie in memory: half a block of each, UNROLL times.
struct Tile {
    uint4 q[UNROLL][BN];
    __half d[UNROLL][BN];
};

// Past the last output, the last row is read again; past the last half block, that: nothing comes of either.
__device__ __forceinline__ Tile load_tile(const char *w, const MatmulParams &p, unsigned first, unsigned c, unsigned halves) {
    const __half *scales = reinterpret_cast<const __half *>(w + size_t(p.n) * p.k);
    Tile tile;
#pragma unroll
    for (unsigned u = 0; u < UNROLL; ++u) {
        const unsigned at = min(c + u * THREADS, halves - 1);
#pragma unroll
        for (unsigned b = 0; b < BN; ++b) {
            const size_t j = min(first + b, p.n - 1);
            tile.q[u][b] = load_once(reinterpret_cast<const uint4 *>(w + j * p.k + 16 * at));
            tile.d[u][b] = __ldg(scales + j * (p.k / 32) + at / 2);
        }
    }
    return tile;
}

// Sixteen of x as 256 high + low times a scale; high is signed, low is not.
struct Quantized {
    uint high[4], low[4];
    float scale;
};

__device__ __forceinline__ Quantized quantize(const float (&x)[16]) {
    float top = 0.0f;
#pragma unroll
    for (unsigned i = 0; i < 16; ++i) {
        top = fmaxf(top, fabsf(x[i]));
    }
    const float factor = top > 0.0f ? 32512.0f / top : 0.0f;
    uint bits[16];
#pragma unroll
    for (unsigned i = 0; i < 16; ++i) {
        // With 1.5 * 2^23 added, the integer stands in a float's lowest bits.
        bits[i] = __float_as_uint(fmaf(x[i], factor, 12582912.0f));
    }
    Quantized v;
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        const uint first = __byte_perm(bits[4 * i], bits[4 * i + 1], 0x5140), second = __byte_perm(bits[4 * i + 2], bits[4 * i + 3], 0x5140);
        v.low[i] = __byte_perm(first, second, 0x5410);
        v.high[i] = __byte_perm(first, second, 0x7632);
    }
    v.scale = top / 32512.0f;
    return v;
}

__device__ __forceinline__ int dot(const uint4 &q, const Quantized &x) {
    const uint word[4] = {q.x, q.y, q.z, q.w};
    int high = 0, low = 0;
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        asm("dp4a.s32.s32 %0, %1, %2, %0;" : "+r"(high) : "r"(word[i]), "r"(x.high[i]));
        asm("dp4a.s32.u32 %0, %1, %2, %0;" : "+r"(low) : "r"(word[i]), "r"(x.low[i]));
    }
    return high * 256 + low;
}

extern "C" __global__ void __launch_bounds__(THREADS) matvec_q8(
    __half *y, const __half *x, const char *__restrict__ w, const __half *__restrict__ bias, const char *,
    const __grid_constant__ MatmulParams p, const unsigned *rows) {
    __shared__ float partial[WARPS][BN];
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned r = blockIdx.y, first = blockIdx.x * BN;
    const unsigned halves = p.k / 16;

    unsigned c = threadIdx.x;
    Tile tile = load_tile(w, p, first, c, halves);
    inputs_ready();
    if (r > 0 && r >= *rows) {
        return;
    }
    const __half *xr = x + size_t(r) * p.ldx;
    const bool wide = p.ldx % 8 == 0;
    float sum[BN] = {};
    while (c < halves) {
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
            const unsigned at = c + u * THREADS;
            if (u == 0 || at < halves) {
                const __half *from = xr + 16 * at;
                const uint4 words[2] = {
                    wide ? reinterpret_cast<const uint4 *>(from)[0] : gather(from), wide ? reinterpret_cast<const uint4 *>(from)[1] : gather(from + 8)};
                const __half2 *pairs = reinterpret_cast<const __half2 *>(words);
                float values[16];
#pragma unroll
                for (unsigned i = 0; i < 8; ++i) {
                    const float2 pair = __half22float2(pairs[i]);
                    values[2 * i] = pair.x;
                    values[2 * i + 1] = pair.y;
                }
                const Quantized xq = quantize(values);
#pragma unroll
                for (unsigned b = 0; b < BN; ++b) {
                    sum[b] = fmaf(__half2float(tile.d[u][b]) * xq.scale, float(dot(tile.q[u][b], xq)), sum[b]);
                }
            }
        }
        c += UNROLL * THREADS;
        if (c < halves) {
            tile = load_tile(w, p, first, c, halves);
        }
    }

#pragma unroll
    for (unsigned b = 0; b < BN; ++b) {
#pragma unroll
        for (unsigned step = 16; step > 0; step /= 2) {
            sum[b] += __shfl_xor_sync(0xffffffffu, sum[b], step);
        }
    }
    if (lane == 0) {
#pragma unroll
        for (unsigned b = 0; b < BN; ++b) {
            partial[warp][b] = sum[b];
        }
    }
    __syncthreads();
    const unsigned j = first + threadIdx.x;
    if (threadIdx.x < BN && j < p.n && r < *rows) {
        float v = 0.0f;
#pragma unroll
        for (unsigned s = 0; s < WARPS; ++s) {
            v += partial[s][threadIdx.x];
        }
        finish(y + size_t(r) * p.ldy + j, bias, p, j, v);
    }
}
