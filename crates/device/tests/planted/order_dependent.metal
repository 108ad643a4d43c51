// Compaction with a counter: who comes first gets the first slot.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], device atomic_uint* count [[buffer(2)]],
              uint i [[thread_position_in_grid]]) {
    uint slot = atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
#ifdef FIXED
    slot = i;
#endif
    y[slot] = x[i]; // fault
}
