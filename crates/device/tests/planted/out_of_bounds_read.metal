// y[i] = x[i] + x[i + 1]: the last thread reads one element too many.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], constant uint& n [[buffer(2)]],
              uint i [[thread_position_in_grid]]) {
    float right = 0;
#ifdef FIXED
    if (i + 1 < n) right = x[i + 1];
#else
    if (i < n) right = x[i + 1]; // fault
#endif
    y[i] = x[i] + right;
}
