// y[i] = pattern(i), y[g] = sum of x, y[i] = x[i], in units of 16 bytes; and arithmetic in registers.
// A threadgroup owns TG * PER units side by side, a thread every TG-th of them: all its loads are in flight before the first is used.
#include "simd.h"

constant constexpr uint FACTOR = 2654435761u;

[[kernel, max_total_threads_per_threadgroup(TG)]] void limits_write(
    device uint4 *y [[buffer(0)]],
    constant uint &rows [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]]) {
    const uint first = group.x * (TG * PER) + thread_index;
#pragma unroll
    for (uint i = 0; i < PER; ++i) {
        const uint at = first + i * TG;
        if (at < rows) {
            y[at] = uint4(at * FACTOR);
        }
    }
}

[[kernel, max_total_threads_per_threadgroup(TG)]] void limits_read(
    device uint *y [[buffer(0)]],
    device const uint4 *x [[buffer(1)]],
    constant uint &rows [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    const uint first = group.x * (TG * PER) + thread_index;
    uint4 got[PER];
#pragma unroll
    for (uint i = 0; i < PER; ++i) {
        const uint at = first + i * TG;
        got[i] = at < rows ? x[at] : uint4(0);
    }
    uint4 sum = uint4(0);
#pragma unroll
    for (uint i = 0; i < PER; ++i) {
        sum += got[i];
    }
    const uint all = simd_sum(sum.x + sum.y + sum.z + sum.w);
    if (lane == 0) {
        y[group.x * (TG / LANES) + simd] = all;
    }
}

[[kernel, max_total_threads_per_threadgroup(TG)]] void limits_copy(
    device uint4 *y [[buffer(0)]],
    device const uint4 *x [[buffer(1)]],
    constant uint &rows [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]]) {
    const uint first = group.x * (TG * PER) + thread_index;
    uint4 got[PER];
#pragma unroll
    for (uint i = 0; i < PER; ++i) {
        const uint at = first + i * TG;
        got[i] = at < rows ? x[at] : uint4(0);
    }
#pragma unroll
    for (uint i = 0; i < PER; ++i) {
        const uint at = first + i * TG;
        if (at < rows) {
            y[at] = got[i];
        }
    }
}

// Sixteen sums a thread, enough to hide the latency of one behind the others.
[[kernel, max_total_threads_per_threadgroup(TG)]] void limits_f32(
    device float *y [[buffer(0)]],
    constant uint &rows [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]]) {
    const uint at = group.x * TG + thread_index;
    const float a = 1.0f - 1e-7f * float(rows), b = 1e-3f;
    float sum[16];
#pragma unroll
    for (uint i = 0; i < 16; ++i) {
        sum[i] = float(at + i);
    }
    for (uint turn = 0; turn < 1024; ++turn) {
#pragma unroll
        for (uint i = 0; i < 16; ++i) {
            sum[i] = fma(sum[i], a, b);
        }
    }
    float all = 0.0f;
#pragma unroll
    for (uint i = 0; i < 16; ++i) {
        all += sum[i];
    }
    y[at] = all;
}

// Sixteen sums of 8 x 8 a SIMD group, two steps along k a turn, as in a product of tiles.
[[kernel, max_total_threads_per_threadgroup(TG)]] void limits_f16(
    device float *y [[buffer(0)]],
    constant uint &rows [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    simdgroup_matrix<half, 8, 8> a[2][4], b[2][4];
    simdgroup_matrix<float, 8, 8> sum[4][4];
#pragma unroll
    for (uint i = 0; i < 4; ++i) {
        a[0][i] = make_filled_simdgroup_matrix<half, 8, 8>(half(1e-3f * float(1u + (rows & 3u))));
        a[1][i] = make_filled_simdgroup_matrix<half, 8, 8>(half(0.25f * float(i + 1)));
        b[0][i] = make_filled_simdgroup_matrix<half, 8, 8>(half(0.5f));
        b[1][i] = make_filled_simdgroup_matrix<half, 8, 8>(half(0.125f * float(i)));
#pragma unroll
        for (uint j = 0; j < 4; ++j) {
            sum[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        }
    }
    for (uint turn = 0; turn < 1024; ++turn) {
#pragma unroll
        for (uint step = 0; step < 2; ++step) {
#pragma unroll
            for (uint i = 0; i < 4; ++i) {
#pragma unroll
                for (uint j = 0; j < 4; ++j) {
                    simdgroup_multiply_accumulate(sum[i][j], a[step][i], b[step][j], sum[i][j]);
                }
            }
        }
    }
    device float *to = y + (group.x * (TG / LANES) + simd) * (16 * 64);
#pragma unroll
    for (uint i = 0; i < 4; ++i) {
#pragma unroll
        for (uint j = 0; j < 4; ++j) {
            simdgroup_store(sum[i][j], to + (i * 4 + j) * 64, 8);
        }
    }
}

kernel void limits_empty() {}

kernel void limits_chain(
    device uint *y [[buffer(0)]],
    device const uint *x [[buffer(1)]],
    uint thread_index [[thread_index_in_threadgroup]]) {
    if (thread_index < 4) {
        y[thread_index] = x[thread_index] + 1;
    }
}
