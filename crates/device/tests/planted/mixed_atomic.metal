// A counter that is counted atomically and read plainly.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], device atomic_uint* count [[buffer(2)]],
              uint i [[thread_position_in_grid]]) {
    if (x[i] > 3) atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
#ifdef FIXED
    uint now = atomic_load_explicit(count, memory_order_relaxed);
#else
    uint now = *(device uint*)count; // fault
#endif
    y[i] = now > 1000 ? 1 : 0;
}
