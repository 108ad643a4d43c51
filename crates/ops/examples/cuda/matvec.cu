// The twin of kernels/matmul/matvec.metal, written by hand: the same algorithm, geometry and knobs.
// y[r, j] = sum_i x[r, i] w[j, i] (+ bias[j]) (+ y[r, j]); w: (n, k), x: (m, k), y: (m, n), bias: (n), all half; sums in float.
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

// The eight elements number c of each row and those at every later stride, UNROLL in all; past the end, the last ones again.
__device__ __forceinline__ void load_tile(uint4 (&ws)[UNROLL][BN], const __half *const (&rows)[BN], unsigned c, unsigned eights) {
#pragma unroll
    for (unsigned u = 0; u < UNROLL; ++u) {
#pragma unroll
        for (unsigned b = 0; b < BN; ++b) {
            ws[u][b] = reinterpret_cast<const uint4 *>(rows[b])[min(c + u * THREADS, eights - 1)];
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
    float4 sum[BN] = {};
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
                    sum[b].y = fmaf(xf.a.y, wf.a.y, sum[b].y);
                    sum[b].z = fmaf(xf.b.x, wf.b.x, sum[b].z);
                    sum[b].w = fmaf(xf.b.y, wf.b.y, sum[b].w);
                    sum[b].x = fmaf(xf.c.x, wf.c.x, sum[b].x);
                    sum[b].y = fmaf(xf.c.y, wf.c.y, sum[b].y);
                    sum[b].z = fmaf(xf.d.x, wf.d.x, sum[b].z);
                    sum[b].w = fmaf(xf.d.y, wf.d.y, sum[b].w);
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
        total[b] = warp_sum((sum[b].x + sum[b].y) + (sum[b].z + sum[b].w));
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
        float v = p.bias != 0 ? __half2float(bias[j]) : 0.0f;
        for (unsigned s = 0; s < SIMDS; ++s) {
            v += partial[s * BN + tid];
        }
        __half *out = y + size_t(r) * p.ldy + j;
        *out = __float2half(p.accumulate != 0 ? __half2float(*out) + v : v);
    }
}
