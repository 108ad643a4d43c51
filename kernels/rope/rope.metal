// Rotates the queries and keys of each token by its position, in place, and appends its keys and values to the cache: see mod.rs.
// A threadgroup of one SIMD group owns a head of a token, all of it in threadgroup memory between the two.
#include "kv.h"
#include "params.h"
#include "simd.h"

constant constexpr uint MOST_DIMS = 256;

template <typename C>
[[kernel, max_total_threads_per_threadgroup(LANES)]] void rope_append(
    device float *qkv [[buffer(0)]],
    device C *keys [[buffer(1)]],
    device C *values [[buffer(2)]],
    device const float *angles [[buffer(3)]],
    device const int *slots [[buffer(4)]],
    constant RopeParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]]) {
    threadgroup float head[MOST_DIMS];
    const uint r = group.y, h = group.x;
    if (r >= rows) {
        return;
    }
    device float *from = qkv + ulong(r) * p.ld + h * p.head_dim;
    const bool rotates = h < p.heads + p.kv_heads;
    const uint dims = rotates ? p.dims : 0;

    for (uint i = lane; i < dims / 2; i += LANES) {
        const uint a = p.pairing == 1 ? i : 2 * i, b = p.pairing == 1 ? i + dims / 2 : 2 * i + 1;
        const float c = angles[ulong(r) * dims + 2 * i], s = angles[ulong(r) * dims + 2 * i + 1];
        head[a] = from[a] * c - from[b] * s;
        head[b] = from[b] * c + from[a] * s;
    }
    for (uint i = dims + lane; i < p.head_dim; i += LANES) {
        head[i] = from[i];
    }
    // Other lanes are about to write the elements that this one has read.
    threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);

    if (rotates) {
        for (uint i = lane; i < dims; i += LANES) {
            from[i] = head[i];
        }
    }
    if (h < p.heads) {
        return;
    }
    const uint slot = uint(slots[r]), kv_head = (h - p.heads) % p.kv_heads;
    const ulong row = kv_row(slot / KV_PAGE, slot % KV_PAGE, p.kv_heads, kv_head);
    device C *pool = rotates ? keys : values;
    for (uint first = 0; first < p.head_dim; first += LANES) {
        const uint i = first + lane;
        const bool on = i < p.head_dim;
        kv_store(pool, row, p.head_dim, i, on ? head[i] : 0.0f, on);
    }
}

template [[host_name("rope_append_f32")]] [[kernel]] decltype(rope_append<float>) rope_append<float>;
template [[host_name("rope_append_f16")]] [[kernel]] decltype(rope_append<half>) rope_append<half>;
template [[host_name("rope_append_q8")]] [[kernel]] decltype(rope_append<BlockQ8>) rope_append<BlockQ8>;
