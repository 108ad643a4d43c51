// SIMD-group and quad-group functions and barriers. Every one works on the lanes that are active where it stands; to read a lane that
// is not active is undefined in Metal, and trapped by the host.
namespace msl {
namespace metal {

enum class mem_flags : unsigned { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4, mem_threadgroup_imageblock = 8, mem_object_data = 16 };
MSL_FN constexpr mem_flags operator|(mem_flags a, mem_flags b) { return (mem_flags)((unsigned)a | (unsigned)b); }
MSL_FN constexpr mem_flags operator&(mem_flags a, mem_flags b) { return (mem_flags)((unsigned)a & (unsigned)b); }

enum memory_order { memory_order_relaxed, memory_order_acquire, memory_order_release, memory_order_acq_rel, memory_order_seq_cst };
enum thread_scope { thread_scope_thread, thread_scope_simdgroup, thread_scope_threadgroup, thread_scope_device, thread_scope_system };

// Some lanes of a SIMD group, as a mask.
struct simd_vote {
    typedef unsigned long vote_t;
    vote_t bits;
    simd_vote() = default;
    MSL_FN explicit constexpr simd_vote(vote_t v) : bits(v) {}
    MSL_FN explicit constexpr operator vote_t() const { return bits; }
    MSL_FN constexpr bool all() const { return bits == 0xffffffffu; }
    MSL_FN constexpr bool any() const { return bits != 0; }
};
struct quad_vote {
    typedef unsigned vote_t;
    vote_t bits;
    quad_vote() = default;
    MSL_FN explicit constexpr quad_vote(vote_t v) : bits(v) {}
    MSL_FN explicit constexpr operator vote_t() const { return bits; }
    MSL_FN constexpr bool all() const { return bits == 15; }
    MSL_FN constexpr bool any() const { return bits != 0; }
};

} // namespace metal

namespace impl {

struct AddOp {
    static constexpr int integer = 1;
    template <class V> MSL_FN static V apply(V a, V b) { return V(a + b); }
};
struct MulOp {
    static constexpr int integer = 0;
    template <class V> MSL_FN static V apply(V a, V b) { return V(a * b); }
};
struct MinOp {
    static constexpr int integer = 2;
    template <class V> MSL_FN static V apply(V a, V b) { return metal::min(a, b); }
};
struct MaxOp {
    static constexpr int integer = 3;
    template <class V> MSL_FN static V apply(V a, V b) { return metal::max(a, b); }
};
struct AndOp {
    static constexpr int integer = 4;
    template <class V> MSL_FN static V apply(V a, V b) { return V(a & b); }
};
struct OrOp {
    static constexpr int integer = 5;
    template <class V> MSL_FN static V apply(V a, V b) { return V(a | b); }
};
struct XorOp {
    static constexpr int integer = 6;
    template <class V> MSL_FN static V apply(V a, V b) { return V(a ^ b); }
};

#ifdef MSL_CUDA

// Moves any value by the words that hold it.
template <class V, class F> MSL_FN V by_words(V v, F f) {
    constexpr int n = (sizeof(V) + 3) / 4;
    if constexpr (n == 1) {
        unsigned w = 0;
        if constexpr (sizeof(V) == 4) w = __builtin_bit_cast(unsigned, v);
        else if constexpr (sizeof(V) == 2) w = __builtin_bit_cast(unsigned short, v);
        else if constexpr (sizeof(V) == 1) w = __builtin_bit_cast(unsigned char, v);
        else static_assert(sizeof(V) == 4, "a type of 3 bytes");
        w = f(w);
        if constexpr (sizeof(V) == 4) return __builtin_bit_cast(V, w);
        else if constexpr (sizeof(V) == 2) return __builtin_bit_cast(V, (unsigned short)w);
        else return __builtin_bit_cast(V, (unsigned char)w);
    } else {
        struct Words { unsigned w[n]; };
        static_assert(sizeof(V) == sizeof(Words), "a size of whole words");
        Words words = __builtin_bit_cast(Words, v);
        MSL_UNROLL for (int i = 0; i < n; ++i) words.w[i] = f(words.w[i]);
        return __builtin_bit_cast(V, words);
    }
}
// Lanes are named as the kernel names them; `mask` is the hardware's.
template <class V> MSL_FN V shuffle(unsigned mask, V v, unsigned from) {
    return by_words(v, [=](unsigned w) { return __shfl_sync(mask, w, (int)to_physical(from)); });
}
template <class V> MSL_FN V shuffle_xor(unsigned mask, V v, unsigned bits) {
    return by_words(v, [=](unsigned w) { return __shfl_xor_sync(mask, w, (int)to_physical(bits)); });
}
template <int width, class V> MSL_FN V shuffle_up(unsigned mask, V v, unsigned by) {
#ifdef MSL_USES_THREAD_ELEMENTS
    unsigned me = lane();
    return shuffle(mask, v, me % width >= by ? me - by : me);
#else
    return by_words(v, [=](unsigned w) { return __shfl_up_sync(mask, w, by, width); });
#endif
}
template <int width, class V> MSL_FN V shuffle_down(unsigned mask, V v, unsigned by) {
#ifdef MSL_USES_THREAD_ELEMENTS
    unsigned me = lane();
    return shuffle(mask, v, me % width + by < width ? me + by : me);
#else
    return by_words(v, [=](unsigned w) { return __shfl_down_sync(mask, w, by, width); });
#endif
}
MSL_FN unsigned first_lane(unsigned mask) { return __ffs(lanes_to_logical(mask)) - 1; }
MSL_FN unsigned quad(unsigned mask) { return lanes_to_logical(mask) >> (lane() & ~3u) & 15; }
template <class Op, class V> MSL_FN V reduce_word(unsigned mask, V v) {
    unsigned r;
    if constexpr (Op::integer == 1) asm volatile("redux.sync.add.s32 %0, %1, %2;" : "=r"(r) : "r"((unsigned)v), "r"(mask));
    else if constexpr (Op::integer == 2 && kind_of<V> == 2) asm volatile("redux.sync.min.s32 %0, %1, %2;" : "=r"(r) : "r"((unsigned)v), "r"(mask));
    else if constexpr (Op::integer == 2) asm volatile("redux.sync.min.u32 %0, %1, %2;" : "=r"(r) : "r"((unsigned)v), "r"(mask));
    else if constexpr (Op::integer == 3 && kind_of<V> == 2) asm volatile("redux.sync.max.s32 %0, %1, %2;" : "=r"(r) : "r"((unsigned)v), "r"(mask));
    else if constexpr (Op::integer == 3) asm volatile("redux.sync.max.u32 %0, %1, %2;" : "=r"(r) : "r"((unsigned)v), "r"(mask));
    else if constexpr (Op::integer == 4) asm volatile("redux.sync.and.b32 %0, %1, %2;" : "=r"(r) : "r"((unsigned)v), "r"(mask));
    else if constexpr (Op::integer == 5) asm volatile("redux.sync.or.b32 %0, %1, %2;" : "=r"(r) : "r"((unsigned)v), "r"(mask));
    else asm volatile("redux.sync.xor.b32 %0, %1, %2;" : "=r"(r) : "r"((unsigned)v), "r"(mask));
    return (V)r;
}

// The active lanes in ascending order.
template <class Op, class V> MSL_NOINLINE_FN V reduce_some(unsigned mask, V v) {
    unsigned lanes = lanes_to_logical(mask);
    V r = shuffle(mask, v, __ffs(lanes) - 1);
    for (lanes &= lanes - 1; lanes; lanes &= lanes - 1) r = Op::apply(r, shuffle(mask, v, __ffs(lanes) - 1));
    return r;
}
template <class Op, int width, class V> MSL_FN V butterfly(V v) {
    MSL_UNROLL for (int i = width / 2; i > 0; i /= 2) v = Op::apply(v, shuffle_xor(0xffffffffu, v, i));
    return v;
}
template <class Op, class V> MSL_FN V reduce(V v) {
    unsigned mask = active();
    if constexpr (sizeof(V) <= 4 && (kind_of<V> == 2 || kind_of<V> == 3) && Op::integer != 0) return reduce_word<Op>(mask, v);
    else {
        if (mask == 0xffffffffu) return butterfly<Op, 32>(v);
        return reduce_some<Op>(mask, v);
    }
}
template <class Op, class V> MSL_FN V quad_reduce(V v) {
    unsigned mask = active();
    if (mask == 0xffffffffu) return butterfly<Op, 4>(v);
    unsigned mine = lane() & ~3u, here = quad(mask);
    V r = v;
    bool first = true;
    for (unsigned i = 0; i < 4; ++i) {
        V other = shuffle(mask, v, mine + i);
        if (!(here >> i & 1)) continue;
        r = first ? other : Op::apply(r, other);
        first = false;
    }
    return r;
}
// The combination of the active lanes below this one, and with it where `inclusive`; nothing gives `unit`.
template <class Op, int inclusive, int width, class V> MSL_FN V prefix(V v, V unit) {
    unsigned mask = active(), me = lane();
    if (mask == 0xffffffffu) {
        V sum = v;
        MSL_UNROLL for (int i = 1; i < width; i *= 2) {
            V other = shuffle_up<width>(0xffffffffu, sum, i);
            if ((int)(me % width) >= i) sum = Op::apply(other, sum);
        }
        if constexpr (inclusive) return sum;
        V below = shuffle_up<width>(0xffffffffu, sum, 1);
        return me % width == 0 ? unit : below;
    }
    V sum = unit;
    for (unsigned rest = lanes_to_logical(mask); rest; rest &= rest - 1) {
        unsigned i = __ffs(rest) - 1;
        V other = shuffle(mask, v, i);
        if (i / width == me / width && (i < me || (inclusive && i == me))) sum = Op::apply(sum, other);
    }
    return sum;
}

#else

template <class V> struct Lanes {
    unsigned mask;
    V slots[32];
};
template <class V> MSL_FN Lanes<V> meet(unsigned kind, const V &v, const char *msl_file, unsigned msl_line) {
    Lanes<V> all;
    all.mask = runtime->exchange(kind, &v, sizeof(V), all.slots, msl_file, msl_line);
    return all;
}
inline void report_lane(const char *name, unsigned from, unsigned mask, const char *msl_file, unsigned msl_line) {
    char text[96];
    int n = 0;
    auto put = [&](const char *s) {
        while (*s && n < 90) text[n++] = *s++;
    };
    put(name);
    put(" reads lane ");
    if (from >= 1000) put("over 999");
    else {
        if (from >= 100) text[n++] = (char)('0' + from / 100);
        if (from >= 10) text[n++] = (char)('0' + from / 10 % 10);
        text[n++] = (char)('0' + from % 10);
    }
    put(from >= 32 ? ", which does not exist" : ", which is not active");
    text[n] = 0;
    (void)mask;
    runtime->trap(text, msl_file, msl_line);
}
template <class V> MSL_FN V take(const Lanes<V> &all, unsigned from, const char *name, const char *msl_file, unsigned msl_line) {
    if (from < 32 && (all.mask >> from & 1)) return all.slots[from];
    report_lane(name, from, all.mask, msl_file, msl_line);
    return V();
}
// In the order in which the butterfly of a GPU combines them where all lanes are there, in ascending order where they are not.
template <class Op, class V> inline V combine(V *slots, unsigned mask, unsigned base, unsigned width) {
    unsigned wanted = width == 32 ? 0xffffffffu : ((1u << width) - 1) << base;
    mask &= wanted;
    if (mask == wanted) {
        for (unsigned step = width / 2; step > 0; step /= 2)
            for (unsigned i = 0; i < step; ++i) slots[base + i] = Op::apply(slots[base + i], slots[base + i + step]);
        return slots[base];
    }
    V r = V();
    bool first = true;
    for (unsigned i = base; i < base + width; ++i)
        if (mask >> i & 1) r = first ? slots[i] : Op::apply(r, slots[i]), first = false;
    return r;
}
template <class Op, class V> MSL_FN V reduce(V v MSL_PLACE) {
    Lanes<V> all = meet(MSL_SIMD_REDUCE, v MSL_PASS);
    return combine<Op>(all.slots, all.mask, 0, 32);
}
template <class Op, class V> MSL_FN V quad_reduce(V v MSL_PLACE) {
    Lanes<V> all = meet(MSL_QUAD_REDUCE, v MSL_PASS);
    return combine<Op>(all.slots, all.mask, lane() & ~3u, 4);
}
template <class Op, int inclusive, int width, class V> MSL_FN V prefix(V v, V unit MSL_PLACE) {
    Lanes<V> all = meet(width == 32 ? MSL_SIMD_PREFIX : MSL_QUAD_PREFIX, v MSL_PASS);
    unsigned me = lane();
    V r = unit;
    bool first = true;
    for (unsigned i = me - me % width; i < me + inclusive; ++i)
        if (all.mask >> i & 1) r = first ? all.slots[i] : Op::apply(r, all.slots[i]), first = false;
    return r;
}

#endif

} // namespace impl

#ifdef MSL_CUDA
namespace impl {
MSL_FN uint3 thread_position() {
#ifdef MSL_USES_THREAD_ELEMENTS
    if (blockDim.x % 32 == 0) return uint3((threadIdx.x & ~31u) | to_logical(threadIdx.x & 31), threadIdx.y, threadIdx.z);
    unsigned i = thread_index();
    return uint3(i % blockDim.x, i / blockDim.x % blockDim.y, i / (blockDim.x * blockDim.y));
#else
    return uint3(threadIdx.x, threadIdx.y, threadIdx.z);
#endif
}
} // namespace impl
#endif

namespace metal {

#ifdef MSL_CUDA
MSL_FN void threadgroup_barrier(mem_flags, thread_scope = thread_scope_threadgroup) { __syncthreads(); }
MSL_FN void simdgroup_barrier(mem_flags, thread_scope = thread_scope_simdgroup) { __syncwarp(impl::active()); }
#else
MSL_FN void threadgroup_barrier(mem_flags flags, thread_scope = thread_scope_threadgroup MSL_PLACE) { impl::runtime->barrier(MSL_SCOPE_THREADGROUP, (unsigned)flags MSL_PASS); }
MSL_FN void simdgroup_barrier(mem_flags flags, thread_scope = thread_scope_simdgroup MSL_PLACE) { impl::runtime->barrier(MSL_SCOPE_SIMDGROUP, (unsigned)flags MSL_PASS); }
#endif

#define MSL_REDUCE(name, Op)                                                                                               \
    template <class A> MSL_FN impl::Value<A> simd_##name(A a MSL_PLACE) { return impl::reduce<impl::Op>(impl::Value<A>(a) MSL_PASS); } \
    template <class A> MSL_FN impl::Value<A> quad_##name(A a MSL_PLACE) { return impl::quad_reduce<impl::Op>(impl::Value<A>(a) MSL_PASS); }
MSL_REDUCE(sum, AddOp)
MSL_REDUCE(product, MulOp)
MSL_REDUCE(min, MinOp)
MSL_REDUCE(max, MaxOp)
MSL_REDUCE(and, AndOp)
MSL_REDUCE(or, OrOp)
MSL_REDUCE(xor, XorOp)

#define MSL_PREFIX(name, Op, inclusive, unit)                                                                              \
    template <class A> MSL_FN impl::Value<A> simd_prefix_##name(A a MSL_PLACE) {                                           \
        typedef impl::Value<A> V;                                                                                          \
        return impl::prefix<impl::Op, inclusive, 32>(V(a), V(unit) MSL_PASS);                                              \
    }                                                                                                                      \
    template <class A> MSL_FN impl::Value<A> quad_prefix_##name(A a MSL_PLACE) {                                           \
        typedef impl::Value<A> V;                                                                                          \
        return impl::prefix<impl::Op, inclusive, 4>(V(a), V(unit) MSL_PASS);                                               \
    }
