// The left neighbour of the first element: an unsigned index wraps to four thousand million.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]]) {
#ifdef FIXED
    float left = i > 0 ? x[i - 1] : 0;
#else
    float left = x[i - 1]; // fault
#endif
    y[i] = x[i] - left;
}
