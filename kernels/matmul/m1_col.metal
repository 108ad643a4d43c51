// y[j] = f(alpha sum_i x[i] w[j, i] (+ bias[j])) (+ beta y[j]), one row; x: (k), w: (n, k), y, bias: (n); all half, sums in float.
// A threadgroup owns BN outputs of a problem, a thread BN / TG of them, walking k; where threads are more than outputs, they share BK between them. x passes through threadgroup memory twice BK at a time, w goes straight to its thread.
#include "epilogue.h"
#include "params.h"
#include "simd.h"
#include "tile.h"

// Outputs of a thread, and threads of an output.
constant constexpr uint OUTS = BN > TG ? BN / TG : 1;
constant constexpr uint SLICES = TG > BN ? TG / BN : 1;
// Elements of a tile for a thread, those that it holds of a line at once, and how many times.
constant constexpr uint PER = BK / SLICES;
constant constexpr uint STEP = VEC == 1 ? UNROLL : PER < 4 * UNROLL ? PER : 4 * UNROLL;
constant constexpr uint STEPS = PER / STEP;

// How a thread gets x out of threadgroup memory: READ of these.
constant constexpr uint ONES = 1;      // four floats, one by one
constant constexpr uint QUADS = 4;     // four floats at once
constant constexpr uint EIGHTS = 8;    // eight halves at once
constant constexpr uint BROADCAST = 2; // a lane two halves, which then go round the SIMD group
constant constexpr bool HALVES = READ == EIGHTS || READ == BROADCAST;
constant constexpr uint WORDS = READ == BROADCAST ? (PER / 2 + LANES - 1) / LANES : 1;
constant constexpr uint X_PER = (BK + TG - 1) / TG;

// STEP elements of each line of a thread.
struct Batch {
    uint4 w[OUTS][STEP / 8];
};

// Eight elements from `at` on, in loads of VEC.
inline uint4 load_eight(device const half *line, uint at) {
    if (VEC == 8) {
        return *(device const uint4 *)(line + at);
    }
    if (VEC == 4) {
        device const uint2 *from = (device const uint2 *)(line + at);
        return uint4(from[0], from[1]);
    }
    device const ushort *from = (device const ushort *)(line + at);
    return uint4(
        as_type<uint>(ushort2(from[0], from[1])),
        as_type<uint>(ushort2(from[2], from[3])),
        as_type<uint>(ushort2(from[4], from[5])),
        as_type<uint>(ushort2(from[6], from[7])));
}

inline Batch load_batch(device const half *w, thread const ulong *lines, uint at) {
    Batch batch;
#pragma unroll
    for (uint o = 0; o < OUTS; ++o) {
#pragma unroll
        for (uint e = 0; e < STEP / 8; ++e) {
            batch.w[o][e] = load_eight(w + lines[o], at + 8 * e);
        }
    }
    return batch;
}

// x, a tile of BK from `at` on, as floats or as halves: first into registers, later into threadgroup memory.
inline void load_x(thread float *to, device const half *x, uint at, uint thread_index) {
#pragma unroll
    for (uint u = 0; u < X_PER; ++u) {
        const uint i = thread_index + u * TG;
        to[u] = BK % TG == 0 || i < BK ? float(x[at + i]) : 0.0f;
    }
}

inline void put_x(threadgroup float *tile, thread const float *from, uint thread_index) {
#pragma unroll
    for (uint u = 0; u < X_PER; ++u) {
        const uint i = thread_index + u * TG;
        if (BK % TG == 0 || i < BK) {
            if (HALVES) {
                ((threadgroup half *)tile)[i] = half(from[u]);
            } else {
                tile[i] = from[u];
            }
        }
    }
}

// The eight of x at `at` of the tile; `words` holds the thread's part of it, from `begin` on, spread over the lanes.
inline Eight<float> x_eight(threadgroup const float *tile, thread const uint *words, uint begin, uint at) {
    if (READ == EIGHTS) {
        const uint4 bits = *(threadgroup const uint4 *)((threadgroup const half *)tile + begin + at);
        return Eight<float>{low4(bits), high4(bits)};
    }
    if (READ == BROADCAST) {
        uint4 bits;
#pragma unroll
        for (uint q = 0; q < 4; ++q) {
            const uint word = at / 2 + q;
            bits[q] = simd_broadcast(words[WORDS > 1 ? word / LANES : 0], ushort(word % LANES));
        }
        return Eight<float>{low4(bits), high4(bits)};
    }
    threadgroup const float *from = tile + begin + at;
    if (READ == QUADS) {
        return Eight<float>{((threadgroup const float4 *)from)[0], ((threadgroup const float4 *)from)[1]};
    }
    return Eight<float>{float4(from[0], from[1], from[2], from[3]), float4(from[4], from[5], from[6], from[7])};
}

