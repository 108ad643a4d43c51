// Matrix operations need whole SIMD groups; this one is called by half of one.
#include <metal_simdgroup_matrix>
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]],
              uint lane [[thread_index_in_simdgroup]]) {
    y[i] = 0;
    simdgroup_float8x8 a;
#ifndef FIXED
    if (lane >= 16) return;
#endif
    simdgroup_load(a, x, 8);
    simdgroup_float8x8 c = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
    simdgroup_multiply_accumulate(c, a, a, c); // fault
    if (c.thread_elements()[0] < -1e30f) y[i] = 1;
}
