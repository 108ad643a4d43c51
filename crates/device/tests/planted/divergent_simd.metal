// Half of a SIMD group sums while the other half is at the barrier already.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]],
              uint lane [[thread_index_in_simdgroup]]) {
    float sum = x[i];
#ifdef FIXED
    sum = simd_sum(lane < 16 ? sum : 0);
#else
    if (lane < 16) {
        sum = simd_sum(sum); // fault
    }
#endif
    threadgroup_barrier(mem_flags::mem_none);
    y[i] = sum;
}
