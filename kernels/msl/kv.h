// The KV cache: pages of positions, one head's positions contiguous. See kv.rs.
#pragma once

#include "params.h"
#include "quant.h"

// Row of the pool that holds a head's vector at one slot of a page.
inline ulong kv_row(uint page, uint slot, uint kv_heads, uint head) {
    return (ulong(page) * kv_heads + head) * KV_PAGE + slot;
}

// Element d of a row of `dim` elements.
inline float kv_load(device const float *pool, ulong row, uint dim, uint d) {
    return pool[row * dim + d];
}

inline float kv_load(device const half *pool, ulong row, uint dim, uint d) {
    return float(pool[row * dim + d]);
}

inline float kv_load(device const BlockQ8 *pool, ulong row, uint dim, uint d) {
    device const BlockQ8 &block = pool[row * (dim / 32) + d / 32];
    return float(block.d) * float(block.quants[d % 32]);
}

// Stores element d; all lanes of the SIMD group come with consecutive d, the first a multiple of 32, and `on` where there is one.
inline void kv_store(device float *pool, ulong row, uint dim, uint d, float v, bool on) {
    if (on) {
        pool[row * dim + d] = v;
    }
}

inline void kv_store(device half *pool, ulong row, uint dim, uint d, float v, bool on) {
    if (on) {
        pool[row * dim + d] = half(v);
    }
}

inline void kv_store(device BlockQ8 *pool, ulong row, uint dim, uint d, float v, bool on) {
    const float scale = simd_max(on ? abs(v) : 0.0f) / 127.0f;
    if (on) {
        device BlockQ8 &block = pool[row * (dim / 32) + d / 32];
        if (d % 32 == 0) {
            block.d = half(scale);
        }
        block.quants[d % 32] = char(scale > 0.0f ? round(v / scale) : 0.0f);
    }
}
