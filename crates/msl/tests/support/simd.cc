//!support
#include "harness.h"

namespace msl {
using namespace metal;

static const unsigned masks[] = {0xffffffffu, 0x0000ffffu, 0x00ff0ff0u, 0x80000001u, 0x00000010u};
static unsigned mask;
static int input[32];
static bool on(unsigned lane) { return mask >> lane & 1; }

template <class F> static int over(unsigned from, unsigned to, int start, F f) {
    int r = start;
    for (unsigned i = from; i < to; ++i)
        if (on(i)) r = f(r, input[i]);
    return r;
}
static int plus(int a, int b) { return a + b; }
static int times(int a, int b) { return (int)((uint)a * (uint)b); }
static int least(int a, int b) { return a < b ? a : b; }
static int most(int a, int b) { return a > b ? a : b; }
static int both(int a, int b) { return a & b; }
static int either(int a, int b) { return a | b; }
static int one_of(int a, int b) { return a ^ b; }

static void reductions(const MslThread *t) {
    uint me = MSL_LANE(t), q = me & ~3u;
    int v = input[me];
    EQUAL(simd_sum(v), over(0, 32, 0, plus));
    EQUAL(simd_product(v), over(0, 32, 1, times));
    EQUAL(simd_min(v), over(0, 32, INT_MAX, least));
    EQUAL(simd_max(v), over(0, 32, INT_MIN, most));
    EQUAL(simd_and(v), over(0, 32, -1, both));
    EQUAL(simd_or(v), over(0, 32, 0, either));
    EQUAL(simd_xor(v), over(0, 32, 0, one_of));
    EQUAL(simd_sum((float)v), (float)over(0, 32, 0, plus));
    EQUAL(simd_max(half(v)), half(over(0, 32, INT_MIN, most)));
    EQUAL(simd_min(float4(v, 1, 2, -v)).w, (float)-over(0, 32, INT_MIN, most));
    EQUAL(simd_prefix_inclusive_sum(v), over(0, me + 1, 0, plus));
    EQUAL(simd_prefix_exclusive_sum(v), over(0, me, 0, plus));
    EQUAL(simd_prefix_inclusive_product(v), over(0, me + 1, 1, times));
    EQUAL(simd_prefix_exclusive_product(v), over(0, me, 1, times));
    EQUAL(quad_sum(v), over(q, q + 4, 0, plus));
    EQUAL(quad_product(v), over(q, q + 4, 1, times));
    EQUAL(quad_min(v), over(q, q + 4, INT_MAX, least));
    EQUAL(quad_max(v), over(q, q + 4, INT_MIN, most));
    EQUAL(quad_and(v), over(q, q + 4, -1, both));
    EQUAL(quad_or(v), over(q, q + 4, 0, either));
    EQUAL(quad_xor(v), over(q, q + 4, 0, one_of));
    EQUAL(quad_prefix_inclusive_sum(v), over(q, me + 1, 0, plus));
    EQUAL(quad_prefix_exclusive_sum(v), over(q, me, 0, plus));
    EQUAL(quad_prefix_exclusive_product(v), over(q, me, 1, times));
    EQUAL((ulong)simd_active_threads_mask(), (ulong)mask);
    unsigned odd = 0;
    for (unsigned i = 0; i < 32; ++i) odd |= (unsigned)(on(i) && (input[i] & 1)) << i;
    EQUAL((ulong)simd_ballot(v & 1), (ulong)odd);
    EQUAL(simd_all(v & 1), odd == mask);
    EQUAL(simd_any(v & 1), odd != 0);
    EQUAL(simd_is_first(), me == (uint)__builtin_ctz(mask));
    EQUAL((uint)quad_ballot(v & 1), odd >> q & 15);
    EQUAL(quad_all(v & 1), (odd >> q & 15) == (mask >> q & 15));
    EQUAL(quad_any(v & 1), (odd >> q & 15) != 0);
    EQUAL(quad_is_first(), (me & 3) == (uint)__builtin_ctz(mask >> q & 15));
    EQUAL(simd_broadcast_first(v), input[__builtin_ctz(mask)]);
    EQUAL(quad_broadcast_first(v), input[q + __builtin_ctz(mask >> q & 15)]);
}

static void shuffles(const MslThread *t) {
    uint me = MSL_LANE(t), q = me & ~3u;
    int v = input[me];
    EQUAL(simd_shuffle(v, 7), input[7]);
    EQUAL(simd_shuffle(v, (ushort)(31 - me)), input[31 - me]);
    EQUAL(simd_broadcast(ulong(v), 9), (ulong)input[9]);
    EQUAL(simd_shuffle(uchar(v), 3), (uchar)input[3]);
    CHECK(all(simd_shuffle(int4(v, me, 1, 2), 5) == int4(input[5], 5, 1, 2)));
    for (ushort by = 0; by < 32; ++by) {
        EQUAL(simd_shuffle_xor(v, by), input[me ^ by]);
        EQUAL(simd_shuffle_up(v, by), input[me >= by ? me - by : me]);
        EQUAL(simd_shuffle_down(v, by), input[me + by < 32 ? me + by : me]);
        EQUAL(simd_shuffle_rotate_up(v, by), input[(me + 32 - by) % 32]);
        EQUAL(simd_shuffle_rotate_down(v, by), input[(me + by) % 32]);
        EQUAL(simd_shuffle_and_fill_up(v, -v, by), me >= by ? input[me - by] : -input[32 + me - by]);
        EQUAL(simd_shuffle_and_fill_down(v, -v, by), me + by < 32 ? input[me + by] : -input[me + by - 32]);
    }
    uint o = me & ~7u, at = me & 7;
    EQUAL(simd_shuffle_and_fill_up(v, -v, 3, 8), at >= 3 ? input[me - 3] : -input[o + 8 + at - 3]);
    EQUAL(simd_shuffle_and_fill_down(v, -v, 3, 8), at + 3 < 8 ? input[me + 3] : -input[o + at + 3 - 8]);
    for (ushort by = 0; by < 4; ++by) {
        EQUAL(quad_shuffle(v, by), input[q + by]);
        EQUAL(quad_broadcast(half(v), by), half(input[q + by]));
        EQUAL(quad_shuffle_xor(v, by), input[me ^ by]);
        EQUAL(quad_shuffle_up(v, by), input[me % 4 >= by ? me - by : me]);
        EQUAL(quad_shuffle_down(v, by), input[me % 4 + by < 4 ? me + by : me]);
        EQUAL(quad_shuffle_rotate_up(v, by), input[q + (me + 4 - by) % 4]);
        EQUAL(quad_shuffle_rotate_down(v, by), input[q + (me + by) % 4]);
        EQUAL(quad_shuffle_and_fill_up(v, -v, by), me % 4 >= by ? input[me - by] : -input[q + 4 + me % 4 - by]);
        EQUAL(quad_shuffle_and_fill_down(v, -v, by), me % 4 + by < 4 ? input[me + by] : -input[q + me % 4 + by - 4]);
    }
}

static void divergent(const MslThread *t) {
    uint me = MSL_LANE(t);
    int sum;
    if (me % 2) sum = simd_sum(1);
    else if (me < 8) sum = simd_sum(100);
    else sum = 5;
    EQUAL(sum, me % 2 ? 16 : me < 8 ? 400 : 5);
    EQUAL(simd_sum(1), 32);
}

static void inactive(const MslThread *t) {
    if (MSL_LANE(t) == 3) simd_shuffle(1.0f, 7);
}
static void beyond(const MslThread *) { simd_shuffle(1.0f, 40); }
static bool same_text(const char *a, const char *b) {
    while (*a && *a == *b) ++a, ++b;
    return *a == *b;
}

static void shared(const MslThread *t) {
    MSL_THREADGROUP((vec<float, 2>), tile, ([4][8]));
    MSL_THREADGROUP((atomic_int), count, ());
    MSL_THREADGROUP((atomic_float), total, ([2]));
    uint me = MSL_LANE(t);
    static_assert(sizeof(tile) == 256);
    tile[me / 8][me % 8] = float2(me, 1);
    if (me == 0) atomic_store_explicit(&count, 0, memory_order_relaxed), atomic_store_explicit(&total[1], 0.0f, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    EQUAL(tile[3 - me / 8][7 - me % 8].x, (float)(31 - me));
    atomic_fetch_add_explicit(&count, 2, memory_order_relaxed);
    atomic_fetch_add_explicit(&total[1], 0.5f, memory_order_relaxed);
    simdgroup_barrier(mem_flags::mem_threadgroup);
    EQUAL(atomic_load_explicit(&count, memory_order_relaxed), 64);
    EQUAL(atomic_load_explicit(&total[1], memory_order_relaxed), 16.0f);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    atomic_fetch_max_explicit(&count, (int)(me * 3), memory_order_relaxed);
    atomic_fetch_sub_explicit(&total[1], 1.0f, memory_order_relaxed);
    threadgroup_barrier(mem_flags::mem_threadgroup);
    EQUAL(atomic_load_explicit(&count, memory_order_relaxed), 93);
    EQUAL(atomic_load_explicit(&total[1], memory_order_relaxed), -16.0f);
}

static void atomics() {
    struct alignas(8) { ulong words[4]; } memory = {};
    auto *u = (atomic_uint *)&memory.words[0];
    auto *i = (atomic_int *)&memory.words[1];
    auto *b = (atomic_bool *)&memory.words[2];
    auto *l = (atomic_ulong *)&memory.words[3];
    const memory_order o = memory_order_relaxed;
    atomic_store_explicit(u, 12, o);
    EQUAL(atomic_exchange_explicit(u, 0xf0u, o), 12u);
    EQUAL(atomic_fetch_or_explicit(u, 3u, o), 0xf0u);
    EQUAL(atomic_fetch_and_explicit(u, 0x3fu, o), 0xf3u);
    EQUAL(atomic_fetch_xor_explicit(u, 1u, o), 0x33u);
    EQUAL(atomic_fetch_min_explicit(u, 7u, o), 0x32u);
    uint expected = 6;
    CHECK(!atomic_compare_exchange_weak_explicit(u, &expected, 9u, o, o));
    EQUAL(expected, 7u);
    CHECK(atomic_compare_exchange_weak_explicit(u, &expected, 9u, o, o));
    EQUAL(atomic_load_explicit(u, o), 9u);
    atomic_store_explicit(i, -5, o);
    EQUAL(atomic_fetch_min_explicit(i, 3, o), -5);
    EQUAL(atomic_fetch_max_explicit(i, 3, o), -5);
    EQUAL(atomic_load_explicit(i, o), 3);
    atomic_store_explicit(b, true, o);
    CHECK(atomic_exchange_explicit(b, false, o) && !atomic_load_explicit(b, o));
    atomic_max_explicit(l, 1ul << 40, o);
    atomic_min_explicit(l, 1ul << 39, o);
    EQUAL(memory.words[3], 1ul << 39);
    EQUAL(atomics_seen() > 15, true);
}

template <class T> struct Matrices {
    static T a[16 * 24], b[16 * 24], out[24 * 24];
    static float c[64], sums[64], mixed[64];

    static void run(const MslThread *t) {
        simdgroup_matrix<T, 8, 8> x, y, z;
        simdgroup_float8x8 sum, start;
        simdgroup_load(x, a, 24, ulong2(3, 5));
        simdgroup_load(y, b, 24, ulong2(8, 2), true);
        simdgroup_load(start, c);
        uint me = MSL_LANE(t), quad = me / 4, row = (quad & 4) + (me / 2) % 4, column = (quad & 2) * 2 + (me % 2) * 2;
        EQUAL((float)x.thread_elements()[0], (float)a[(5 + row) * 24 + 3 + column]);
        EQUAL((float)x.thread_elements()[1], (float)a[(5 + row) * 24 + 4 + column]);
        EQUAL((float)y.thread_elements()[1], (float)b[(2 + column + 1) * 24 + 8 + row]);
        simdgroup_multiply_accumulate(sum, x, y, start);
        simdgroup_store(sum, sums);
        simdgroup_multiply(z, x, y);
        z = z * simdgroup_matrix<T, 8, 8>(T(0.5f));
        simdgroup_store(z, out, 24, ulong2(8, 8), true);
        simdgroup_float8x8 ones = make_filled_simdgroup_matrix<float, 8>(1.0f), r;
        simdgroup_multiply(r, x, ones);
        ones = make_diagonal_simdgroup_matrix<float, 8, 8>(2.0f);
        simdgroup_multiply_accumulate(r, ones, r, r);
        simdgroup_store(r, mixed, 8, 0, false);
    }
    static void test() {
        unsigned s = 7;
        for (int i = 0; i < 16 * 24; ++i) {
            s = s * 1664525u + 1013904223u, a[i] = T((float)(int)(s >> 24) / 64 - 2);
            s = s * 1664525u + 1013904223u, b[i] = T((float)(int)(s >> 24) / 64 - 2);
        }
        for (int i = 0; i < 64; ++i) c[i] = (float)i;
        run_lanes(~0u, run, nullptr);
        for (int i = 0; i < 8; ++i)
            for (int j = 0; j < 8; ++j) {
                double product = 0, row = 0;
                for (int k = 0; k < 8; ++k) product += (double)(float)a[(5 + i) * 24 + 3 + k] * (float)b[(2 + j) * 24 + 8 + k], row += (float)a[(5 + i) * 24 + 3 + k];
                CHECK(::fabs(sums[i * 8 + j] - (product + c[i * 8 + j])) < 1e-4);
                CHECK(::fabs(mixed[i * 8 + j] - 3 * row) < 1e-4);
                CHECK(::fabs((double)(float)out[(8 + j) * 24 + 8 + i] - 0.5 * product) < 0.5 * ::fabs(product) / (sizeof(T) == 4 ? 1e5 : is_same_v<T, half> ? 1000 : 125) + 1e-5);
            }
    }
};
template <class T> T Matrices<T>::a[16 * 24];
template <class T> T Matrices<T>::b[16 * 24];
template <class T> T Matrices<T>::out[24 * 24];
template <class T> float Matrices<T>::c[64];
template <class T> float Matrices<T>::sums[64];
template <class T> float Matrices<T>::mixed[64];

static void partial(const MslThread *) {
    simdgroup_float8x8 x(1.0f);
    simdgroup_multiply(x, x, x);
}

} // namespace msl

void run_tests() {
    using namespace msl;
    for (unsigned m : masks) {
        mask = m;
        for (int i = 0; i < 32; ++i) input[i] = (i * 7919 + 13) % 23 - 3;
        run_lanes(m, reductions, nullptr);
        EQUAL(take_trap()[0], 0);
    }
    run_lanes(~0u, shuffles, nullptr);
    run_lanes(~0u, divergent, nullptr);
    EQUAL(take_trap()[0], 0);
    run_lanes(~0u, inactive, nullptr);
    CHECK(same_text(take_trap(), "simd_shuffle reads lane 7, which is not active"));
    run_lanes(~0u, beyond, nullptr);
    CHECK(same_text(take_trap(), "simd_shuffle reads lane 40, which does not exist"));
    run_lanes(~0u, shared, nullptr);
    CHECK(barriers_seen() == 32 * 4);
    msl::atomics();
    Matrices<half>::test();
    Matrices<bfloat>::test();
    Matrices<float>::test();
    EQUAL(take_trap()[0], 0);
    run_lanes(0xffffu, partial, nullptr);
    CHECK(take_trap()[0] != 0);
}
