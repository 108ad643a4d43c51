// Vectors, their swizzles, and packed vectors. A vector is a union of its letters, an array, and one proxy a used swizzle name.
#ifndef MSL_SWIZZLES2
#define MSL_SWIZZLES2(X)
#endif
#ifndef MSL_SWIZZLES3
#define MSL_SWIZZLES3(X)
#endif
#ifndef MSL_SWIZZLES4
#define MSL_SWIZZLES4(X)
#endif

namespace msl {
namespace metal {
template <class T, int N> struct vec;
} // namespace metal

namespace impl {

using metal::vec;
template <class V> struct packed_vec;

// What a value is in arithmetic: proxies and packed vectors become vectors. `N` is 0 for a scalar.
template <class A> struct Canon {
    typedef A type, elem;
    static constexpr int N = 0;
};
template <class T, int M> struct Canon<vec<T, M>> {
    typedef vec<T, M> type;
    typedef T elem;
    static constexpr int N = M;
};
template <class V> struct Canon<packed_vec<V>> : Canon<V> {};

struct Absent {};

// The elements I, J, K, L of D elements of a vector; K and L are -1 where the name is shorter. The type argument V makes
// the operators of the vector visible to its proxies.
template <class V, class T, int D, int I, int J, int K, int L> struct Swizzle {
    static constexpr int N = K < 0 ? 2 : L < 0 ? 3 : 4;
    T elements[D];

    MSL_FN constexpr V get() const {
        if constexpr (N == 2) return V(elements[I], elements[J]);
        else if constexpr (N == 3) return V(elements[I], elements[J], elements[K]);
        else return V(elements[I], elements[J], elements[K], elements[L]);
    }
    MSL_FN constexpr operator V() const { return get(); }
    MSL_FN constexpr T operator[](int i) const { return get()[i]; }

    MSL_FN Swizzle &set(const V &v) {
        static_assert(I != J && I != K && I != L && J != K && J != L && (K < 0 || K != L), "a swizzle that repeats a letter cannot be written");
        elements[I] = v.x;
        elements[J] = v.y;
        if constexpr (N > 2) elements[K] = v.z;
        if constexpr (N > 3) elements[L] = v.w;
        return *this;
    }
    template <class U> MSL_FN Swizzle &operator=(U &&u) { V v = u; return set(v); }
    template <class U> MSL_FN Swizzle &operator+=(U &&u) { return set(get() + V(u)); }
    template <class U> MSL_FN Swizzle &operator-=(U &&u) { return set(get() - V(u)); }
    template <class U> MSL_FN Swizzle &operator*=(U &&u) { return set(get() * V(u)); }
    template <class U> MSL_FN Swizzle &operator/=(U &&u) { return set(get() / V(u)); }
    template <class U> MSL_FN Swizzle &operator%=(U &&u) { return set(get() % V(u)); }
    template <class U> MSL_FN Swizzle &operator&=(U &&u) { return set(get() & V(u)); }
    template <class U> MSL_FN Swizzle &operator|=(U &&u) { return set(get() | V(u)); }
    template <class U> MSL_FN Swizzle &operator^=(U &&u) { return set(get() ^ V(u)); }
    template <class U> MSL_FN Swizzle &operator<<=(U &&u) { return set(get() << V(u)); }
    template <class U> MSL_FN Swizzle &operator>>=(U &&u) { return set(get() >> V(u)); }
    MSL_FN Swizzle &operator++() { return set(get() + V(T(1))); }
    MSL_FN Swizzle &operator--() { return set(get() - V(T(1))); }
};

template <class V, class T, int D, int I, int J, int K, int L> struct Canon<Swizzle<V, T, D, I, J, K, L>> : Canon<V> {};

// A proxy is copied with the vector, and `a.yz = b.yz` may be the copy of a proxy: where the letters have no gap, it is
// made of just their elements, behind P others, so that such a copy is the assignment. S is the vector's size.
template <class T, int S, int P, int I, int J, int K = -1, int L = -1> struct Swizzled {
    static constexpr int high(int a, int b) { return a > b ? a : b; }
    static constexpr int N = K < 0 ? 2 : L < 0 ? 3 : 4, top = high(high(I, J), high(K, L));
    typedef T Skipped[P ? P : 1];
    typedef metal::conditional_t<(top < S), Skipped, Absent> pad;
    typedef Swizzle<vec<T, N>, T, top + 1 - P, I - P, J - P, K < 0 ? K : K - P, L < 0 ? L : L - P> Proxy;
    typedef metal::conditional_t<(top < S), Proxy, Absent> type;
};

#define MSL_LOW_00 0
#define MSL_LOW_01 0
#define MSL_LOW_02 0
#define MSL_LOW_03 0
#define MSL_LOW_10 0
#define MSL_LOW_11 1
#define MSL_LOW_12 1
#define MSL_LOW_13 1
#define MSL_LOW_20 0
#define MSL_LOW_21 1
#define MSL_LOW_22 2
#define MSL_LOW_23 2
#define MSL_LOW_30 0
#define MSL_LOW_31 1
#define MSL_LOW_32 2
#define MSL_LOW_33 3
#define MSL_NOT0_0 0
#define MSL_NOT0_1 1
#define MSL_NOT0_2 1
#define MSL_NOT0_3 1
#define MSL_PASTE(a, b) MSL_PASTE_(a, b)
#define MSL_PASTE_(a, b) a##b
#define MSL_PASTE3(a, b, c) MSL_PASTE3_(a, b, c)
#define MSL_PASTE3_(a, b, c) a##b##c
#define MSL_LOW3_000 0
#define MSL_LOW3_001 0
#define MSL_LOW3_010 0
#define MSL_LOW3_011 0
#define MSL_LOW3_100 0
#define MSL_LOW3_101 0
#define MSL_LOW3_110 0
#define MSL_LOW3_111 1
#define MSL_MEMBER_0(name, ...) typename impl::Swizzled<T, MSL_SIZE, 0, __VA_ARGS__>::type name;
#define MSL_MEMBER_PAD(name, n, ...)                                             \
    struct {                                                                     \
        typename impl::Swizzled<T, MSL_SIZE, n, __VA_ARGS__>::pad msl_pad_##name;  \
        typename impl::Swizzled<T, MSL_SIZE, n, __VA_ARGS__>::type name;           \
    };
#define MSL_MEMBER_1(name, ...) MSL_MEMBER_PAD(name, 1, __VA_ARGS__)
#define MSL_MEMBER_2(name, ...) MSL_MEMBER_PAD(name, 2, __VA_ARGS__)
#define MSL_MEMBER_3(name, ...) MSL_MEMBER_PAD(name, 3, __VA_ARGS__)
#define MSL_SWIZZLE2(name, i, j) MSL_PASTE(MSL_MEMBER_, MSL_LOW_##i##j)(name, i, j)
#define MSL_LOW3(i, j, k) MSL_PASTE(MSL_LOW3_, MSL_PASTE3(MSL_NOT0_##i, MSL_NOT0_##j, MSL_NOT0_##k))
#define MSL_SWIZZLE3(name, i, j, k) MSL_PASTE(MSL_MEMBER_, MSL_LOW3(i, j, k))(name, i, j, k)
#define MSL_SWIZZLE4(name, i, j, k, l) MSL_MEMBER_0(name, i, j, k, l)
#define MSL_SWIZZLES MSL_SWIZZLES2(MSL_SWIZZLE2) MSL_SWIZZLES3(MSL_SWIZZLE3) MSL_SWIZZLES4(MSL_SWIZZLE4)

template <class S> using ScalarOnly = metal::enable_if_t<is_scalar<S> || __is_enum(S), int>;
template <class A, class T, int N>
using OtherVector = metal::enable_if_t<Canon<A>::N == N && !metal::is_same_v<typename Canon<A>::elem, T>, int>;

#ifdef MSL_CUDA
template <class T> constexpr bool is_paired = is_small_float<T>;
#else
template <class T> constexpr bool is_paired = false;
#endif

#ifdef MSL_CUDA
template <class T> MSL_FN u32 pair(T low, T high) {
    u32 r;
    asm("mov.b32 %0, {%1, %2};" : "=r"(r) : "h"(low.bits), "h"(high.bits));
    return r;
}
template <class T> MSL_FN void unpair(T *to, u32 v) { asm("mov.b32 {%0, %1}, %2;" : "=h"(to[0].bits), "=h"(to[1].bits) : "r"(v)); }
#define MSL_PAIRED(name)                                                                                     \
    template <int N, class T> MSL_FN void paired_##name(T *r, const T *a, const T *b) {                      \
        if constexpr (is_same_v<T, half>) {                                                                  \
            unpair(r, h2_##name(pair(a[0], a[1]), pair(b[0], b[1])));                                        \
            if constexpr (N == 4) unpair(r + 2, h2_##name(pair(a[2], a[3]), pair(b[2], b[3])));              \
            if constexpr (N == 3) r[2].bits = h_##name(a[2].bits, b[2].bits);                                \
        } else {                                                                                             \
            unpair(r, b2_##name(pair(a[0], a[1]), pair(b[0], b[1])));                                        \
            if constexpr (N == 4) unpair(r + 2, b2_##name(pair(a[2], a[3]), pair(b[2], b[3])));              \
            if constexpr (N == 3) r[2].bits = b_##name(a[2].bits, b[2].bits);                                \
        }                                                                                                    \
    }
#else
#define MSL_PAIRED(name) \
    template <int N, class T> MSL_FN void paired_##name(T *, const T *, const T *) {}
#endif
MSL_PAIRED(add)
MSL_PAIRED(sub)
MSL_PAIRED(mul)
MSL_PAIRED(min)
MSL_PAIRED(max)

} // namespace impl

namespace metal {

#define MSL_VEC_PAIRED(op, name)                                                                     \
    MSL_FN friend vec operator op(vec a, vec b) {                                      \
        vec r;                                                                                       \
        if constexpr (impl::is_paired<T>) impl::paired_##name<size_>(r.e, a.e, b.e);                 \
        else {                                                                                       \
            MSL_UNROLL for (int i = 0; i < size_; ++i) r.e[i] = T(a.e[i] op b.e[i]);                 \
        }                                                                                            \
        return r;                                                                                    \
    }                                                                                                \
    template <class U> MSL_FN vec &operator op##=(const U &u) { return *this = *this op vec(u); }
#define MSL_VEC_BINARY(op)                                                                           \
    MSL_FN friend vec operator op(vec a, vec b) {                                      \
        vec r;                                                                                       \
        MSL_UNROLL for (int i = 0; i < size_; ++i) r.e[i] = T(a.e[i] op b.e[i]);                     \
        return r;                                                                                    \
    }                                                                                                \
    template <class U> MSL_FN vec &operator op##=(const U &u) { return *this = *this op vec(u); }
#define MSL_VEC_COMPARE(op)                                                                          \
    MSL_FN friend vec<bool, size_> operator op(vec a, vec b) {                         \
        vec<bool, size_> r;                                                                          \
        MSL_UNROLL for (int i = 0; i < size_; ++i) r.e[i] = a.e[i] op b.e[i];                        \
        return r;                                                                                    \
    }
#define MSL_VEC_UNARY(op)                                                                            \
    MSL_FN friend vec operator op(vec a) {                                                    \
        vec r;                                                                                       \
        MSL_UNROLL for (int i = 0; i < size_; ++i) r.e[i] = T(op a.e[i]);                            \
        return r;                                                                                    \
    }
#define MSL_VEC_COMMON(n)                                                                            \
    static constexpr int size_ = n;                                                                  \
    typedef T value_type;                                                                            \
    vec() = default;                                                                                 \
    MSL_FN constexpr T &operator[](int i) { return e[i]; }                                           \
    MSL_FN constexpr const T &operator[](int i) const { return e[i]; }                               \
    MSL_VEC_PAIRED(+, add) MSL_VEC_PAIRED(-, sub) MSL_VEC_PAIRED(*, mul)                             \
    MSL_VEC_BINARY(/) MSL_VEC_BINARY(%) MSL_VEC_BINARY(&) MSL_VEC_BINARY(|) MSL_VEC_BINARY(^)        \
    MSL_VEC_BINARY(<<) MSL_VEC_BINARY(>>)                                                            \
    MSL_VEC_COMPARE(==) MSL_VEC_COMPARE(!=) MSL_VEC_COMPARE(<) MSL_VEC_COMPARE(<=)                   \
    MSL_VEC_COMPARE(>) MSL_VEC_COMPARE(>=) MSL_VEC_COMPARE(&&) MSL_VEC_COMPARE(||)                   \
    MSL_VEC_UNARY(-) MSL_VEC_UNARY(+) MSL_VEC_UNARY(~)                                               \
    MSL_FN friend vec<bool, n> operator!(vec a) {                                             \
        vec<bool, n> r;                                                                              \
        MSL_UNROLL for (int i = 0; i < n; ++i) r.e[i] = !a.e[i];                                     \
        return r;                                                                                    \
    }                                                                                                \
    MSL_FN vec &operator++() { return *this += vec(T(1)); }                                          \
    MSL_FN vec &operator--() { return *this -= vec(T(1)); }                                          \
    MSL_FN vec operator++(int) { vec old = *this; ++*this; return old; }                             \
    MSL_FN vec operator--(int) { vec old = *this; --*this; return old; }

#define MSL_SIZE 2
template <class T> struct alignas(2 * sizeof(T)) vec<T, 2> {
    union {
        struct { T x, y; };
        struct { T r, g; };
        T e[2];
        MSL_SWIZZLES
    };
    MSL_VEC_COMMON(2)
    MSL_FN constexpr vec(T a, T b) : x(a), y(b) {}
    template <class A, class B, impl::ScalarOnly<A> = 0, impl::ScalarOnly<B> = 0>
    MSL_FN constexpr vec(A a, B b) : x(T(a)), y(T(b)) {}
    template <class S, impl::ScalarOnly<S> = 0> MSL_FN constexpr vec(S s) : x(T(s)), y(T(s)) {}
    template <class A, impl::OtherVector<A, T, 2> = 0> MSL_FN explicit constexpr vec(A a) : x(T(a.x)), y(T(a.y)) {}
    template <class V, class U, int D, int I, int J, impl::OtherVector<V, T, 2> = 0>
    MSL_FN explicit constexpr vec(const impl::Swizzle<V, U, D, I, J, -1, -1> &a) : vec(a.get()) {}
};
#undef MSL_SIZE
#define MSL_SIZE 3
template <class T> struct alignas(4 * sizeof(T)) vec<T, 3> {
    union {
        struct { T x, y, z; };
        struct { T r, g, b; };
        T e[3];
        MSL_SWIZZLES
    };
    MSL_VEC_COMMON(3)
    MSL_FN constexpr vec(T a, T b, T c) : x(a), y(b), z(c) {}
    template <class A, class B, class C, impl::ScalarOnly<A> = 0, impl::ScalarOnly<B> = 0, impl::ScalarOnly<C> = 0>
    MSL_FN constexpr vec(A a, B b, C c) : x(T(a)), y(T(b)), z(T(c)) {}
    MSL_FN constexpr vec(vec<T, 2> a, T b) : x(a.x), y(a.y), z(b) {}
    MSL_FN constexpr vec(T a, vec<T, 2> b) : x(a), y(b.x), z(b.y) {}
    template <class S, impl::ScalarOnly<S> = 0> MSL_FN constexpr vec(S s) : x(T(s)), y(T(s)), z(T(s)) {}
    template <class A, impl::OtherVector<A, T, 3> = 0>
    MSL_FN explicit constexpr vec(A a) : x(T(a.x)), y(T(a.y)), z(T(a.z)) {}
    template <class V, class U, int D, int I, int J, int K, impl::OtherVector<V, T, 3> = 0>
    MSL_FN explicit constexpr vec(const impl::Swizzle<V, U, D, I, J, K, -1> &a) : vec(a.get()) {}
};
#undef MSL_SIZE
#define MSL_SIZE 4
template <class T> struct alignas(4 * sizeof(T)) vec<T, 4> {
    union {
        struct { T x, y, z, w; };
        struct { T r, g, b, a; };
        T e[4];
        MSL_SWIZZLES
    };
    MSL_VEC_COMMON(4)
    MSL_FN constexpr vec(T p, T q, T s, T t) : x(p), y(q), z(s), w(t) {}
    template <class A, class B, class C, class D, impl::ScalarOnly<A> = 0, impl::ScalarOnly<B> = 0, impl::ScalarOnly<C> = 0, impl::ScalarOnly<D> = 0>
    MSL_FN constexpr vec(A p, B q, C s, D t) : x(T(p)), y(T(q)), z(T(s)), w(T(t)) {}
    MSL_FN constexpr vec(vec<T, 2> p, T q, T s) : x(p.x), y(p.y), z(q), w(s) {}
    MSL_FN constexpr vec(T p, vec<T, 2> q, T s) : x(p), y(q.x), z(q.y), w(s) {}
    MSL_FN constexpr vec(T p, T q, vec<T, 2> s) : x(p), y(q), z(s.x), w(s.y) {}
    MSL_FN constexpr vec(vec<T, 2> p, vec<T, 2> q) : x(p.x), y(p.y), z(q.x), w(q.y) {}
    MSL_FN constexpr vec(vec<T, 3> p, T q) : x(p.x), y(p.y), z(p.z), w(q) {}
    MSL_FN constexpr vec(T p, vec<T, 3> q) : x(p), y(q.x), z(q.y), w(q.z) {}
    template <class S, impl::ScalarOnly<S> = 0> MSL_FN constexpr vec(S s) : x(T(s)), y(T(s)), z(T(s)), w(T(s)) {}
    template <class A, impl::OtherVector<A, T, 4> = 0>
    MSL_FN explicit constexpr vec(A v) : x(T(v.x)), y(T(v.y)), z(T(v.z)), w(T(v.w)) {}
    template <class V, class U, int D, int I, int J, int K, int L, impl::OtherVector<V, T, 4> = 0>
    MSL_FN explicit constexpr vec(const impl::Swizzle<V, U, D, I, J, K, L> &v) : vec(v.get()) {}
};
#undef MSL_SIZE

} // namespace metal

namespace impl {

#define MSL_PACKED_COMMON(n)                                                                              \
    packed_vec() = default;                                                                               \
    template <class U, int D, int I, int J, int K, int L>                                                 \
    MSL_FN constexpr packed_vec(const Swizzle<V, U, D, I, J, K, L> &s) : packed_vec(s.get()) {}     \
    MSL_FN constexpr T &operator[](int i) { return e[i]; }                                                \
    MSL_FN constexpr const T &operator[](int i) const { return e[i]; }                                    \
    template <class S, ScalarOnly<S> = 0> MSL_FN constexpr packed_vec(S s) : packed_vec(V(s)) {}    \
    template <class A, OtherVector<A, T, n> = 0>                                                    \
    MSL_FN explicit constexpr packed_vec(A a) : packed_vec(V(a)) {}                                \
    template <class U> MSL_FN packed_vec &operator+=(const U &u) { return *this = V(*this) + V(u); }      \
    template <class U> MSL_FN packed_vec &operator-=(const U &u) { return *this = V(*this) - V(u); }      \
    template <class U> MSL_FN packed_vec &operator*=(const U &u) { return *this = V(*this) * V(u); }      \
    template <class U> MSL_FN packed_vec &operator/=(const U &u) { return *this = V(*this) / V(u); }

#define MSL_SIZE 2
template <class T> struct packed_vec<vec<T, 2>> {
    typedef vec<T, 2> V;
    union {
        struct { T x, y; };
        struct { T r, g; };
        T e[2];
        MSL_SWIZZLES
    };
    MSL_PACKED_COMMON(2)
    MSL_FN constexpr packed_vec(V v) : x(v.x), y(v.y) {}
    MSL_FN constexpr packed_vec(T a, T b) : x(a), y(b) {}
    MSL_FN constexpr operator V() const { return V(x, y); }
};
#undef MSL_SIZE
#define MSL_SIZE 3
template <class T> struct packed_vec<vec<T, 3>> {
    typedef vec<T, 3> V;
    union {
        struct { T x, y, z; };
        struct { T r, g, b; };
        T e[3];
        MSL_SWIZZLES
    };
    MSL_PACKED_COMMON(3)
    MSL_FN constexpr packed_vec(V v) : x(v.x), y(v.y), z(v.z) {}
    MSL_FN constexpr packed_vec(T a, T b, T c) : x(a), y(b), z(c) {}
    MSL_FN constexpr packed_vec(vec<T, 2> a, T b) : x(a.x), y(a.y), z(b) {}
    MSL_FN constexpr packed_vec(T a, vec<T, 2> b) : x(a), y(b.x), z(b.y) {}
    MSL_FN constexpr operator V() const { return V(x, y, z); }
};
#undef MSL_SIZE
#define MSL_SIZE 4
template <class T> struct packed_vec<vec<T, 4>> {
    typedef vec<T, 4> V;
    union {
        struct { T x, y, z, w; };
        struct { T r, g, b, a; };
        T e[4];
        MSL_SWIZZLES
    };
    MSL_PACKED_COMMON(4)
    MSL_FN constexpr packed_vec(V v) : x(v.x), y(v.y), z(v.z), w(v.w) {}
    template <class P, class Q> MSL_FN constexpr packed_vec(const P &p, const Q &q) : packed_vec(V(p, q)) {}
    template <class P, class Q, class S> MSL_FN constexpr packed_vec(const P &p, const Q &q, const S &s) : packed_vec(V(p, q, s)) {}
    MSL_FN constexpr packed_vec(T p, T q, T s, T t) : x(p), y(q), z(s), w(t) {}
    MSL_FN constexpr operator V() const { return V(x, y, z, w); }
};
#undef MSL_SIZE

} // namespace impl

namespace metal {

// A fixed array that can be passed and returned by value.
template <class T, size_t N> struct array {
    T elements[N];
    MSL_FN constexpr T &operator[](size_t i) { return elements[i]; }
    MSL_FN constexpr const T &operator[](size_t i) const { return elements[i]; }
    MSL_FN constexpr T &front() { return elements[0]; }
    MSL_FN constexpr T &back() { return elements[N - 1]; }
    MSL_FN constexpr T *data() { return elements; }
    MSL_FN constexpr const T *data() const { return elements; }
    MSL_FN constexpr T *begin() { return elements; }
    MSL_FN constexpr T *end() { return elements + N; }
    MSL_FN constexpr const T *begin() const { return elements; }
    MSL_FN constexpr const T *end() const { return elements + N; }
    MSL_FN static constexpr size_t size() { return N; }
    MSL_FN static constexpr bool empty() { return N == 0; }
    MSL_FN constexpr void fill(const T &v) {
        for (size_t i = 0; i < N; ++i) elements[i] = v;
    }
};

template <class T> struct make_scalar { typedef typename impl::Canon<T>::elem type; };
template <class T> using make_scalar_t = typename make_scalar<T>::type;
template <class T> struct is_vector : bool_constant<impl::Canon<T>::N != 0> {};
template <class T> constexpr bool is_vector_v = is_vector<T>::value;
template <class T> struct vec_elements : integral_constant<int, impl::Canon<T>::N ? impl::Canon<T>::N : 1> {};
template <class T> constexpr int vec_elements_v = vec_elements<T>::value;

} // namespace metal

#define MSL_VEC_NAMES(T)                                                                   \
    typedef metal::vec<T, 2> T##2;                                                         \
    typedef metal::vec<T, 3> T##3;                                                         \
    typedef metal::vec<T, 4> T##4;                                                         \
    namespace metal {                                                                      \
    using msl::T##2, msl::T##3, msl::T##4;                                                 \
    }
#define MSL_PACKED_NAMES(T)                                                                \
    typedef impl::packed_vec<T##2> packed_##T##2;                                         \
    typedef impl::packed_vec<T##3> packed_##T##3;                                         \
    typedef impl::packed_vec<T##4> packed_##T##4;                                         \
    namespace metal {                                                                      \
    using msl::packed_##T##2, msl::packed_##T##3, msl::packed_##T##4;                      \
    }                                                                                      \
    static_assert(sizeof(T##2) == 2 * sizeof(T) && alignof(T##2) == 2 * sizeof(T), "");    \
    static_assert(sizeof(T##3) == 4 * sizeof(T) && alignof(T##3) == 4 * sizeof(T), "");    \
    static_assert(sizeof(T##4) == 4 * sizeof(T) && alignof(T##4) == 4 * sizeof(T), "");    \
    static_assert(sizeof(packed_##T##3) == 3 * sizeof(T) && alignof(packed_##T##3) == alignof(T), "");
MSL_VEC_NAMES(bool)
MSL_VEC_NAMES(char)
MSL_VEC_NAMES(uchar)
MSL_VEC_NAMES(short)
MSL_VEC_NAMES(ushort)
MSL_VEC_NAMES(int)
MSL_VEC_NAMES(uint)
MSL_VEC_NAMES(long)
MSL_VEC_NAMES(ulong)
MSL_VEC_NAMES(half)
MSL_VEC_NAMES(bfloat)
MSL_VEC_NAMES(float)
MSL_PACKED_NAMES(char)
MSL_PACKED_NAMES(uchar)
MSL_PACKED_NAMES(short)
MSL_PACKED_NAMES(ushort)
MSL_PACKED_NAMES(int)
MSL_PACKED_NAMES(uint)
MSL_PACKED_NAMES(long)
MSL_PACKED_NAMES(ulong)
MSL_PACKED_NAMES(half)
MSL_PACKED_NAMES(bfloat)
MSL_PACKED_NAMES(float)
static_assert(__is_trivially_copyable(float4) && __is_trivially_constructible(float4), "threadgroup variables are not initialised");

} // namespace msl
