// Lanes of one SIMD group are at different SIMD functions.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]],
              uint lane [[thread_index_in_simdgroup]]) {
    float v = x[i];
#ifdef FIXED
    float a = simd_max(v), b = simd_min(v);
    y[i] = lane % 2 == 0 ? a : b;
#else
    if (lane % 2 == 0) {
        v = simd_max(v); // fault
    } else {
        v = simd_min(v);
    }
    y[i] = v;
#endif
}
