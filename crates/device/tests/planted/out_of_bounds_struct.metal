// Blocks of a quantized row are copied whole; the last one is not there.
#include <metal_stdlib>
using namespace metal;

struct Block { half d; char q[32]; };
kernel void k(device const Block* x [[buffer(0)]], device float* y [[buffer(1)]], constant uint& n [[buffer(2)]],
              uint i [[thread_position_in_grid]]) {
#ifdef FIXED
    Block b = x[min(i, n - 1)];
#else
    Block b = x[min(i, n)]; // fault
#endif
    float sum = 0;
    for (int j = 0; j < 32; ++j) sum += b.q[j];
    y[i] = float(b.d) * sum;
}
