// The tile is filled anew while others still read the last one.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]],
              uint t [[thread_index_in_threadgroup]]) {
    threadgroup float tile[64];
    float sum = 0;
    for (int step = 0; step < 2; ++step) {
        tile[t] = x[i] + step; // fault
        threadgroup_barrier(mem_flags::mem_threadgroup);
        sum += tile[(t + 33) % 64];
#ifdef FIXED
        threadgroup_barrier(mem_flags::mem_threadgroup);
#endif
    }
    y[i] = sum;
}
