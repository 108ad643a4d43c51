// The twin of kernels/softmax/softmax.metal, written by hand: the same algorithms, geometry and knobs.
// y[b, r, j] = exp(s x[b, r, j] - top) / sum, over the columns j that row r sees; 0 for the others, and for rows that see nothing.
// softmax_vec: a warp owns a row and holds it in registers. softmax_block: a block owns a row and walks it twice.
#include <cuda_fp16.h>

#include "params.h"

constexpr float LOWEST = -3.402823466e38f;
constexpr unsigned ALL = 0xffffffffu;

__device__ __forceinline__ float get(float v) { return v; }
__device__ __forceinline__ float get(__half v) { return __half2float(v); }
__device__ __forceinline__ void put(float *to, float v) { *to = v; }
__device__ __forceinline__ void put(__half *to, float v) { *to = __float2half(v); }

__device__ __forceinline__ float warp_sum(float v) {
    for (int step = 16; step > 0; step >>= 1) {
        v += __shfl_xor_sync(ALL, v, step);
    }
    return v;
}

__device__ __forceinline__ float warp_max(float v) {
    for (int step = 16; step > 0; step >>= 1) {
        v = fmaxf(v, __shfl_xor_sync(ALL, v, step));
    }
    return v;
}

__device__ __forceinline__ unsigned seen_columns(const SoftmaxParams &p, unsigned r) {
    return p.causal == 0 ? p.k : unsigned(min(max(int(r) + p.offset + 1, 0), int(p.k)));
}

// No pointer is restrict: what READY waits for must not be read before it, which the read-only path would allow; and y may be x.
#ifdef PER
extern "C" __global__ void __launch_bounds__(32 * SIMDS) softmax_vec(
    T *y, const T *x, const __grid_constant__ SoftmaxParams p, const unsigned *rows) {
    READY
    const unsigned lane = threadIdx.x & 31, r = blockIdx.x * SIMDS + (threadIdx.x >> 5);
    if (r >= *rows) {
        return;
    }
    const T *from = x + size_t(blockIdx.y) * p.bx + size_t(r) * p.ldx;
    T *to = y + size_t(blockIdx.y) * p.by + size_t(r) * p.ldy;
    const unsigned seen = seen_columns(p, r);

    float v[PER];
    float top = LOWEST;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        const unsigned j = lane + 32 * i;
        v[i] = j < seen ? p.scale * get(from[j]) : LOWEST;
        top = fmaxf(top, v[i]);
    }
    top = warp_max(top);

    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        v[i] = lane + 32 * i < seen ? expf(v[i] - top) : 0.0f;
        sum += v[i];
    }
    sum = warp_sum(sum);

    const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        const unsigned j = lane + 32 * i;
        if (j < p.k) {
            put(to + j, v[i] * inverse);
        }
    }
}
#else
__device__ __forceinline__ float block_sum(float v, float *slots) {
    const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    v = warp_sum(v);
    if (lane == 0) {
        slots[warp] = v;
    }
    __syncthreads();
    v = warp_sum(lane < SIMDS ? slots[lane] : 0.0f);
    __syncthreads();
    return v;
}

__device__ __forceinline__ float block_max(float v, float *slots) {
    const unsigned lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
    v = warp_max(v);
    if (lane == 0) {
        slots[warp] = v;
    }
    __syncthreads();
    v = warp_max(lane < SIMDS ? slots[lane] : v);
    __syncthreads();
    return v;
}

extern "C" __global__ void __launch_bounds__(32 * SIMDS) softmax_block(
    T *y, const T *x, const __grid_constant__ SoftmaxParams p, const unsigned *rows) {
    READY
    __shared__ float slots[SIMDS];
    const unsigned tid = threadIdx.x, r = blockIdx.x;
    if (r >= *rows) {
        return;
    }
    const T *from = x + size_t(blockIdx.y) * p.bx + size_t(r) * p.ldx;
    T *to = y + size_t(blockIdx.y) * p.by + size_t(r) * p.ldy;
    const unsigned seen = seen_columns(p, r);

    float top = LOWEST, sum = 0.0f;
    for (unsigned j = tid; j < seen; j += 32 * SIMDS) {
        const float v = p.scale * get(from[j]);
        if (v > top) {
            sum *= expf(top - v);
            top = v;
        }
        sum += expf(v - top);
    }
    const float all_top = block_max(top, slots);
    const float all_sum = block_sum(sum * expf(top - all_top), slots);

    const float inverse = all_sum > 0.0f ? 1.0f / all_sum : 0.0f;
    for (unsigned j = tid; j < p.k; j += 32 * SIMDS) {
        put(to + j, j < seen ? expf(p.scale * get(from[j]) - all_top) * inverse : 0.0f);
    }
}
#endif
