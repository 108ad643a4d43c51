// Quantized weights. Source of the block format: the GGUF specification.
#pragma once

#include "load.h"

// 32 values: d times each quant. 34 bytes, so that blocks lie on boundaries of two.
struct BlockQ8 {
    half d;
    char quants[32];
};

// Four quants of a word.
inline float4 quants4(uint word) {
    return float4(as_type<char4>(word));
}
