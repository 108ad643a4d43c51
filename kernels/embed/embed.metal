// y[r, j] = w[ids[r], j]; y: (m, k) float; ids: (m); w: (n, k) of float, half, bfloat, q8_0 blocks or q8_0 planes.
// A thread owns one element of y.
#include "params.h"
#include "weights.h"

template <typename W>
[[kernel, max_total_threads_per_threadgroup(TG)]] void embed(
    device float *y [[buffer(0)]],
    device const int *ids [[buffer(1)]],
    device const W *w [[buffer(2)]],
    constant EmbedParams &p [[buffer(3)]],
    constant uint &rows [[buffer(4)]],
    uint3 at [[thread_position_in_grid]]) {
    const uint r = at.y, j = at.x;
    if (r >= rows || j >= p.k) {
        return;
    }
    y[ulong(r) * p.k + j] = weight(w, p.n, p.k, uint(ids[r]), j);
}

template [[host_name("embed_f32")]] [[kernel]] decltype(embed<float>) embed<float>;
template [[host_name("embed_f16")]] [[kernel]] decltype(embed<half>) embed<half>;
template [[host_name("embed_bf16")]] [[kernel]] decltype(embed<bfloat>) embed<bfloat>;
template [[host_name("embed_q8")]] [[kernel]] decltype(embed<BlockQ8>) embed<BlockQ8>;
template [[host_name("embed_q8_planes")]] [[kernel]] decltype(embed<char>) embed<char>;
