// out[r, h, :] = softmax_j(s q[r, h, :] . K[j, h / group, :]) V[j, h / group, :], over the positions j that token r sees: see mod.rs.
// A threadgroup owns a head of a token; a SIMD group owns every SIMDS-th position, a lane every 32nd element of the head.
#include "kv.h"
#include "math.h"
#include "params.h"
#include "simd.h"

constant constexpr uint MOST_DIMS = 256;
constant constexpr uint PER = MOST_DIMS / LANES;

template <typename C>
[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void attention(
    device float *out [[buffer(0)]],
    device const float *q [[buffer(1)]],
    device const C *keys [[buffer(2)]],
    device const C *values [[buffer(3)]],
    device const int *table [[buffer(4)]],
    device const int *row_seq [[buffer(5)]],
    device const int *positions [[buffer(6)]],
    constant AttentionParams &p [[buffer(7)]],
    constant uint &rows [[buffer(8)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup float tops[SIMDS];
    threadgroup float sums[SIMDS];
    threadgroup float parts[SIMDS * MOST_DIMS];
    const uint r = group.y, h = group.x, dim = p.head_dim;
    if (r >= rows) {
        return;
    }
    const uint kv_head = h / (p.heads / p.kv_heads);
    device const int *pages = table + ulong(row_seq[r]) * p.max_pages;
    const uint end = uint(positions[r]) + 1;
    const uint start = p.window != 0 && end > p.window ? end - p.window : 0;

    float query[PER], acc[PER];
#pragma unroll
    for (uint i = 0; i < PER; ++i) {
        const uint d = lane + LANES * i;
        query[i] = d < dim ? p.scale * q[ulong(r) * p.ldq + h * dim + d] : 0.0f;
        acc[i] = 0.0f;
    }

    float top = LOWEST, sum = 0.0f;
    for (uint j = start + simd; j < end; j += SIMDS) {
        const ulong row = kv_row(uint(pages[j / KV_PAGE]), j % KV_PAGE, p.kv_heads, kv_head);
        float score = 0.0f, v[PER];
#pragma unroll
        for (uint i = 0; i < PER; ++i) {
            const uint d = lane + LANES * i;
            v[i] = 0.0f;
            if (d < dim) {
                score = fma(query[i], kv_load(keys, row, dim, d), score);
                v[i] = kv_load(values, row, dim, d);
            }
        }
        score = simd_sum(score);
        const float new_top = max(top, score);
        const float keep = precise::exp(top - new_top), weight = precise::exp(score - new_top);
        top = new_top;
        sum = fma(sum, keep, weight);
#pragma unroll
        for (uint i = 0; i < PER; ++i) {
            acc[i] = fma(acc[i], keep, weight * v[i]);
        }
    }

    // A SIMD group that saw no position has the lowest top, and so no weight.
    if (lane == 0) {
        tops[simd] = top;
        sums[simd] = sum;
    }
#pragma unroll
    for (uint i = 0; i < PER; ++i) {
        parts[simd * MOST_DIMS + LANES * i + lane] = acc[i];
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float all_top = LOWEST, all_sum = 0.0f;
    for (uint s = 0; s < SIMDS; ++s) {
        all_top = max(all_top, tops[s]);
    }
    for (uint s = 0; s < SIMDS; ++s) {
        all_sum += sums[s] * precise::exp(tops[s] - all_top);
    }
    for (uint d = simd * LANES + lane; d < dim; d += LANES * SIMDS) {
        float total = 0.0f;
        for (uint s = 0; s < SIMDS; ++s) {
            total += parts[s * MOST_DIMS + d] * precise::exp(tops[s] - all_top);
        }
        out[ulong(r) * p.ldo + h * dim + d] = total / all_sum;
    }
}

template [[host_name("attention_f32")]] [[kernel]] decltype(attention<float>) attention<float>;
template [[host_name("attention_f16")]] [[kernel]] decltype(attention<half>) attention<half>;
template [[host_name("attention_q8")]] [[kernel]] decltype(attention<BlockQ8>) attention<BlockQ8>;
