// Scalar functions.
#pragma once

#include <metal_stdlib>
using namespace metal;

// The largest negative finite number: a maximum starts here, so that exp(-inf - top) is 0 where all is -inf.
constant constexpr float LOWEST = -3.402823466e38f;

// sum + a b, product by product.
inline float add_products(float4 a, float4 b, float sum) {
    return fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, sum))));
}

inline float sigmoid(float v) {
    return 1.0f / (1.0f + precise::exp(-v));
}

inline float silu(float v) {
    return v * sigmoid(v);
}

// By tanh: v / 2 (1 + tanh(u)) is v sigmoid(2 u), which no large v turns into NaN.
inline float gelu(float v) {
    const float u = 0.7978845608f * (v + 0.044715f * v * v * v);
    return v * sigmoid(2.0f * u);
}

// An activation function by its number: 0 none, 1 relu, 2 gelu, 3 silu.
inline float activated(float v, uint activation) {
    switch (activation) {
    case 1: return max(v, 0.0f);
    case 2: return gelu(v);
    case 3: return silu(v);
    default: return v;
    }
}

// Bits that order like the values: -0 as 0, NaN below everything.
inline uint sort_key(float v) {
    const uint bits = as_type<uint>(v);
    if ((bits & 0x7fffffff) > 0x7f800000) {
        return 0;
    }
    if (bits == 0x80000000) {
        return 0x80000000;
    }
    return (bits >> 31) != 0 ? ~bits : bits | 0x80000000;
}
