// y[r, j] = f(alpha sum_i x[r, i] w[j, i] + bias[j]) + beta y[r, j] for at most 16 rows; w: (n, k), x: (m, k), y: (m, n), bias: (n), all half; sums in float.
// A warp owns sixteen outputs and one stretch of k, 32 at a time; a block's warps split k, and one reduction joins them.
//
// Why CUDA: the tensor core's rows are outputs, and its columns rows of x. Since any order of k gives the same sum, each lane takes the eight
// neighbours along k that it loads with one access as its own share of four steps: neither operand passes through shared memory.
#include <cuda_fp16.h>

#include "params.h"

// Row tiles of eight, chunks of 32 along k in flight a lane, warps that split k.
constexpr unsigned TILES = ROWS / 8;
constexpr unsigned THREADS = 32 * WARPS;

__device__ __forceinline__ uint4 load_once(const uint4 *p) {
    uint4 v;
    asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

// Eight elements, wherever they lie.
__device__ __forceinline__ uint4 gather(const __half *p) {
    __half2 v[4];
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        v[i] = __halves2half2(p[2 * i], p[2 * i + 1]);
    }
    return *reinterpret_cast<uint4 *>(v);
}

// sum += W x^T, sixteen of k: the lane's two rows of w, two pairs of each, and the same pairs of its row of x.
__device__ __forceinline__ void product(float (&sum)[4], uint w0, uint w1, uint w2, uint w3, uint x0, uint x1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(w0), "r"(w1), "r"(w2), "r"(w3), "r"(x0), "r"(x1));
}

__device__ __forceinline__ float activated(float v, uint activation) {
    switch (activation) {
    case 1: return fmaxf(v, 0.0f);
    case 2: return v / (1.0f + __expf(-2.0f * 0.7978845608f * (v + 0.044715f * v * v * v)));
    case 3: return v / (1.0f + __expf(-v));
    default: return v;
    }
}

extern "C" __global__ void __launch_bounds__(THREADS) skinny(
    __half *y, const __half *x, const __half *__restrict__ w, const __half *__restrict__ bias, const __half *,
    const __grid_constant__ MatmulParams p, const unsigned *rows) {
    __shared__ float partial[WARPS][ROWS][17];
    const unsigned lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const unsigned first = blockIdx.x * 16, row = lane / 4, part = lane % 4 * 8;
    // Chunks of 32 along k; k is a multiple of 8, so that a lane's eight are all there or none.
    const unsigned chunks = (p.k + 31) / 32, each = (chunks + WARPS - 1) / WARPS;
    const unsigned from = min(warp * each, chunks), to = min(from + each, chunks);
    const __half *upper = w + size_t(min(first + row, p.n - 1)) * p.k;
    const __half *lower = w + size_t(min(first + 8 + row, p.n - 1)) * p.k;
    const bool wide = p.ldx % 8 == 0;
    const uint4 none = make_uint4(0, 0, 0, 0);

    uint4 wu[UNROLL], wl[UNROLL];
#pragma unroll
    for (unsigned u = 0; u < UNROLL; ++u) {
        const unsigned at = min((from + u) * 32 + part, p.k - 8);
        wu[u] = load_once(reinterpret_cast<const uint4 *>(upper + at));
        wl[u] = load_once(reinterpret_cast<const uint4 *>(lower + at));
    }
    asm volatile("griddepcontrol.launch_dependents;\n\tgriddepcontrol.wait;" ::: "memory");
    const unsigned m = *rows;
    float sum[TILES][4] = {};
    for (unsigned c = from; c < to; c += UNROLL) {
        uint4 xs[UNROLL][TILES];
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
            const unsigned at = (c + u) * 32 + part;
#pragma unroll
            for (unsigned t = 0; t < TILES; ++t) {
                const bool there = 8 * t + row < m && c + u < to && at < p.k;
                const __half *xt = x + size_t(8 * t + row) * p.ldx + at;
                xs[u][t] = !there ? none : wide ? *reinterpret_cast<const uint4 *>(xt) : gather(xt);
            }
        }
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
#pragma unroll
            for (unsigned t = 0; t < TILES; ++t) {
                product(sum[t], wu[u].x, wl[u].x, wu[u].y, wl[u].y, xs[u][t].x, xs[u][t].y);
                product(sum[t], wu[u].z, wl[u].z, wu[u].w, wl[u].w, xs[u][t].z, xs[u][t].w);
            }
        }
        if (c + UNROLL < to) {
#pragma unroll
            for (unsigned u = 0; u < UNROLL; ++u) {
                const unsigned at = min((c + UNROLL + u) * 32 + part, p.k - 8);
                wu[u] = load_once(reinterpret_cast<const uint4 *>(upper + at));
                wl[u] = load_once(reinterpret_cast<const uint4 *>(lower + at));
            }
        }
    }

    // Lane l holds outputs l / 4 and l / 4 + 8 of rows 2 (l % 4) and the next.
#pragma unroll
    for (unsigned t = 0; t < TILES; ++t) {
#pragma unroll
        for (unsigned e = 0; e < 4; ++e) {
            partial[warp][8 * t + lane % 4 * 2 + e % 2][row + e / 2 * 8] = sum[t][e];
        }
    }
    __syncthreads();
    for (unsigned e = threadIdx.x; e < 16 * ROWS; e += THREADS) {
        const unsigned r = e / 16, j = first + e % 16;
        if (r < m && j < p.n) {
            float v = 0.0f;
#pragma unroll
            for (unsigned s = 0; s < WARPS; ++s) {
                v += partial[s][r][e % 16];
            }
            v = activated(p.alpha * v + (p.bias != 0 ? __half2float(bias[j]) : 0.0f), p.activation);
            __half *to = y + size_t(r) * p.ldy + j;
            *to = __float2half(p.accumulate != 0 ? fmaf(p.beta, __half2float(*to), v) : v);
        }
    }
}
