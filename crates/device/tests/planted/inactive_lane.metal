// The last lanes have returned; the shuffle asks them all the same.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]],
              uint lane [[thread_index_in_simdgroup]]) {
    y[i] = 0;
    if (lane >= 24) return;
#ifdef FIXED
    y[i] = simd_shuffle(x[i], ushort((lane + 8) % 24));
#else
    y[i] = simd_shuffle(x[i], ushort(lane + 8)); // fault
#endif
}
