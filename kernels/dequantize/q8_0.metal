// y[r, 32 b + e] = d[r, b] q[r, b, e]; w: m rows of k / 32 blocks of q8_0 as in the file; y: (m, k) of T.
// A threadgroup owns TG / 32 blocks of a row: a SIMD group owns a block, a lane an element.
#include "params.h"
#include "quant.h"
#include "simd.h"

template <typename T>
[[kernel, max_total_threads_per_threadgroup(TG)]] void dequantize_q8(
    device T *y [[buffer(0)]],
    device const BlockQ8 *w [[buffer(1)]],
    constant DequantizeParams &p [[buffer(2)]],
    constant uint &rows [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    const uint r = group.y, blocks = p.k / 32;
    const uint b = group.x * (TG / LANES) + simd;
    if (r >= rows || b >= blocks) {
        return;
    }
    device const BlockQ8 &block = w[ulong(r) * blocks + b];
    y[ulong(r) * p.ldy + 32 * b + lane] = T(float(block.d) * float(block.quants[lane]));
}

template [[host_name("dequantize_q8_half")]] [[kernel]] decltype(dequantize_q8<half>) dequantize_q8<half>;
template [[host_name("dequantize_q8_float")]] [[kernel]] decltype(dequantize_q8<float>) dequantize_q8<float>;
