// An output that is added to without having been set.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]]) {
#ifdef FIXED
    y[i] = 0;
#endif
    y[i] += x[i]; // fault
}
