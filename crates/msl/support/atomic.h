// Atomic types and functions. An atomic_bool takes four bytes, like the other 32-bit ones.
namespace msl {
namespace metal {

template <class T> struct atomic {
    typedef T value_type;
    conditional_t<is_same_v<T, bool>, unsigned, T> value;
};
typedef atomic<int> atomic_int;
typedef atomic<uint> atomic_uint;
typedef atomic<bool> atomic_bool;
typedef atomic<float> atomic_float;
typedef atomic<ulong> atomic_ulong;
typedef atomic<long> atomic_long;

} // namespace metal
using metal::atomic_int, metal::atomic_uint, metal::atomic_bool, metal::atomic_float, metal::atomic_ulong;

namespace impl {

template <class T> using Stored = decltype(metal::atomic<T>::value);
template <class T> MSL_FN Stored<T> *cell(const volatile metal::atomic<T> *p) { return const_cast<Stored<T> *>(&p->value); }

struct Exchange {
    template <class T> MSL_FN static T apply(T, T b) { return b; }
};
// a - b, in the arithmetic of the type without overflow.
struct SubOp {
    template <class T> MSL_FN static T apply(T a, T b) { return T(a - b); }
};

#ifdef MSL_CUDA

template <class S> using Word = conditional_t<sizeof(S) == 8, unsigned long long, unsigned>;

template <class S> MSL_FN S atomic_read(S *p) { return *(volatile S *)p; }
template <class S> MSL_FN void atomic_write(S *p, S v) { *(volatile S *)p = v; }
template <class S> MSL_FN bool atomic_swap_if(S *p, S &expected, S desired) {
    typedef Word<S> W;
    W want = __builtin_bit_cast(W, expected), was = ::atomicCAS((W *)p, want, __builtin_bit_cast(W, desired));
    expected = __builtin_bit_cast(S, was);
    return was == want;
}
template <class Op, class S> MSL_FN S atomic_change(S *p, S v) {
    typedef Word<S> W;
    constexpr bool word = kind_of<S> != 4;
    if constexpr (is_same_v<Op, AddOp> && is_same_v<S, float>) return ::atomicAdd(p, v);
    else if constexpr (is_same_v<Op, SubOp> && is_same_v<S, float>) return ::atomicAdd(p, -v);
    else if constexpr (is_same_v<Op, AddOp> && word) return (S)::atomicAdd((W *)p, (W)v);
    else if constexpr (is_same_v<Op, SubOp> && word) return (S)::atomicAdd((W *)p, (W)0 - (W)v);
    else if constexpr (is_same_v<Op, AndOp> && word) return (S)::atomicAnd((W *)p, (W)v);
    else if constexpr (is_same_v<Op, OrOp> && word) return (S)::atomicOr((W *)p, (W)v);
    else if constexpr (is_same_v<Op, XorOp> && word) return (S)::atomicXor((W *)p, (W)v);
    else if constexpr (is_same_v<Op, Exchange>) return __builtin_bit_cast(S, ::atomicExch((W *)p, __builtin_bit_cast(W, v)));
    else if constexpr (is_same_v<S, int> || is_same_v<S, unsigned>) {
        if constexpr (is_same_v<Op, MinOp>) return ::atomicMin(p, v);
        else return ::atomicMax(p, v);
    } else if constexpr (kind_of<S> == 3) {
        if constexpr (is_same_v<Op, MinOp>) return (S)::atomicMin((W *)p, (W)v);
        else return (S)::atomicMax((W *)p, (W)v);
    } else {
        S old = atomic_read(p);
        while (!atomic_swap_if(p, old, Op::apply(old, v))) {}
        return old;
    }
}

#else

#define MSL_UNSEEN __attribute__((noinline, nodebug, no_sanitize("thread"), disable_sanitizer_instrumentation))

template <class S> MSL_UNSEEN inline S atomic_read(S *p) {
    S v;
    __atomic_load(p, &v, __ATOMIC_RELAXED);
    return v;
}
template <class S> MSL_UNSEEN inline void atomic_write(S *p, S v) { __atomic_store(p, &v, __ATOMIC_RELAXED); }
template <class S> MSL_UNSEEN inline bool atomic_swap_if(S *p, S &expected, S desired) {
    S want = expected;
    bool done = __atomic_compare_exchange(p, &want, &desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
    expected = want;
    return done;
}
template <class Op, class S> MSL_UNSEEN inline S atomic_change(S *p, S v) {
    S old, next;
    __atomic_load(p, &old, __ATOMIC_RELAXED);
    do next = Op::apply(old, v);
    while (!__atomic_compare_exchange(p, &old, &next, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED));
    return old;
}

#endif

} // namespace impl

#ifdef MSL_CUDA
#define MSL_TELL(p, kind)
#else
#define MSL_TELL(p, kind) impl::runtime->atomic(impl::cell(p), sizeof(p->value), kind MSL_PASS)
#endif

namespace metal {

template <class T> MSL_FN T atomic_load_explicit(const volatile atomic<T> *p, memory_order MSL_PLACE) {
    MSL_TELL(p, MSL_ATOMIC_LOAD);
    return (T)impl::atomic_read(impl::cell(p));
}
template <class T, class U> MSL_FN void atomic_store_explicit(volatile atomic<T> *p, U v, memory_order MSL_PLACE) {
    MSL_TELL(p, MSL_ATOMIC_STORE);
    impl::atomic_write(impl::cell(p), (impl::Stored<T>)(T)v);
}
template <class T, class U, class D>
MSL_FN bool atomic_compare_exchange_weak_explicit(volatile atomic<T> *p, U *expected, D desired, memory_order, memory_order MSL_PLACE) {
    MSL_TELL(p, MSL_ATOMIC_RMW);
    impl::Stored<T> want = (T)*expected;
    bool done = impl::atomic_swap_if(impl::cell(p), want, (impl::Stored<T>)(T)desired);
    if (!done) *expected = (U)want;
    return done;
}
#define MSL_ATOMIC_CHANGE(name, Op)                                                               \
    template <class T, class U> MSL_FN T name(volatile atomic<T> *p, U v, memory_order MSL_PLACE) {   \
        MSL_TELL(p, MSL_ATOMIC_RMW);                                                              \
        return (T)impl::atomic_change<impl::Op>(impl::cell(p), (impl::Stored<T>)(T)v);            \
    }
MSL_ATOMIC_CHANGE(atomic_exchange_explicit, Exchange)
MSL_ATOMIC_CHANGE(atomic_fetch_add_explicit, AddOp)
MSL_ATOMIC_CHANGE(atomic_fetch_sub_explicit, SubOp)
MSL_ATOMIC_CHANGE(atomic_fetch_and_explicit, AndOp)
MSL_ATOMIC_CHANGE(atomic_fetch_or_explicit, OrOp)
MSL_ATOMIC_CHANGE(atomic_fetch_xor_explicit, XorOp)
MSL_ATOMIC_CHANGE(atomic_fetch_min_explicit, MinOp)
MSL_ATOMIC_CHANGE(atomic_fetch_max_explicit, MaxOp)
// The 64-bit ones give nothing back.
template <class T, class U> MSL_FN void atomic_min_explicit(volatile atomic<T> *p, U v, memory_order MSL_PLACE) {
    MSL_TELL(p, MSL_ATOMIC_RMW);
    impl::atomic_change<impl::MinOp>(impl::cell(p), (impl::Stored<T>)(T)v);
}
template <class T, class U> MSL_FN void atomic_max_explicit(volatile atomic<T> *p, U v, memory_order MSL_PLACE) {
    MSL_TELL(p, MSL_ATOMIC_RMW);
    impl::atomic_change<impl::MaxOp>(impl::cell(p), (impl::Stored<T>)(T)v);
}

#ifdef MSL_CUDA
MSL_FN void atomic_thread_fence(mem_flags, memory_order, thread_scope scope = thread_scope_device) {
    if (scope == thread_scope_device || scope == thread_scope_system) __threadfence();
    else __threadfence_block();
}
#else
MSL_FN void atomic_thread_fence(mem_flags, memory_order, thread_scope = thread_scope_device) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
#endif

} // namespace metal
} // namespace msl
