// A block size that is zero for small problems.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], constant uint& n [[buffer(2)]],
              uint i [[thread_position_in_grid]]) {
#ifdef FIXED
    uint block = max(n / 1024, 1u);
#else
    uint block = n / 1024;
#endif
    y[i] = x[i] + float(i / block); // fault
}
