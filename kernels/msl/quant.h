// Quantized weights. Source of the block format: the GGUF specification.
#pragma once

#include "load.h"

// 32 values: d times each quant. 34 bytes, so that blocks lie on boundaries of two.
struct BlockQ8 {
    half d;
    char quants[32];
};

// Four quants of a word, without a conversion of integers, which GPUs do slowly: 1024 + u is the half 0x6400 | u for u below 1024, and u is
// the quant with its sign turned, 128 more than it.
inline float4 quants4(uint word) {
    const uint u = word ^ 0x80808080;
    const half2 even = as_type<half2>((u & 0x00ff00ff) | 0x64006400) - half2(1152.0h);
    const half2 odd = as_type<half2>(((u >> 8) & 0x00ff00ff) | 0x64006400) - half2(1152.0h);
    return float4(float(even.x), float(odd.x), float(even.y), float(odd.y));
}