[[kernel, max_total_threads_per_threadgroup(TG)]] void m1_col(
    device half *y [[buffer(0)]],
    device const half *x [[buffer(1)]],
    device const half *w [[buffer(2)]],
    device const half *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]]) {
    threadgroup float4 tiles[2 * BK / 4];
    threadgroup float partial[SLICES > 1 ? BN * SLICES : 1];
    const uint first = group.x * BN + thread_index % BN, part = thread_index / BN, begin = part * PER;
    x += ulong(group.z) * p.bx;
    w += ulong(group.z) * p.bw;
    y += ulong(group.z) * p.by;

    // Past the last output, the last one is read again, of which nothing comes.
    ulong lines[OUTS];
#pragma unroll
    for (uint o = 0; o < OUTS; ++o) {
        lines[o] = ulong(min(first + o * TG, p.n - 1)) * p.k;
    }
    const uint whole = (p.k | p.bw) % VEC == 0 ? p.k / BK : 0;
    Batch next = {};
    if (whole > 0) {
        next = load_batch(w, lines, begin);
    }
    inputs_ready();

    float ahead[X_PER] = {};
    if (whole > 0) {
        load_x(ahead, x, 0, thread_index);
        put_x((threadgroup float *)tiles, ahead, thread_index);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    float sum[OUTS];
#pragma unroll
    for (uint o = 0; o < OUTS; ++o) {
        sum[o] = 0.0f;
    }
    for (uint t = 0; t < whole; ++t) {
        threadgroup const float *tile = (threadgroup const float *)tiles + t % 2 * BK;
        if (t + 1 < whole) {
            load_x(ahead, x, (t + 1) * BK, thread_index);
        }
        uint words[WORDS] = {};
        if (READ == BROADCAST) {
#pragma unroll
            for (uint u = 0; u < WORDS; ++u) {
                words[u] = ((threadgroup const uint *)tile)[begin / 2 + u * LANES + lane % (PER / 2)];
            }
        }
        // Not unrolled, so that no compiler puts off what is loaded ahead until it is wanted.
#pragma unroll 1
        for (uint s = 0; s < STEPS; ++s) {
            const Batch now = next;
            if (s + 1 < STEPS) {
                next = load_batch(w, lines, t * BK + begin + (s + 1) * STEP);
            } else if (t + 1 < whole) {
                next = load_batch(w, lines, (t + 1) * BK + begin);
            }
#pragma unroll
            for (uint e = 0; e < STEP / 8; ++e) {
                const Eight<float> xs = x_eight(tile, words, begin, s * STEP + 8 * e);
#pragma unroll
                for (uint o = 0; o < OUTS; ++o) {
                    sum[o] = dot8(xs, now.w[o][e], sum[o]);
                }
            }
        }
        if (t + 1 < whole) {
            put_x((threadgroup float *)tiles + (t + 1) % 2 * BK, ahead, thread_index);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    for (uint i = whole * BK + part; i < p.k; i += SLICES) {
        const float xi = float(x[i]);
#pragma unroll
        for (uint o = 0; o < OUTS; ++o) {
            sum[o] = fma(xi, float(w[lines[o] + i]), sum[o]);
        }
    }

    if (SLICES > 1) {
        partial[thread_index] = sum[0];
        threadgroup_barrier(mem_flags::mem_threadgroup);
#pragma unroll
        for (uint s = 1; s < SLICES; ++s) {
            sum[0] += part == 0 ? partial[thread_index + s * BN] : 0.0f;
        }
    }
#pragma unroll
    for (uint o = 0; o < OUTS; ++o) {
        const uint j = first + o * TG;
        if (part == 0 && j < p.n && rows > 0) {
            store_output(y, 0, j, sum[o], bias, p);
        }
    }
}
