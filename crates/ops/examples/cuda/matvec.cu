// The twin of kernels/matmul/matvec.metal, written by hand: the same algorithm, geometry and knobs.
// y[r, j] = f(alpha sum_i x[r, i] w[j, i] + bias[j]) + beta y[r, j]; w: (n, k), x: (m, k), y: (m, n), bias: (n), all half; sums in float.
// A block owns BN outputs of one row; its warps split k: each thread owns every (32 SIMDS)-th eight elements of it.
#include <cuda_fp16.h>

#include "params.h"

constexpr unsigned THREADS = 32 * SIMDS;

struct Float8 {
    float2 a, b, c, d;
};

__device__ __forceinline__ Float8 floats(uint4 v) {
    return {__half22float2(reinterpret_cast<const __half2 &>(v.x)), __half22float2(reinterpret_cast<const __half2 &>(v.y)),
            __half22float2(reinterpret_cast<const __half2 &>(v.z)), __half22float2(reinterpret_cast<const __half2 &>(v.w))};
}

__device__ __forceinline__ float warp_sum(float v) {
    for (int step = 16; step > 0; step >>= 1) {
        v += __shfl_xor_sync(0xffffffffu, v, step);
    }
    return v;
}

__device__ __forceinline__ uint4 load_once(const uint4 *p) {
    uint4 v;
    asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

__device__ __forceinline__ float activated(float v, unsigned activation) {
    switch (activation) {
    case 1: return fmaxf(v, 0.0f);
    case 2: return v / (1.0f + __expf(-2.0f * 0.7978845608f * (v + 0.044715f * v * v * v)));
    case 3: return v / (1.0f + __expf(-v));
    default: return v;
    }
}

// The eight elements number c of each row and those at every later stride, UNROLL in all; past the end, the last ones again.
__device__ __forceinline__ void load_tile(uint4 (&ws)[UNROLL][BN], const __half *const (&rows)[BN], unsigned c, unsigned eights) {
#pragma unroll
    for (unsigned u = 0; u < UNROLL; ++u) {
#pragma unroll
        for (unsigned b = 0; b < BN; ++b) {
            ws[u][b] = load_once(reinterpret_cast<const uint4 *>(rows[b]) + min(c + u * THREADS, eights - 1));
        }
    }
}

// x and rows are not restrict: what READY waits for must not be read before it, which the read-only path would allow.
extern "C" __global__ void __launch_bounds__(THREADS) matvec(
    __half *y, const __half *x, const __half *__restrict__ w, const __half *__restrict__ bias,
    const __grid_constant__ MatmulParams p, const unsigned *rows) {
    __shared__ float partial[SIMDS * BN];
    const unsigned tid = threadIdx.x, lane = tid & 31, warp = tid >> 5;
    const unsigned r = blockIdx.y, first = blockIdx.x * BN;
    const __half *wr[BN];
#pragma unroll
    for (unsigned b = 0; b < BN; ++b) {
        wr[b] = w + size_t(min(first + b, p.n - 1)) * p.k;
    }
    const unsigned eights = ((p.k | p.ldx) & 7) == 0 ? p.k / 8 : 0;

    uint4 ws[UNROLL][BN];
    unsigned c = tid;
    if (eights > 0) {
        load_tile(ws, wr, c, eights);
    }
    READY
    if (r > 0 && r >= *rows) {
        return;
    }
    const __half *xr = x + size_t(r) * p.ldx;
    float2 sum[BN] = {};
    while (c < eights) {
        uint4 xs[UNROLL];
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
            xs[u] = reinterpret_cast<const uint4 *>(xr)[min(c + u * THREADS, eights - 1)];
        }
#pragma unroll
        for (unsigned u = 0; u < UNROLL; ++u) {
            if (u == 0 || c + u * THREADS < eights) {
                const Float8 xf = floats(xs[u]);
#pragma unroll
                for (unsigned b = 0; b < BN; ++b) {
                    const Float8 wf = floats(ws[u][b]);
                    sum[b].x = fmaf(xf.a.x, wf.a.x, sum[b].x);
                    sum[b].x = fmaf(xf.a.y, wf.a.y, sum[b].x);
                    sum[b].x = fmaf(xf.b.x, wf.b.x, sum[b].x);
                    sum[b].x = fmaf(xf.b.y, wf.b.y, sum[b].x);
                    sum[b].y = fmaf(xf.c.x, wf.c.x, sum[b].y);
                    sum[b].y = fmaf(xf.c.y, wf.c.y, sum[b].y);
                    sum[b].y = fmaf(xf.d.x, wf.d.x, sum[b].y);
                    sum[b].y = fmaf(xf.d.y, wf.d.y, sum[b].y);
                }
            }
        }
        c += UNROLL * THREADS;
        if (c < eights) {
            load_tile(ws, wr, c, eights);
        }
    }
    for (unsigned i = 8 * eights + tid; i < p.k; i += THREADS) {
        const float xi = __half2float(xr[i]);
#pragma unroll
        for (unsigned b = 0; b < BN; ++b) {
            sum[b].x = fmaf(xi, __half2float(wr[b][i]), sum[b].x);
        }
    }

    float total[BN];
#pragma unroll
    for (unsigned b = 0; b < BN; ++b) {
        total[b] = warp_sum(sum[b].x + sum[b].y);
    }
    if (lane == 0) {
#pragma unroll
        for (unsigned b = 0; b < BN; ++b) {
            partial[warp * BN + b] = total[b];
        }
    }
    __syncthreads();

    const unsigned j = first + tid;
    if (tid < BN && j < p.n && r < *rows) {
        float v = 0.0f;
        for (unsigned s = 0; s < SIMDS; ++s) {
            v += partial[s * BN + tid];
        }
        v = activated(p.alpha * v + (p.bias != 0 ? __half2float(bias[j]) : 0.0f), p.activation);
        __half *out = y + size_t(r) * p.ldy + j;
        *out = __float2half(p.accumulate != 0 ? fmaf(p.beta, __half2float(*out), v) : v);
    }
}
