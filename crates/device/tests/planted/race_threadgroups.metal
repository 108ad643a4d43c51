// Threadgroups overlap: each writes a halo that belongs to the next.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], constant uint& n [[buffer(2)]],
              uint t [[thread_index_in_threadgroup]], uint g [[threadgroup_position_in_grid]]) {
#ifdef FIXED
    uint i = g * 64 + t;
#else
    uint i = g * 60 + t;
#endif
    if (i < n) y[i] = x[i]; // fault
}
