// Threads without work return early, and the others wait for them.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], constant uint& n [[buffer(2)]],
              uint i [[thread_position_in_grid]], uint t [[thread_index_in_threadgroup]]) {
    threadgroup float tile[64];
#ifdef FIXED
    tile[t] = i < n ? x[i] : 0;
#else
    if (i >= n - 10) return;
    tile[t] = x[i];
#endif
    threadgroup_barrier(mem_flags::mem_threadgroup); // fault
    y[i] = tile[t];
}
