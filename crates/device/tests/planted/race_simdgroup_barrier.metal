// A barrier of the SIMD group, where the data comes from another one.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]],
              uint t [[thread_index_in_threadgroup]]) {
    threadgroup float tile[64];
    tile[t] = 0;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    tile[t] = x[i];
    simdgroup_barrier(mem_flags::mem_threadgroup);
#ifdef FIXED
    y[i] = tile[t ^ 1];
#else
    y[i] = tile[t ^ 32]; // fault
#endif
}
