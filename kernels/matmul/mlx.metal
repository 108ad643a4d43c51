// y[r, j] = f(alpha sum_i x[r, i] w[j, i] (+ bias[j])) (+ beta y[r, j]); x: (m, k), or (k, m) with TA; w: (k, n), or (n, k) with TB; y: (m, n), bias: (n); all half, sums in float.
// A threadgroup owns BM x BN outputs of a problem, a SIMD group (BM / WM) x (BN / WN) of them in 8x8 matrices; x and w pass through threadgroup memory, BK of k at a time; AHEAD tiles of each are in registers on their way there.
#include "epilogue.h"
#include "params.h"
#include "simd.h"
#include "tile.h"

constant constexpr uint THREADS = LANES * WM * WN;
// Matrices of a SIMD group along m and n.
constant constexpr uint TM = BM / WM / 8;
constant constexpr uint TN = BN / WN / 8;

// A tile has the lines of its matrix, but TURN stands w's columns upright. Eight elements of padding spread lines over the memory banks;
// lines of eight elements do without.
constant constexpr bool UPRIGHT = TB != 0 || TURN != 0;
constant constexpr uint X_LINES = TA != 0 ? BK : BM;
constant constexpr uint X_WIDTH = TA != 0 ? BM : BK;
constant constexpr uint X_LD = X_WIDTH > 8 ? X_WIDTH + 8 : X_WIDTH;
constant constexpr uint W_LINES = TB != 0 ? BN : BK;
constant constexpr uint W_WIDTH = TB != 0 ? BK : BN;
constant constexpr uint W_LD = (UPRIGHT ? BK : BN) + 8;

constant constexpr uint X_EIGHTS = BM * BK / 8;
constant constexpr uint W_EIGHTS = BN * BK / 8;
constant constexpr uint X_PER = (X_EIGHTS + THREADS - 1) / THREADS;
constant constexpr uint W_PER = (W_EIGHTS + THREADS - 1) / THREADS;

constant constexpr uint TILES = (X_LINES * X_LD + (UPRIGHT ? BN : BK) * W_LD) / 8;
constant constexpr uint SUMS = BM * BN / 4;

// Where eight elements of a tile lie in it.
struct Spot {
    uint line;
    uint at;
};

template <uint LINES, uint WIDTH, bool TURNED>
inline Spot spot(uint c) {
    // Turned, neighbouring threads take neighbouring lines, which they will write side by side.
    return TURNED ? Spot{c % LINES, c / LINES * 8} : Spot{c / (WIDTH / 8), c % (WIDTH / 8) * 8};
}

// Where the tiles of k from i0 on begin in their matrices.
#define X_FROM(i0) Spot{TA != 0 ? (i0) : r0, TA != 0 ? r0 : (i0)}
#define W_FROM(i0) Spot{TB != 0 ? j0 : (i0), TB != 0 ? (i0) : j0}

// A thread's part of a tile that begins at `begin` in a matrix of `lines` lines of `width` elements, `stride` apart. All of the tile's k is
// there, and loads of eight may be had; past the outputs the last ones are read again, of which nothing comes.
template <uint LINES, uint WIDTH, bool TURNED, uint PER>
inline void load_tile(thread uint4 *to, device const half *from, uint stride, Spot begin, uint lines, uint width, uint thread_index) {
#pragma unroll
    for (uint u = 0; u < PER; ++u) {
        const uint c = thread_index + u * THREADS;
        if (LINES * WIDTH / 8 % THREADS == 0 || c < LINES * WIDTH / 8) {
            const Spot s = spot<LINES, WIDTH, TURNED>(c);
            to[u] = whole_eight(from, stride, min(begin.line + s.line, lines - 1), min(begin.at + s.at, width - 8));
        }
    }
}

