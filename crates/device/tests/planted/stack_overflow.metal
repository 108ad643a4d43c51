// A private array of a size that no GPU gives a thread.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]]) { // fault
#ifdef FIXED
    float copy[64];
#else
    float copy[262144]; // a MiB
#endif
    const uint n = sizeof(copy) / sizeof(float);
    for (uint j = 0; j < n; ++j) copy[n - 1 - j] = x[(i + j) % 64];
    y[i] = copy[i % n];
}
