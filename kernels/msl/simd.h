// Work across the lanes of a SIMD group and across the SIMD groups of a threadgroup.
#pragma once

#include <metal_stdlib>
using namespace metal;

// Lanes of a SIMD group.
constant constexpr uint LANES = 32;

// Where a thread stands in its threadgroup.
struct Place {
    uint thread_index; // in the threadgroup
    uint lane;         // in the SIMD group
    uint simd;         // SIMD group in the threadgroup
    uint simds;        // SIMD groups of the threadgroup
};

// The sum of v over the threadgroup, for every thread. `slots` has one element a SIMD group and may be used again at once.
inline float threadgroup_sum(float v, threadgroup float *slots, Place at) {
    v = simd_sum(v);
    if (at.lane == 0) {
        slots[at.simd] = v;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    v = simd_sum(at.lane < at.simds ? slots[at.lane] : 0.0f);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return v;
}

// The maximum of v over the threadgroup, for every thread; as threadgroup_sum.
inline float threadgroup_max(float v, threadgroup float *slots, Place at) {
    v = simd_max(v);
    if (at.lane == 0) {
        slots[at.simd] = v;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    v = simd_max(at.lane < at.simds ? slots[at.lane] : v);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    return v;
}
