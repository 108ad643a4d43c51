// What kernels in CUDA C++ share: loads past the first-level cache, and what becomes of a sum.
#pragma once

#include <cuda_fp16.h>

#include "params.h"

__device__ __forceinline__ uint4 load_once(const uint4 *p) {
    uint4 v;
    asm("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0, %1, %2, %3}, [%4];" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}

__device__ __forceinline__ uint2 load_once(const uint2 *p) {
    uint2 v;
    asm("ld.global.nc.L1::no_allocate.L2::128B.v2.u32 {%0, %1}, [%2];" : "=r"(v.x), "=r"(v.y) : "l"(p));
    return v;
}

// Eight elements, whatever their boundary.
__device__ __forceinline__ uint4 gather(const __half *p) {
    __half2 v[4];
#pragma unroll
    for (unsigned i = 0; i < 4; ++i) {
        v[i] = __halves2half2(p[2 * i], p[2 * i + 1]);
    }
    return *reinterpret_cast<uint4 *>(v);
}

// An activation function by its number, as `kernels/msl/math.h` has it: 0 none, 1 relu, 2 gelu, 3 silu.
__device__ __forceinline__ float activated(float v, uint activation) {
    switch (activation) {
    case 1: return fmaxf(v, 0.0f);
    case 2: return v / (1.0f + __expf(-2.0f * 0.7978845608f * (v + 0.044715f * v * v * v)));
    case 3: return v / (1.0f + __expf(-v));
    default: return v;
    }
}

// *y = f(alpha v (+ bias[j])) (+ beta *y)
__device__ __forceinline__ void finish(__half *y, const __half *bias, const MatmulParams &p, unsigned j, float v) {
    v = activated(p.alpha * v + (p.bias != 0 ? __half2float(bias[j]) : 0.0f), p.activation);
    *y = __float2half(p.accumulate != 0 ? fmaf(p.beta, __half2float(*y), v) : v);
}

// From here on, what earlier launches write is there.
__device__ __forceinline__ void inputs_ready() {
    asm volatile("griddepcontrol.launch_dependents;\n\tgriddepcontrol.wait;" ::: "memory");
}
