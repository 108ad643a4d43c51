// Half matrices by eight elements of a line, as the sixteen bytes that hold them.
#pragma once

#include "load.h"
#include "math.h"

// Whether every line begins on a boundary of sixteen bytes: lines `stride` elements apart, problems `apart` elements apart.
inline bool begins_wide(uint stride, uint apart) {
    return ((stride | apart) & 7) == 0;
}

// Eight elements of line `line` from element `at` on, all of which are there.
inline uint4 whole_eight(device const half *from, uint stride, uint line, uint at) {
    return *(device const uint4 *)(from + ulong(line) * stride + at);
}

// The same at an edge: what lies past `lines` lines or `width` elements is 0.
inline uint4 edge_eight(device const half *from, uint stride, uint line, uint lines, uint at, uint width, bool wide) {
    if (line >= lines || at >= width) {
        return uint4(0);
    }
    if (wide && at + 8 <= width) {
        return whole_eight(from, stride, line, at);
    }
    const Eight<half> some = load_upto8(from + ulong(line) * stride + at, int(width) - int(at));
    return uint4(as_type<uint2>(some.low), as_type<uint2>(some.high));
}

// sum + x . w, of eight elements each: x as loaded, w as its bytes.
template <typename T>
inline float dot8(Eight<T> x, uint4 w, float sum) {
    const float4 a = float4(x.low), b = float4(x.high), c = low4(w), d = high4(w);
    return add_products(b, d, add_products(a, c, sum));
}