// The same of x, at edges too.
inline void load_x(
    thread uint4 *to,
    device const half *x,
    uint stride,
    Spot begin,
    uint lines,
    uint width,
    bool wide,
    bool whole,
    uint thread_index) {
    if (whole) {
        load_tile<X_LINES, X_WIDTH, false, X_PER>(to, x, stride, begin, lines, width, thread_index);
        return;
    }
#pragma unroll
    for (uint u = 0; u < X_PER; ++u) {
        const uint c = thread_index + u * THREADS;
        if (X_EIGHTS % THREADS == 0 || c < X_EIGHTS) {
            const Spot s = spot<X_LINES, X_WIDTH, false>(c);
            to[u] = edge_eight(x, stride, begin.line + s.line, lines, begin.at + s.at, width, wide);
        }
    }
}

template <uint LD, bool TURNED>
inline void put_eight(threadgroup half *to, Spot s, uint4 eight) {
    if (!TURNED) {
        *(threadgroup uint4 *)(to + s.line * LD + s.at) = eight;
        return;
    }
#pragma unroll
    for (uint e = 0; e < 4; ++e) {
        const half2 two = as_type<half2>(eight[e]);
        to[(s.at + 2 * e) * LD + s.line] = two.x;
        to[(s.at + 2 * e + 1) * LD + s.line] = two.y;
    }
}

template <uint LINES, uint WIDTH, uint LD, bool TURNED, uint PER>
inline void put_tile(threadgroup half *to, thread const uint4 *from, uint thread_index) {
#pragma unroll
    for (uint u = 0; u < PER; ++u) {
        const uint c = thread_index + u * THREADS;
        if (LINES * WIDTH / 8 % THREADS == 0 || c < LINES * WIDTH / 8) {
            put_eight<LD, TURNED>(to, spot<LINES, WIDTH, TURNED>(c), from[u]);
        }
    }
}

// A tile of w at an edge, straight to threadgroup memory.
inline void copy_w(threadgroup half *to, device const half *w, uint stride, Spot begin, uint lines, bool wide, uint thread_index) {
    for (uint c = thread_index; c < W_EIGHTS; c += THREADS) {
        const Spot s = spot<W_LINES, W_WIDTH, TURN != 0>(c);
        put_eight<W_LD, TURN != 0>(to, s, edge_eight(w, stride, begin.line + s.line, lines, begin.at + s.at, stride, wide));
    }
}

// A SIMD group's part of the tiles, which begins at a and b.
inline void multiply_tiles(thread simdgroup_matrix<float, 8, 8> (&sum)[TM][TN], threadgroup const half *a, threadgroup const half *b) {
#pragma unroll
    for (uint i = 0; i < BK; i += 8) {
        simdgroup_matrix<half, 8, 8> am[TM], bm[TN];
#pragma unroll
        for (uint t = 0; t < TM; ++t) {
            if (TA != 0) {
                simdgroup_load(am[t], a + i * X_LD + 8 * t, X_LD, ulong2(0, 0), true);
            } else {
                simdgroup_load(am[t], a + 8 * t * X_LD + i, X_LD);
            }
        }
#pragma unroll
        for (uint t = 0; t < TN; ++t) {
            if (UPRIGHT) {
                simdgroup_load(bm[t], b + 8 * t * W_LD + i, W_LD, ulong2(0, 0), true);
            } else {
                simdgroup_load(bm[t], b + i * W_LD + 8 * t, W_LD);
            }
        }
#pragma unroll
        for (uint s = 0; s < TM; ++s) {
#pragma unroll
            for (uint t = 0; t < TN; ++t) {
                simdgroup_multiply_accumulate(sum[s][t], am[s], bm[t], sum[s][t]);
            }
        }
    }
}

