// The kernel says how many threads it was written for.
#include <metal_stdlib>
using namespace metal;

#ifdef FIXED
#define MOST 1024
#else
#define MOST 32
#endif
[[kernel, max_total_threads_per_threadgroup(MOST)]]
void k(device const float* x [[buffer(0)]], // fault
       device float* y [[buffer(1)]], uint i [[thread_position_in_grid]]) {
    y[i] = x[i];
}
