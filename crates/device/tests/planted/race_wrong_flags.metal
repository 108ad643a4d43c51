// The barrier is there, and orders the wrong memory.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], device float* scratch [[buffer(2)]],
              uint i [[thread_position_in_grid]], uint t [[thread_index_in_threadgroup]]) {
    scratch[i] = x[i];
#ifdef FIXED
    threadgroup_barrier(mem_flags::mem_device);
#else
    threadgroup_barrier(mem_flags::mem_threadgroup);
#endif
    y[i] = scratch[i - t + 63 - t]; // fault
}
