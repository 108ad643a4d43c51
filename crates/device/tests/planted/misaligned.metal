// A vector load from an address that is a multiple of four bytes only.
#include <metal_stdlib>
using namespace metal;

kernel void k(device const float* x [[buffer(0)]], device float* y [[buffer(1)]], uint i [[thread_position_in_grid]]) {
#ifdef FIXED
    float4 v = float4(*(device const packed_float4*)(x + i));
#else
    device const float4* p = (device const float4*)(x + i);
    float4 v = float4(p->x, p->y, p->z, p->w); // fault
#endif
    y[i] = v.x + v.y + v.z + v.w;
}
