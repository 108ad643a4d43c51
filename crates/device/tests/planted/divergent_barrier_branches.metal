// Both branches have a barrier, but not the same one.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]],
              uint t [[thread_index_in_threadgroup]]) {
    threadgroup float tile[64];
#ifdef FIXED
    tile[t] = t < 32 ? x[i] : -x[i];
    threadgroup_barrier(mem_flags::mem_threadgroup);
#else
    if (t < 32) {
        tile[t] = x[i];
        threadgroup_barrier(mem_flags::mem_threadgroup); // fault
    } else {
        tile[t] = -x[i];
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
#endif
    y[i] = tile[63 - t];
}
