// y[r, i] = sum of x[r, j] over j <= i, or over j < i where exclusive; x, y: (m, k) of T.
// A threadgroup owns a row and walks it in tiles of 32 SIMDS ITEMS; a thread owns ITEMS consecutive elements of a tile.
#include "params.h"
#include "simd.h"

template <typename T>
[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void scan(
    device T *y [[buffer(0)]],
    device const T *x [[buffer(1)]],
    constant ScanParams &p [[buffer(2)]],
    constant uint &rows [[buffer(3)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup T totals[SIMDS];
    const uint r = group.x;
    if (r >= rows) {
        return;
    }
    device const T *from = x + ulong(r) * p.ldx;
    device T *to = y + ulong(r) * p.ldy;

    T carry = T(0);
    for (uint tile = 0; tile < p.k; tile += LANES * SIMDS * ITEMS) {
        const uint first = tile + thread_index * ITEMS;
        T v[ITEMS];
        T own = T(0);
#pragma unroll
        for (uint i = 0; i < ITEMS; ++i) {
            v[i] = first + i < p.k ? from[first + i] : T(0);
            own += v[i];
        }

        const T before_lane = simd_prefix_exclusive_sum(own);
        if (lane == LANES - 1) {
            totals[simd] = before_lane + own;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        T sum = carry + before_lane;
        for (uint s = 0; s < SIMDS; ++s) {
            const T total = totals[s];
            sum += s < simd ? total : T(0);
            carry += total;
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);

#pragma unroll
        for (uint i = 0; i < ITEMS; ++i) {
            const T next = sum + v[i];
            if (first + i < p.k) {
                to[first + i] = p.exclusive != 0 ? sum : next;
            }
            sum = next;
        }
    }
}

template [[host_name("scan_uint")]] [[kernel]] decltype(scan<uint>) scan<uint>;
template [[host_name("scan_float")]] [[kernel]] decltype(scan<float>) scan<float>;
