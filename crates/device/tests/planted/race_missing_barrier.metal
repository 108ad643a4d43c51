// Neighbours are read before the threadgroup has agreed that they are there.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]],
              uint t [[thread_index_in_threadgroup]]) {
    threadgroup float tile[64];
    tile[t] = 0;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    tile[t] = x[i];
#ifdef FIXED
    threadgroup_barrier(mem_flags::mem_threadgroup);
#endif
    y[i] = tile[63 - t]; // fault
}