MSL_PREFIX(exclusive_sum, AddOp, 0, 0)
MSL_PREFIX(inclusive_sum, AddOp, 1, 0)
MSL_PREFIX(exclusive_product, MulOp, 0, 1)
MSL_PREFIX(inclusive_product, MulOp, 1, 1)

#ifdef MSL_CUDA
template <class A> MSL_FN impl::Value<A> simd_shuffle(A a, ushort from) { return impl::shuffle(impl::active(), impl::Value<A>(a), from); }
template <class A> MSL_FN impl::Value<A> simd_broadcast(A a, ushort from) { return impl::shuffle(impl::active(), impl::Value<A>(a), from); }
template <class A> MSL_FN impl::Value<A> simd_broadcast_first(A a) {
    unsigned mask = impl::active();
    return impl::shuffle(mask, impl::Value<A>(a), impl::first_lane(mask));
}
template <class A> MSL_FN impl::Value<A> simd_shuffle_xor(A a, ushort bits) { return impl::shuffle_xor(impl::active(), impl::Value<A>(a), bits); }
template <class A> MSL_FN impl::Value<A> simd_shuffle_up(A a, ushort by) {
    return impl::shuffle_up<32>(impl::active(), impl::Value<A>(a), by);
}
template <class A> MSL_FN impl::Value<A> simd_shuffle_down(A a, ushort by) {
    return impl::shuffle_down<32>(impl::active(), impl::Value<A>(a), by);
}
template <class A> MSL_FN impl::Value<A> simd_shuffle_rotate_up(A a, ushort by) {
    return impl::shuffle(impl::active(), impl::Value<A>(a), (impl::lane() - by) & 31);
}
template <class A> MSL_FN impl::Value<A> simd_shuffle_rotate_down(A a, ushort by) {
    return impl::shuffle(impl::active(), impl::Value<A>(a), (impl::lane() + by) & 31);
}
template <class A> MSL_FN impl::Value<A> simd_shuffle_and_fill_up(A a, A fill, ushort by, ushort modulo = 32) {
    typedef impl::Value<A> V;
    unsigned mask = impl::active(), me = impl::lane(), at = me % modulo, from = at >= by ? me - by : me - at + (modulo + at - by) % modulo;
    V moved = impl::shuffle(mask, V(a), from), filled = impl::shuffle(mask, V(fill), from);
    return at >= by ? moved : filled;
}
template <class A> MSL_FN impl::Value<A> simd_shuffle_and_fill_down(A a, A fill, ushort by, ushort modulo = 32) {
    typedef impl::Value<A> V;
    unsigned mask = impl::active(), me = impl::lane(), at = me % modulo, from = me - at + (at + by) % modulo;
    V moved = impl::shuffle(mask, V(a), from), filled = impl::shuffle(mask, V(fill), from);
    return at + by < modulo ? moved : filled;
}
template <class A> MSL_FN impl::Value<A> quad_broadcast(A a, ushort from) {
    return impl::shuffle(impl::active(), impl::Value<A>(a), (impl::lane() & ~3u) + from);
}
template <class A> MSL_FN impl::Value<A> quad_shuffle(A a, ushort from) { return metal::quad_broadcast(a, from); }
template <class A> MSL_FN impl::Value<A> quad_broadcast_first(A a) {
    unsigned mask = impl::active(), base = impl::lane() & ~3u;
    return impl::shuffle(mask, impl::Value<A>(a), base + __ffs(impl::quad(mask)) - 1);
}
template <class A> MSL_FN impl::Value<A> quad_shuffle_xor(A a, ushort bits) { return impl::shuffle_xor(impl::active(), impl::Value<A>(a), bits & 3); }
template <class A> MSL_FN impl::Value<A> quad_shuffle_up(A a, ushort by) {
    return impl::shuffle(impl::active(), impl::Value<A>(a), impl::lane() % 4 >= by ? impl::lane() - by : impl::lane());
}
template <class A> MSL_FN impl::Value<A> quad_shuffle_down(A a, ushort by) {
    return impl::shuffle(impl::active(), impl::Value<A>(a), impl::lane() % 4 + by < 4 ? impl::lane() + by : impl::lane());
}
template <class A> MSL_FN impl::Value<A> quad_shuffle_rotate_up(A a, ushort by) {
    return impl::shuffle(impl::active(), impl::Value<A>(a), (impl::lane() & ~3u) + ((impl::lane() - by) & 3));
}
template <class A> MSL_FN impl::Value<A> quad_shuffle_rotate_down(A a, ushort by) {
    return impl::shuffle(impl::active(), impl::Value<A>(a), (impl::lane() & ~3u) + ((impl::lane() + by) & 3));
}
template <class A> MSL_FN impl::Value<A> quad_shuffle_and_fill_up(A a, A fill, ushort by, ushort modulo = 4) {
    return metal::simd_shuffle_and_fill_up(a, fill, by, modulo);
}
template <class A> MSL_FN impl::Value<A> quad_shuffle_and_fill_down(A a, A fill, ushort by, ushort modulo = 4) {
    return metal::simd_shuffle_and_fill_down(a, fill, by, modulo);
}
MSL_FN simd_vote simd_ballot(bool b) { return simd_vote(impl::lanes_to_logical(__ballot_sync(impl::active(), b))); }
MSL_FN simd_vote simd_active_threads_mask() { return simd_vote(impl::lanes_to_logical(impl::active())); }
MSL_FN bool simd_all(bool b) { return __all_sync(impl::active(), b); }
MSL_FN bool simd_any(bool b) { return __any_sync(impl::active(), b); }
MSL_FN bool simd_is_first() { return impl::lane() == impl::first_lane(impl::active()); }
MSL_FN quad_vote quad_ballot(bool b) { return quad_vote(impl::quad(__ballot_sync(impl::active(), b))); }
MSL_FN quad_vote quad_active_threads_mask() { return quad_vote(impl::quad(impl::active())); }
MSL_FN bool quad_all(bool b) { return impl::quad(__ballot_sync(impl::active(), !b)) == 0; }
MSL_FN bool quad_any(bool b) { return impl::quad(__ballot_sync(impl::active(), b)) != 0; }
MSL_FN bool quad_is_first() { return (impl::lane() & 3) == (unsigned)(__ffs(impl::quad(impl::active())) - 1); }
#else
// A shuffle whose source is the lane `from`, an expression of `me`.
#define MSL_SHUFFLE(name, parameter, from_)                                                                  \
    template <class A> MSL_FN impl::Value<A> name(A a, ushort parameter MSL_PLACE) {                         \
        impl::Lanes<impl::Value<A>> all = impl::meet(MSL_SIMD_SHUFFLE, impl::Value<A>(a) MSL_PASS);          \
        unsigned me = impl::lane();                                                                          \
        (void)me;                                                                                            \
        return impl::take(all, (from_), #name MSL_PASS);                                                     \
    }
MSL_SHUFFLE(simd_shuffle, from, from)
MSL_SHUFFLE(simd_broadcast, from, from)
MSL_SHUFFLE(simd_shuffle_xor, bits, me ^ bits)
// Where the source is outside of the group the value is unchanged.
MSL_SHUFFLE(simd_shuffle_up, by, me >= by ? me - by : me)
MSL_SHUFFLE(simd_shuffle_down, by, me + by < 32 ? me + by : me)
MSL_SHUFFLE(simd_shuffle_rotate_up, by, (me - by) & 31)
MSL_SHUFFLE(simd_shuffle_rotate_down, by, (me + by) & 31)
MSL_SHUFFLE(quad_broadcast, from, from < 4 ? (me & ~3u) + from : 32 + from)
MSL_SHUFFLE(quad_shuffle, from, from < 4 ? (me & ~3u) + from : 32 + from)
MSL_SHUFFLE(quad_shuffle_xor, bits, bits < 4 ? me ^ bits : 32 + bits)
MSL_SHUFFLE(quad_shuffle_up, by, me % 4 >= by ? me - by : me)
MSL_SHUFFLE(quad_shuffle_down, by, me % 4 + by < 4 ? me + by : me)
MSL_SHUFFLE(quad_shuffle_rotate_up, by, (me & ~3u) + ((me - by) & 3))
MSL_SHUFFLE(quad_shuffle_rotate_down, by, (me & ~3u) + ((me + by) & 3))
#define MSL_SHUFFLE_AND_FILL(name, size, from_, fills)                                                                      \
    template <class A> MSL_FN impl::Value<A> name(A a, A fill, ushort by, ushort modulo = size MSL_PLACE) {                 \
        typedef impl::Value<A> V;                                                                                           \
        struct Both { V value, fill; };                                                                                     \
        impl::Lanes<Both> all = impl::meet(MSL_SIMD_SHUFFLE, Both{V(a), V(fill)} MSL_PASS);                                 \
        unsigned me = impl::lane(), at = me % modulo;                                                                       \
        Both taken = impl::take(all, me - at + (from_) % modulo, #name MSL_PASS);                                           \
        return (fills) ? taken.fill : taken.value;                                                                          \
    }
MSL_SHUFFLE_AND_FILL(simd_shuffle_and_fill_up, 32, modulo + at - by, at < by)
MSL_SHUFFLE_AND_FILL(simd_shuffle_and_fill_down, 32, at + by, at + by >= modulo)
MSL_SHUFFLE_AND_FILL(quad_shuffle_and_fill_up, 4, modulo + at - by, at < by)
MSL_SHUFFLE_AND_FILL(quad_shuffle_and_fill_down, 4, at + by, at + by >= modulo)
template <class A> MSL_FN impl::Value<A> simd_broadcast_first(A a MSL_PLACE) {
    impl::Lanes<impl::Value<A>> all = impl::meet(MSL_SIMD_SHUFFLE, impl::Value<A>(a) MSL_PASS);
    return all.slots[impl::ctz32(all.mask) & 31];
}
template <class A> MSL_FN impl::Value<A> quad_broadcast_first(A a MSL_PLACE) {
    impl::Lanes<impl::Value<A>> all = impl::meet(MSL_SIMD_SHUFFLE, impl::Value<A>(a) MSL_PASS);
    unsigned base = impl::lane() & ~3u;
    return all.slots[(base + impl::ctz32(all.mask >> base & 15)) & 31];
}
} // namespace metal
namespace impl {
struct Votes {
    unsigned active, yes;
};
inline Votes vote(bool b, const char *msl_file, unsigned msl_line) {
    Lanes<unsigned char> all = meet(MSL_SIMD_VOTE, (unsigned char)b, msl_file, msl_line);
    Votes votes = {all.mask, 0};
    for (unsigned i = 0; i < 32; ++i)
        if (all.mask >> i & 1) votes.yes |= (unsigned)all.slots[i] << i;
    return votes;
}
MSL_FN unsigned quad(unsigned mask) { return mask >> (lane() & ~3u) & 15; }
} // namespace impl
namespace metal {
MSL_FN simd_vote simd_ballot(bool b MSL_PLACE) { return simd_vote(impl::vote(b MSL_PASS).yes); }
MSL_FN simd_vote simd_active_threads_mask(MSL_PLACE1) { return simd_vote(impl::vote(true MSL_PASS).active); }
MSL_FN bool simd_all(bool b MSL_PLACE) { return impl::vote(!b MSL_PASS).yes == 0; }
MSL_FN bool simd_any(bool b MSL_PLACE) { return impl::vote(b MSL_PASS).yes != 0; }
MSL_FN bool simd_is_first(MSL_PLACE1) { return impl::lane() == (unsigned)impl::ctz32(impl::vote(true MSL_PASS).active); }
MSL_FN quad_vote quad_ballot(bool b MSL_PLACE) { return quad_vote(impl::quad(impl::vote(b MSL_PASS).yes)); }
MSL_FN quad_vote quad_active_threads_mask(MSL_PLACE1) { return quad_vote(impl::quad(impl::vote(true MSL_PASS).active)); }
MSL_FN bool quad_all(bool b MSL_PLACE) { return impl::quad(impl::vote(!b MSL_PASS).yes) == 0; }
MSL_FN bool quad_any(bool b MSL_PLACE) { return impl::quad(impl::vote(b MSL_PASS).yes) != 0; }
MSL_FN bool quad_is_first(MSL_PLACE1) {
    return (impl::lane() & 3) == (unsigned)impl::ctz32(impl::quad(impl::vote(true MSL_PASS).active));
}
#endif
// Helper threads belong to fragment functions.
MSL_FN constexpr bool simd_is_helper_thread() { return false; }
MSL_FN constexpr bool quad_is_helper_thread() { return false; }

} // namespace metal
} // namespace msl