[[kernel, max_total_threads_per_threadgroup(LANES * WM * WN)]] void mlx(
    device half *y [[buffer(0)]],
    device const half *x [[buffer(1)]],
    device const half *w [[buffer(2)]],
    device const half *bias [[buffer(3)]],
    constant MatmulParams &p [[buffer(5)]],
    constant uint &rows [[buffer(6)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    // Room for both tiles, or for the sums.
    threadgroup uint4 memory[TILES > SUMS ? TILES : SUMS];
    threadgroup half *a = (threadgroup half *)memory;
    threadgroup half *b = a + X_LINES * X_LD;
    const uint r0 = group.y * BM, j0 = group.x * BN;
    const uint ar = simd / WN * (BM / WM), bj = simd % WN * (BN / WN);
    x += ulong(group.z) * p.bx;
    w += ulong(group.z) * p.bw;
    y += ulong(group.z) * p.by;

    // The first weights are on their way before anything else is known. Tiles of w at the end of k, or that loads of eight cannot have, are
    // fetched when they are wanted.
    const uint w_stride = TB != 0 ? p.k : p.n, w_lines = TB != 0 ? p.n : p.k;
    const bool w_wide = begins_wide(w_stride, p.bw);
    const uint whole = w_wide ? p.k / BK : 0;
    uint4 ws[AHEAD][W_PER], xs[AHEAD][X_PER];
#pragma unroll
    for (uint d = 0; d < AHEAD; ++d) {
        if (d < whole) {
            load_tile<W_LINES, W_WIDTH, TURN != 0, W_PER>(ws[d], w, w_stride, W_FROM(d * BK), w_lines, w_stride, thread_index);
        }
    }
    inputs_ready();
    if (r0 >= rows) {
        return;
    }
    const uint x_lines = TA != 0 ? p.k : rows, x_width = TA != 0 ? rows : p.k;
    const bool x_wide = begins_wide(p.ldx, p.bx), x_even = x_wide && (TA == 0 || rows % 8 == 0);
#pragma unroll
    for (uint d = 0; d < AHEAD; ++d) {
        if (d * BK < p.k) {
            load_x(xs[d], x, p.ldx, X_FROM(d * BK), x_lines, x_width, x_wide, x_even && (d + 1) * BK <= p.k, thread_index);
        }
    }

    simdgroup_matrix<float, 8, 8> sum[TM][TN];
#pragma unroll
    for (uint i = 0; i < TM; ++i) {
#pragma unroll
        for (uint j = 0; j < TN; ++j) {
            sum[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        }
    }
    for (uint t0 = 0; t0 * BK < p.k; t0 += AHEAD) {
#pragma unroll
        for (uint d = 0; d < AHEAD; ++d) {
            const uint i0 = (t0 + d) * BK, later = i0 + AHEAD * BK;
            if (i0 >= p.k) {
                break;
            }
            put_tile<X_LINES, X_WIDTH, X_LD, false, X_PER>(a, xs[d], thread_index);
            if (t0 + d < whole) {
                put_tile<W_LINES, W_WIDTH, W_LD, TURN != 0, W_PER>(b, ws[d], thread_index);
            } else {
                copy_w(b, w, w_stride, W_FROM(i0), w_lines, w_wide, thread_index);
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
            // Later tiles are on their way while these are multiplied.
            if (t0 + d + AHEAD < whole) {
                load_tile<W_LINES, W_WIDTH, TURN != 0, W_PER>(ws[d], w, w_stride, W_FROM(later), w_lines, w_stride, thread_index);
            }
            if (later < p.k) {
                load_x(xs[d], x, p.ldx, X_FROM(later), x_lines, x_width, x_wide, x_even && later + BK <= p.k, thread_index);
            }
            multiply_tiles(sum, a + ar * (TA != 0 ? 1 : X_LD), b + bj * (UPRIGHT ? W_LD : 1));
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
    }

    // The tiles' memory now holds the sums, so that edges are handled an element at a time.
    threadgroup float *sums = (threadgroup float *)memory;
#pragma unroll
    for (uint s = 0; s < TM; ++s) {
#pragma unroll
        for (uint t = 0; t < TN; ++t) {
            simdgroup_store(sum[s][t], sums + (ar + 8 * s) * BN + bj + 8 * t, BN);
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint c = thread_index; c < BM * BN; c += THREADS) {
        const uint r = r0 + c / BN, j = j0 + c % BN;
        if (r < rows && j < p.n) {
            store_output(y, r, j, sums[c], bias, p);
        }
    }
}
