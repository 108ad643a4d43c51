// A buffer that the host forgot.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]],
#ifndef FIXED
              device const float* bias [[buffer(7)]], // fault
#endif
              uint i [[thread_position_in_grid]]) {
#ifdef FIXED
    y[i] = x[i];
#else
    y[i] = x[i] + bias[i];
#endif
}