#ifdef MSL_CUDA
#define MSL_UINT3(v) (::msl::uint3((v).x, (v).y, (v).z))
#define MSL_LANE(t) (::msl::impl::lane())
#define MSL_TID(t) (::msl::impl::thread_index())
#define MSL_THREADS(t) (::msl::impl::threads())
#define MSL_SIMDGROUP(t) (::msl::impl::thread_index() / 32)
#define MSL_SIMDGROUPS(t) ((::msl::impl::threads() + 31) / 32)
#define MSL_THREAD_POS(t) (::msl::impl::thread_position())
#define MSL_GROUP_POS(t) MSL_UINT3(blockIdx)
#define MSL_GROUP_SIZE(t) MSL_UINT3(blockDim)
#define MSL_GRID_GROUPS(t) MSL_UINT3(gridDim)
#define MSL_GRID_POS(t) (MSL_GROUP_POS(t) * MSL_GROUP_SIZE(t) + MSL_THREAD_POS(t))
#define MSL_GRID_SIZE(t) (MSL_GRID_GROUPS(t) * MSL_GROUP_SIZE(t))
#else
#define MSL_UINT3(v) (::msl::uint3((v)[0], (v)[1], (v)[2]))
#define MSL_LANE(t) ((t)->thread_index_in_simdgroup)
#define MSL_TID(t) ((t)->thread_index_in_threadgroup)
#define MSL_THREADS(t) ((t)->threads_per_threadgroup[0] * (t)->threads_per_threadgroup[1] * (t)->threads_per_threadgroup[2])
#define MSL_SIMDGROUP(t) ((t)->simdgroup_index_in_threadgroup)
#define MSL_SIMDGROUPS(t) ((t)->simdgroups_per_threadgroup)
#define MSL_THREAD_POS(t) MSL_UINT3((t)->thread_position_in_threadgroup)
#define MSL_GROUP_POS(t) MSL_UINT3((t)->threadgroup_position_in_grid)
#define MSL_GROUP_SIZE(t) MSL_UINT3((t)->threads_per_threadgroup)
#define MSL_GRID_GROUPS(t) MSL_UINT3((t)->threadgroups_per_grid)
#define MSL_GRID_POS(t) MSL_UINT3((t)->thread_position_in_grid)
#define MSL_GRID_SIZE(t) MSL_UINT3((t)->threads_per_grid)
#endif
