// A threadgroup waits for a flag that a later one sets: Metal does not promise that the later one runs meanwhile.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], device atomic_uint* flag [[buffer(2)]],
              uint i [[thread_position_in_grid]], uint g [[threadgroup_position_in_grid]],
              uint groups [[threadgroups_per_grid]]) {
    if (g + 1 == groups) atomic_store_explicit(flag, 1, memory_order_relaxed);
#ifndef FIXED
    while (atomic_load_explicit(flag, memory_order_relaxed) == 0) {} // fault
#endif
    y[i] = x[i];
}
