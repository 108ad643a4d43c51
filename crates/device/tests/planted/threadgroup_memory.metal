// A tile of 40 KiB, where the device has 32.
#include <metal_stdlib>
using namespace metal;

#ifdef FIXED
#define ROWS 64
#else
#define ROWS 160
#endif
kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]],
              uint t [[thread_index_in_threadgroup]]) {
    threadgroup float tile[ROWS][64]; // fault
    for (uint r = 0; r < ROWS; ++r) tile[r][t] = x[i];
    y[i] = tile[ROWS / 2][t];
}
