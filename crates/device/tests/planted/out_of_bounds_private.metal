// A private array of four, and an index that comes from the data.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]]) {
    float bins[4] = {0, 0, 0, 0};
    for (int j = 0; j < 8; ++j) {
#ifdef FIXED
        bins[j & 3] += x[i];
#else
        bins[j + int(x[0])] += x[i]; // fault
#endif
    }
    y[i] = bins[0] + bins[1] + bins[2] + bins[3];
}
