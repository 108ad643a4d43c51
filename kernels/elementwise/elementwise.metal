// y[r, j] = s f(x[r, j] o z[r, j] + bias[j]); x, y, z: (m, k), bias: (k), all of T; o: x alone, sum or product; f: none, relu, gelu, silu.
// A threadgroup owns 4 TG columns of a row, a thread every TG-th of them, so that y may be x.
#include "math.h"
#include "params.h"

template <typename T>
[[kernel, max_total_threads_per_threadgroup(TG)]] void elementwise(
    device T *y [[buffer(0)]],
    device const T *x [[buffer(1)]],
    device const T *z [[buffer(2)]],
    device const T *bias [[buffer(3)]],
    constant ElementwiseParams &p [[buffer(4)]],
    constant uint &rows [[buffer(5)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]]) {
    const uint r = group.y;
    if (r >= rows) {
        return;
    }
#pragma unroll
    for (uint i = 0; i < 4; ++i) {
        const uint j = (group.x * 4 + i) * TG + thread_index;
        if (j >= p.k) {
            break;
        }
        float v = float(x[ulong(r) * p.ldx + j]);
        if (p.join == 1) {
            v += float(z[ulong(r) * p.ldz + j]);
        } else if (p.join == 2) {
            v *= float(z[ulong(r) * p.ldz + j]);
        }
        if (p.bias != 0) {
            v += float(bias[j]);
        }
        y[ulong(r) * p.ldy + j] = T(p.scale * activated(v, p.activation));
    }
}

template [[host_name("elementwise_half")]] [[kernel]] decltype(elementwise<half>) elementwise<half>;
template [[host_name("elementwise_float")]] [[kernel]] decltype(elementwise<float>) elementwise<float>;
