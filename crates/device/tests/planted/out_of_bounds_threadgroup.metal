// A tile argument of the host's length, and a neighbour beyond it.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], threadgroup float* tile [[threadgroup(0)]],
              uint i [[thread_position_in_grid]], uint t [[thread_index_in_threadgroup]],
              uint count [[threads_per_threadgroup]]) {
    tile[t] = x[i];
    threadgroup_barrier(mem_flags::mem_threadgroup);
#ifdef FIXED
    y[i] = tile[t] + tile[(t + 1) % count];
#else
    y[i] = tile[t] + tile[t + 1]; // fault
#endif
}
