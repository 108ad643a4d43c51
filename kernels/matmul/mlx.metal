// y[r, j] = f(alpha sum_i x[r, i] w[j, i] (+ bias[j])) (+ beta y[r, j]); x: (m, k), or (k, m) with TA; w: (k, n), or (n, k) with TB; y: (m, n), bias: (n); all half, sums in float.
// A threadgroup owns BM x BN outputs of a problem, a SIMD group (BM / WM) x (BN / WN) of them in 8x8 matrices; x and w pass through threadgroup memory, BK of k at a time.
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

// A thread's part of a tile whose first element is (line0, at0) of a matrix of `lines` lines of `width` elements, `stride` apart.
// `whole`: all of its k is there, and loads are wide; past the outputs the last ones are read again, of which nothing comes.
template <uint LINES, uint WIDTH, bool TURNED, uint PER>
inline void load_tile(
    thread uint4 *to,
    device const half *from,
    uint stride,
    uint line0,
    uint lines,
    uint at0,
    uint width,
    bool wide,
    bool whole,
    uint thread_index) {
#pragma unroll
    for (uint u = 0; u < PER; ++u) {
        const uint c = thread_index + u * THREADS;
        if (LINES * WIDTH / 8 % THREADS == 0 || c < LINES * WIDTH / 8) {
            const Spot s = spot<LINES, WIDTH, TURNED>(c);
            const uint line = line0 + s.line, at = at0 + s.at;
            if (whole) {
                to[u] = whole_eight(from, stride, min(line, lines - 1), min(at, width - 8));
            } else {
                to[u] = edge_eight(from, stride, line, lines, at, width, wide);
            }
        }
    }
}

template <uint LINES, uint WIDTH, uint LD, bool TURNED, uint PER>
inline void put_tile(threadgroup half *to, thread const uint4 *from, uint thread_index) {
#pragma unroll
    for (uint u = 0; u < PER; ++u) {
        const uint c = thread_index + u * THREADS;
        if (LINES * WIDTH / 8 % THREADS == 0 || c < LINES * WIDTH / 8) {
            const Spot s = spot<LINES, WIDTH, TURNED>(c);
            if (TURNED) {
#pragma unroll
                for (uint e = 0; e < 4; ++e) {
                    const half2 two = as_type<half2>(from[u][e]);
                    to[(s.at + 2 * e) * LD + s.line] = two.x;
                    to[(s.at + 2 * e + 1) * LD + s.line] = two.y;
                }
            } else {
                *(threadgroup uint4 *)(to + s.line * LD + s.at) = from[u];
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

    const uint w_stride = TB != 0 ? p.k : p.n;
    const bool w_wide = begins_wide(w_stride, p.bw);
    uint4 ws[W_PER], xs[X_PER];
#define LOAD_W(i0)                                                                                                             \
    load_tile<W_LINES, W_WIDTH, TURN != 0, W_PER>(                                                                             \
        ws, w, w_stride, TB != 0 ? j0 : (i0), TB != 0 ? p.n : p.k, TB != 0 ? (i0) : j0, w_stride, w_wide,                      \
        w_wide && (i0) + BK <= p.k, thread_index)
    LOAD_W(0);
    inputs_ready();
    if (r0 >= rows) {
        return;
    }
    const bool x_wide = begins_wide(p.ldx, p.bx), x_even = TA == 0 || rows % 8 == 0;
#define LOAD_X(i0)                                                                                                             \
    load_tile<X_LINES, X_WIDTH, false, X_PER>(                                                                                 \
        xs, x, p.ldx, TA != 0 ? (i0) : r0, TA != 0 ? p.k : rows, TA != 0 ? r0 : (i0), TA != 0 ? rows : p.k, x_wide,            \
        x_wide && x_even && (i0) + BK <= p.k, thread_index)
    LOAD_X(0);

    simdgroup_matrix<float, 8, 8> sum[TM][TN];
#pragma unroll
    for (uint i = 0; i < TM; ++i) {
#pragma unroll
        for (uint j = 0; j < TN; ++j) {
            sum[i][j] = make_filled_simdgroup_matrix<float, 8, 8>(0.0f);
        }
    }
    for (uint i0 = 0; i0 < p.k; i0 += BK) {
        put_tile<X_LINES, X_WIDTH, X_LD, false, X_PER>(a, xs, thread_index);
        put_tile<W_LINES, W_WIDTH, W_LD, TURN != 0, W_PER>(b, ws, thread_index);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        // The next tiles are on their way while these are multiplied.
        if (i0 + BK < p.k) {
            LOAD_W(i0 + BK);
            LOAD_X(i0 + BK);
        }

#pragma unroll
        for (uint i = 0; i < BK; i += 8) {
            simdgroup_matrix<half, 8, 8> am[TM], bm[TN];
#pragma unroll
            for (uint t = 0; t < TM; ++t) {
                if (TA != 0) {
                    simdgroup_load(am[t], a + i * X_LD + ar + 8 * t, X_LD, ulong2(0, 0), true);
                } else {
                    simdgroup_load(am[t], a + (ar + 8 * t) * X_LD + i, X_LD);
                }
            }
#pragma unroll
            for (uint t = 0; t < TN; ++t) {
                if (UPRIGHT) {
                    simdgroup_load(bm[t], b + (bj + 8 * t) * W_LD + i, W_LD, ulong2(0, 0), true);
                } else {
                    simdgroup_load(bm[t], b + i * W_LD + bj + 8 * t, W_LD);
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
        threadgroup_barrier(mem_flags::mem_threadgroup);
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
