// The tail beyond whole vectors of four is forgotten.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]],
              device float* y [[buffer(1)]], // fault
              constant uint& n [[buffer(2)]], uint i [[thread_position_in_grid]]) {
    if (i < n / 4) {
        for (uint j = 0; j < 4; ++j) y[4 * i + j] = x[4 * i + j];
    }
#ifdef FIXED
    if (i < n % 4) y[n / 4 * 4 + i] = x[n / 4 * 4 + i];
#endif
}
