// Eight consecutive elements at a time: sixteen bytes of half, twice sixteen of float.
#pragma once

#include <metal_stdlib>
using namespace metal;

// Eight elements as they lie in memory; conversion comes later, so that loads do not wait for one another.
template <typename T>
struct Eight {
    vec<T, 4> low;
    vec<T, 4> high;
};

// The i-th eight from `from`, which lies on a boundary of sixteen bytes.
inline Eight<half> load8(device const half *from, uint i = 0) {
    const uint4 bits = ((device const uint4 *)from)[i];
    return Eight<half>{as_type<half4>(bits.xy), as_type<half4>(bits.zw)};
}

inline Eight<float> load8(device const float *from, uint i = 0) {
    device const float4 *quads = (device const float4 *)from + 2 * i;
    return Eight<float>{quads[0], quads[1]};
}

// The first and the last four of eight halves, out of the sixteen bytes that hold them. What is kept from one turn of a loop to the next
// is kept as those bytes: halves by themselves would take a register each.
inline float4 low4(uint4 bits) {
    return float4(as_type<half4>(bits.xy));
}

inline float4 high4(uint4 bits) {
    return float4(as_type<half4>(bits.zw));
}

// The first `count` elements, whatever their boundary; the rest are 0.
template <typename T>
inline Eight<T> load_upto8(device const T *from, int count) {
    vec<T, 4> low(T(0)), high(T(0));
    for (int i = 0; i < 4; ++i) {
        if (i < count) {
            low[i] = from[i];
        }
        if (i + 4 < count) {
            high[i] = from[i + 4];
        }
    }
    return Eight<T>{low, high};
}

// Sixteen bytes that are read once in a launch, weights above all: a device with a hint for that keeps them out of its nearest cache.
inline uint4 load_once(device const uint4 *from) {
#ifdef MSL_LOAD_ONCE
    return MSL_LOAD_ONCE(from);
#else
    return *from;
#endif
}

// Whether eight elements at every multiple of eight of every row can be loaded at once.
inline bool loads_wide(uint k, uint stride) {
    return ((k | stride) & 7) == 0;
}

// From here on, what earlier launches write is there. A device that begins a launch before the one ahead of it ends waits here; what is
// loaded before must be weights, and every thread must come by.
inline void inputs_ready() {
#ifdef MSL_INPUTS_READY
    MSL_INPUTS_READY;
#endif
}
