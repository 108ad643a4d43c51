// One thread writes a pair of elements; the grid has a thread too many for it.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], constant uint& n [[buffer(2)]],
              uint i [[thread_position_in_grid]]) {
#ifdef FIXED
    if (i >= n / 2) return;
#endif
    device float2* pair = (device float2*)y + i;
    pair[0] = float2(x[0], x[1]); // fault
}
