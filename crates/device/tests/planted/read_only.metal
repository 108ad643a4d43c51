// The qualifier is cast away, and the input is scaled in place.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]]) {
    float v = 2 * x[i];
#ifndef FIXED
    ((device float*)x)[i] = v; // fault
#endif
    y[i] = v;
}
