// y[b, r, j] = exp(s x[b, r, j] - top) / sum, over the columns j that row r sees; 0 for the others, and for rows that see nothing.
// vec: a SIMD group owns a row and holds it in registers. block: a threadgroup owns a row and walks it in segments, twice.
#include "math.h"
#include "params.h"
#include "simd.h"

// Columns that row r sees.
inline uint seen_columns(constant SoftmaxParams &p, uint r) {
    if (p.causal == 0) {
        return p.k;
    }
    return uint(clamp(int(r) + p.offset + 1, 0, int(p.k)));
}

// PER columns a lane: rows of up to 32 PER columns.
template <typename T, int PER>
[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void softmax_vec(
    device T *y [[buffer(0)]],
    device const T *x [[buffer(1)]],
    constant SoftmaxParams &p [[buffer(2)]],
    constant uint &rows [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    const uint r = group.x * SIMDS + simd;
    if (r >= rows) {
        return;
    }
    device const T *from = x + ulong(group.y) * p.bx + ulong(r) * p.ldx;
    device T *to = y + ulong(group.y) * p.by + ulong(r) * p.ldy;
    const uint seen = seen_columns(p, r);

    float v[PER];
    float top = LOWEST;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        const uint j = lane + LANES * uint(i);
        v[i] = j < seen ? p.scale * float(from[j]) : LOWEST;
        top = max(top, v[i]);
    }
    top = simd_max(top);

    float sum = 0.0f;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        const uint j = lane + LANES * uint(i);
        v[i] = j < seen ? precise::exp(v[i] - top) : 0.0f;
        sum += v[i];
    }
    sum = simd_sum(sum);

    const float inverse = sum > 0.0f ? 1.0f / sum : 0.0f;
#pragma unroll
    for (int i = 0; i < PER; ++i) {
        const uint j = lane + LANES * uint(i);
        if (j < p.k) {
            to[j] = T(v[i] * inverse);
        }
    }
}

template [[host_name("softmax_vec256_half")]] [[kernel]] decltype(softmax_vec<half, 8>) softmax_vec<half, 8>;
template [[host_name("softmax_vec256_float")]] [[kernel]] decltype(softmax_vec<float, 8>) softmax_vec<float, 8>;
template [[host_name("softmax_vec1024_half")]] [[kernel]] decltype(softmax_vec<half, 32>) softmax_vec<half, 32>;
template [[host_name("softmax_vec1024_float")]] [[kernel]] decltype(softmax_vec<float, 32>) softmax_vec<float, 32>;

// A segment is one column a thread. Each thread keeps the maximum and the sum of its own columns, which join at the end.
template <typename T>
[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void softmax_block(
    device T *y [[buffer(0)]],
    device const T *x [[buffer(1)]],
    constant SoftmaxParams &p [[buffer(2)]],
    constant uint &rows [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup float slots[SIMDS];
    const uint r = group.x;
    if (r >= rows) {
        return;
    }
    device const T *from = x + ulong(group.y) * p.bx + ulong(r) * p.ldx;
    device T *to = y + ulong(group.y) * p.by + ulong(r) * p.ldy;
    const uint seen = seen_columns(p, r);
    const Place at = {thread_index, lane, simd, SIMDS};

    float top = LOWEST, sum = 0.0f;
    for (uint j = thread_index; j < seen; j += LANES * SIMDS) {
        const float v = p.scale * float(from[j]);
        if (v > top) {
            sum *= precise::exp(top - v);
            top = v;
        }
        sum += precise::exp(v - top);
    }
    const float all_top = threadgroup_max(top, slots, at);
    const float all_sum = threadgroup_sum(sum * precise::exp(top - all_top), slots, at);

    const float inverse = all_sum > 0.0f ? 1.0f / all_sum : 0.0f;
    for (uint j = thread_index; j < p.k; j += LANES * SIMDS) {
        const float weight = j < seen ? precise::exp(p.scale * float(from[j]) - all_top) * inverse : 0.0f;
        to[j] = T(weight);
    }
}

template [[host_name("softmax_block_half")]] [[kernel]] decltype(softmax_block<half>) softmax_block<half>;
template [[host_name("softmax_block_float")]] [[kernel]] decltype(softmax_block<float>) softmax_block<float>;
