// A reduction over 64 slots, of which only the first 48 are filled.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint t [[thread_index_in_threadgroup]],
              uint g [[threadgroup_position_in_grid]]) {
    threadgroup float part[64];
#ifdef FIXED
    part[t] = t < 48 ? x[t] : 0;
#else
    if (t < 48) part[t] = x[t];
#endif
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (t == 0) {
        float sum = 0;
        for (uint j = 0; j < 64; ++j) sum += part[j]; // fault
        y[g] = sum;
    }
}
