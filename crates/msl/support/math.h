// The float functions of the specification: common, math, geometric and relational, on scalars and vectors. Those with a quick and an
// accurate form stand in metal::fast and metal::precise; MSL_PRECISE_MATH says which one has no namespace.
namespace msl {
namespace impl {

using metal::vec;

// The type that arguments meet in: a vector where there is one, with its own elements.
template <class A, class B> struct Joined {
    static constexpr int NA = Canon<A>::N, NB = Canon<B>::N;
    static_assert(!NA || !NB || (NA == NB && is_same_v<typename Canon<A>::elem, typename Canon<B>::elem>), "vectors of one size and type are needed");
    typedef conditional_t<NA != 0, typename Canon<A>::type, typename Canon<B>::type> type;
};
template <class A, class B, bool scalar> struct JoinedIf : Joined<A, B> {};
template <class A, class B> struct JoinedIf<A, B, true> : Meet<A, B> {};
template <class A, class B> using Join = typename JoinedIf<A, B, (Canon<A>::N == 0 && Canon<B>::N == 0)>::type;
template <class A, class B, class C> using Join3 = Join<Join<A, B>, C>;
template <class A> using Floating = conditional_t<Canon<A>::N != 0 || kind_of<A> == 4, typename Canon<A>::type, float>;
template <class A> using Value = typename Canon<A>::type;

template <class V, bool vector = (Canon<V>::N != 0)> struct BoolOf { typedef vec<bool, Canon<V>::N> type; };
template <class V> struct BoolOf<V, false> { typedef bool type; };
template <class A> using Bool = typename BoolOf<Value<A>>::type;
template <class V, bool vector = (Canon<V>::N != 0)> struct IntOf { typedef vec<int, Canon<V>::N> type; };
template <class V> struct IntOf<V, false> { typedef int type; };
template <class A> using Int = typename IntOf<Value<A>>::type;

// Element i of a vector, or the scalar.
template <class V> MSL_FN constexpr auto part(const V &v, int i) {
    if constexpr (Canon<V>::N == 0) return v;
    else return v.e[i];
}

template <class R, class F, class A> MSL_FN R each(F f, const A &a) {
    if constexpr (Canon<R>::N == 0) return R(f(a));
    else {
        R r;
        MSL_UNROLL for (int i = 0; i < Canon<R>::N; ++i) r.e[i] = typename Canon<R>::elem(f(part(a, i)));
        return r;
    }
}
template <class R, class F, class A, class B> MSL_FN R each(F f, const A &a, const B &b) {
    if constexpr (Canon<R>::N == 0) return R(f(a, b));
    else {
        R r;
        MSL_UNROLL for (int i = 0; i < Canon<R>::N; ++i) r.e[i] = typename Canon<R>::elem(f(part(a, i), part(b, i)));
        return r;
    }
}
template <class R, class F, class A, class B, class C> MSL_FN R each(F f, const A &a, const B &b, const C &c) {
    if constexpr (Canon<R>::N == 0) return R(f(a, b, c));
    else {
        R r;
        MSL_UNROLL for (int i = 0; i < Canon<R>::N; ++i) r.e[i] = typename Canon<R>::elem(f(part(a, i), part(b, i), part(c, i)));
        return r;
    }
}

template <class T> MSL_FN T min1(T a, T b) {
    if constexpr (is_same_v<T, float>) return f_fmin(a, b);
    else if constexpr (is_same_v<T, half>) return half::of_bits(h_min(a.bits, b.bits));
    else if constexpr (is_same_v<T, bfloat>) return bfloat::of_bits(b_min(a.bits, b.bits));
    else return b < a ? b : a;
}
template <class T> MSL_FN T max1(T a, T b) {
    if constexpr (is_same_v<T, float>) return f_fmax(a, b);
    else if constexpr (is_same_v<T, half>) return half::of_bits(h_max(a.bits, b.bits));
    else if constexpr (is_same_v<T, bfloat>) return bfloat::of_bits(b_max(a.bits, b.bits));
    else return a < b ? b : a;
}
template <class T> MSL_FN T fma1(T a, T b, T c) {
    if constexpr (is_same_v<T, half>) return half::of_bits(h_fma(a.bits, b.bits, c.bits));
    else if constexpr (is_same_v<T, bfloat>) return bfloat::of_bits(b_fma(a.bits, b.bits, c.bits));
    else return f_fma(a, b, c);
}
template <class T> MSL_FN T abs1(T a) {
    if constexpr (is_small_float<T>) return T::of_bits((unsigned short)(a.bits & 0x7fff));
    else if constexpr (is_same_v<T, float>) return f_fabs(a);
    else if constexpr (kind_of<T> == 3) return a;
    else return a < 0 ? (T)(0 - a) : a;
}

} // namespace impl

namespace metal {

#define MSL_MATH1(name, call)                                                                                  \
    template <class A> MSL_FN impl::Floating<A> name(A a) {                                                    \
        return impl::each<impl::Floating<A>>([](float x) { return call(x); }, impl::Floating<A>(a));           \
    }
#define MSL_MATH2(name, call)                                                                                  \
    template <class A, class B> MSL_FN impl::Floating<impl::Join<A, B>> name(A a, B b) {                       \
        typedef impl::Floating<impl::Join<A, B>> V;                                                            \
        return impl::each<V>([](float x, float y) { return call(x, y); }, V(a), V(b));                         \
    }
#define MSL_MATH_SET(p, q)                                                                                     \
    MSL_MATH1(acos, impl::p##_acos) MSL_MATH1(acosh, impl::p##_acosh) MSL_MATH1(asin, impl::p##_asin)          \
    MSL_MATH1(asinh, impl::p##_asinh) MSL_MATH1(atan, impl::p##_atan) MSL_MATH1(atanh, impl::p##_atanh)        \
    MSL_MATH1(ceil, impl::p##_ceil) MSL_MATH1(cos, impl::q##_cos) MSL_MATH1(cosh, impl::p##_cosh)              \
    MSL_MATH1(cospi, impl::p##_cospi) MSL_MATH1(exp, impl::q##_exp) MSL_MATH1(exp2, impl::q##_exp2)            \
    MSL_MATH1(exp10, impl::q##_exp10) MSL_MATH1(fabs, impl::p##_fabs) MSL_MATH1(floor, impl::p##_floor)        \
    MSL_MATH1(log, impl::q##_log) MSL_MATH1(log2, impl::q##_log2) MSL_MATH1(log10, impl::q##_log10)            \
    MSL_MATH1(rint, impl::p##_rint) MSL_MATH1(round, impl::p##_round) MSL_MATH1(rsqrt, impl::q##_rsqrt)        \
    MSL_MATH1(sin, impl::q##_sin) MSL_MATH1(sinh, impl::p##_sinh) MSL_MATH1(sinpi, impl::p##_sinpi)            \
    MSL_MATH1(sqrt, impl::q##_sqrt) MSL_MATH1(tan, impl::q##_tan) MSL_MATH1(tanh, impl::p##_tanh)              \
    MSL_MATH1(trunc, impl::p##_trunc) MSL_MATH1(tanpi, impl::tanpi1) MSL_MATH1(fract, impl::fract1)            \
    MSL_MATH2(atan2, impl::p##_atan2) MSL_MATH2(fmod, impl::p##_fmod) MSL_MATH2(pow, impl::q##_pow)            \
    MSL_MATH2(powr, impl::q##_pow) MSL_MATH2(divide, impl::q##_divide) MSL_MATH2(fdim, impl::fdim1)            \
    template <class A, class C> MSL_FN impl::Floating<A> sincos(A a, C &cosine) {                              \
        cosine = C(cos(a));                                                                                    \
        return sin(a);                                                                                         \
    }

} // namespace metal
namespace impl {
MSL_FN float tanpi1(float x) { return f_sinpi(x) / f_cospi(x); }
MSL_FN float fract1(float x) { return f_fmin(x - f_floor(x), 0.99999994f); }
MSL_FN float fdim1(float x, float y) { return x > y ? x - y : x != x || y != y ? x + y : 0.0f; }
} // namespace impl
namespace metal {

namespace precise {
MSL_MATH_SET(f, f)
}
namespace fast {
MSL_MATH_SET(f, q)
}
#ifdef MSL_PRECISE_MATH
#define MSL_FORM precise
#else
#define MSL_FORM fast
#endif
using MSL_FORM::acos, MSL_FORM::acosh, MSL_FORM::asin, MSL_FORM::asinh, MSL_FORM::atan, MSL_FORM::atanh, MSL_FORM::ceil,
    MSL_FORM::cos, MSL_FORM::cosh, MSL_FORM::cospi, MSL_FORM::exp, MSL_FORM::exp2, MSL_FORM::exp10, MSL_FORM::fabs,
    MSL_FORM::floor, MSL_FORM::log, MSL_FORM::log2, MSL_FORM::log10, MSL_FORM::rint, MSL_FORM::round, MSL_FORM::rsqrt,
    MSL_FORM::sin, MSL_FORM::sinh, MSL_FORM::sinpi, MSL_FORM::sqrt, MSL_FORM::tan, MSL_FORM::tanh, MSL_FORM::trunc,
    MSL_FORM::tanpi, MSL_FORM::fract, MSL_FORM::atan2, MSL_FORM::fmod, MSL_FORM::pow, MSL_FORM::powr, MSL_FORM::divide,
    MSL_FORM::fdim, MSL_FORM::sincos;

template <class A, class B> MSL_FN impl::Join<A, B> min(A a, B b) {
    typedef impl::Join<A, B> V;
    typedef typename impl::Canon<V>::elem T;
    V x = V(a), y = V(b);
    if constexpr (impl::Canon<V>::N != 0 && impl::is_paired<T>) {
        V r;
        impl::paired_min<impl::Canon<V>::N>(r.e, x.e, y.e);
        return r;
    } else return impl::each<V>([](T p, T q) { return impl::min1(p, q); }, x, y);
}
template <class A, class B> MSL_FN impl::Join<A, B> max(A a, B b) {
    typedef impl::Join<A, B> V;
    typedef typename impl::Canon<V>::elem T;
    V x = V(a), y = V(b);
    if constexpr (impl::Canon<V>::N != 0 && impl::is_paired<T>) {
        V r;
        impl::paired_max<impl::Canon<V>::N>(r.e, x.e, y.e);
        return r;
    } else return impl::each<V>([](T p, T q) { return impl::max1(p, q); }, x, y);
}
template <class A, class B> MSL_FN impl::Floating<impl::Join<A, B>> fmin(A a, B b) {
    typedef impl::Floating<impl::Join<A, B>> V;
    return metal::min(V(a), V(b));
}
template <class A, class B> MSL_FN impl::Floating<impl::Join<A, B>> fmax(A a, B b) {
    typedef impl::Floating<impl::Join<A, B>> V;
    return metal::max(V(a), V(b));
}
template <class A, class B, class C> MSL_FN impl::Join3<A, B, C> min3(A a, B b, C c) { return metal::min(metal::min(a, b), c); }
template <class A, class B, class C> MSL_FN impl::Join3<A, B, C> max3(A a, B b, C c) { return metal::max(metal::max(a, b), c); }
template <class A, class B, class C> MSL_FN impl::Join3<A, B, C> fmin3(A a, B b, C c) { return metal::min(metal::min(a, b), c); }
template <class A, class B, class C> MSL_FN impl::Join3<A, B, C> fmax3(A a, B b, C c) { return metal::max(metal::max(a, b), c); }
template <class A, class B, class C> MSL_FN impl::Join3<A, B, C> median3(A a, B b, C c) {
    return metal::max(metal::min(a, b), metal::min(metal::max(a, b), c));
}
template <class A, class B, class C> MSL_FN impl::Join3<A, B, C> fmedian3(A a, B b, C c) { return metal::median3(a, b, c); }
template <class A, class B, class C> MSL_FN impl::Join3<A, B, C> clamp(A x, B low, C high) {
    typedef impl::Join3<A, B, C> V;
    return metal::min(metal::max(V(x), V(low)), V(high));
}
template <class A> MSL_FN impl::Floating<A> saturate(A x) {
    typedef impl::Floating<A> V;
    return metal::min(metal::max(V(x), V(0.0f)), V(1.0f));
}
template <class A> MSL_FN impl::Value<A> abs(A a) {
    typedef impl::Value<A> V;
    return impl::each<V>([](typename impl::Canon<V>::elem x) { return impl::abs1(x); }, V(a));
}
template <class A, class B, class C> MSL_FN impl::Floating<impl::Join3<A, B, C>> fma(A a, B b, C c) {
    typedef impl::Floating<impl::Join3<A, B, C>> V;
    typedef typename impl::Canon<V>::elem T;
#ifdef MSL_CUDA
    if constexpr (impl::Canon<V>::N != 0 && impl::is_paired<T>) {
        V p = V(a), q = V(b), s = V(c), r;
        MSL_UNROLL for (int i = 0; i + 1 < impl::Canon<V>::N; i += 2) {
            unsigned x = impl::pair(p.e[i], p.e[i + 1]), y = impl::pair(q.e[i], q.e[i + 1]), z = impl::pair(s.e[i], s.e[i + 1]);
            if constexpr (is_same_v<T, half>) impl::unpair(r.e + i, impl::h2_fma(x, y, z));
            else impl::unpair(r.e + i, impl::b2_fma(x, y, z));
        }
        if constexpr (impl::Canon<V>::N == 3) r.e[2] = impl::fma1(p.e[2], q.e[2], s.e[2]);
        return r;
    } else
#endif
        return impl::each<V>([](T x, T y, T z) { return impl::fma1(x, y, z); }, V(a), V(b), V(c));
}
template <class A, class B, class C> MSL_FN impl::Floating<impl::Join3<A, B, C>> mix(A x, B y, C a) {
    typedef impl::Floating<impl::Join3<A, B, C>> V;
    V p = V(x), q = V(y), t = V(a);
    return p + (q - p) * t;
}
template <class A, class B> MSL_FN impl::Floating<impl::Join<A, B>> step(A edge, B x) {
    typedef impl::Floating<impl::Join<A, B>> V;
    typedef typename impl::Canon<V>::elem T;
    return impl::each<V>([](T e, T v) { return v < e ? 0.0f : 1.0f; }, V(edge), V(x));
}
template <class A, class B, class C> MSL_FN impl::Floating<impl::Join3<A, B, C>> smoothstep(A low, B high, C x) {
    typedef impl::Floating<impl::Join3<A, B, C>> V;
    V l = V(low), t = metal::saturate((V(x) - l) / (V(high) - l));
    return t * t * (V(3.0f) - V(2.0f) * t);
}
template <class A> MSL_FN impl::Floating<A> sign(A a) {
    return impl::each<impl::Floating<A>>([](float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : x == 0.0f ? x : 0.0f; }, impl::Floating<A>(a));
}
MSL_MATH2(copysign, impl::f_copysign)
template <class A, class K> MSL_FN impl::Floating<A> ldexp(A a, K k) {
    return impl::each<impl::Floating<A>>([](float x, int n) { return impl::f_ldexp(x, n); }, impl::Floating<A>(a), impl::Value<K>(k));
}
template <class A> MSL_FN impl::Int<A> ilogb(A a) {
    return impl::each<impl::Int<A>>([](float x) { return impl::f_ilogb(x); }, impl::Floating<A>(a));
}
template <class A, class E> MSL_FN impl::Floating<A> frexp(A a, E &exponent) {
    typedef impl::Floating<A> V;
    if constexpr (impl::Canon<V>::N == 0) {
        int e;
        float r = impl::f_frexp((float)a, e);
        exponent = e;
        return V(r);
    } else {
        V v = a, r;
        MSL_UNROLL for (int i = 0; i < impl::Canon<V>::N; ++i) {
            int e;
            r.e[i] = typename impl::Canon<V>::elem(impl::f_frexp((float)v.e[i], e));
            exponent[i] = e;
        }
        return r;
    }
}
template <class A, class W> MSL_FN impl::Floating<A> modf(A a, W &whole) {
    typedef impl::Floating<A> V;
    V v = V(a), t = metal::trunc(v);
    whole = t;
    return impl::each<V>([](float x, float n) { return impl::f_copysign(x == n ? 0.0f : x - n, x); }, v, t);
}
template <class A, class B> MSL_FN impl::Join<A, B> nextafter(A a, B b) {
    typedef impl::Join<A, B> V;
    typedef typename impl::Canon<V>::elem T;
    return impl::each<V>(
        [](T x, T y) {
            if constexpr (impl::is_small_float<T>) {
                if ((float)x != (float)x || (float)y != (float)y) return numeric_limits<T>::quiet_NaN();
                if (x == y) return y;
                if (x == T(0.0f)) return T::of_bits((unsigned short)((y.bits & 0x8000) | 1));
                return T::of_bits((unsigned short)(((float)x < (float)y) == ((float)x > 0.0f) ? x.bits + 1 : x.bits - 1));
            } else return impl::f_nextafter(x, y);
        },
        V(a), V(b));
}

// Relational functions look at the bits, so that no flag of a compiler changes what they say.
#define MSL_CLASSIFY(name, expression)                                                                       \
    template <class A> MSL_FN impl::Bool<impl::Floating<A>> name(A a) {                                      \
        return impl::each<impl::Bool<impl::Floating<A>>>(                                                    \
            [](auto v) {                                                                                     \
                float f = (float)v;                                                                          \
                unsigned x = __builtin_bit_cast(unsigned, f), m = x & 0x7fffffffu;                           \
                (void)m;                                                                                     \
                return expression;                                                                           \
            },                                                                                               \
            impl::Floating<A>(a));                                                                           \
    }
MSL_CLASSIFY(isnan, m > 0x7f800000u)
MSL_CLASSIFY(isinf, m == 0x7f800000u)
MSL_CLASSIFY(isfinite, m < 0x7f800000u)
MSL_CLASSIFY(signbit, (x >> 31) != 0)
MSL_CLASSIFY(isnormal, m < 0x7f800000u && m >= (is_same_v<decltype(v), half> ? 0x38800000u : 0x00800000u))
template <class A, class B> MSL_FN impl::Bool<impl::Join<A, B>> isunordered(A a, B b) {
    typedef impl::Join<A, B> V;
    return metal::isnan(V(a)) || metal::isnan(V(b));
}
template <class A, class B> MSL_FN impl::Bool<impl::Join<A, B>> isordered(A a, B b) { return !metal::isunordered(a, b); }
template <class A> MSL_FN bool all(A a) {
    impl::Value<A> v = a;
    if constexpr (impl::Canon<A>::N == 0) return (bool)v;
    else {
        bool r = true;
        MSL_UNROLL for (int i = 0; i < impl::Canon<A>::N; ++i) r = r && (bool)v.e[i];
        return r;
    }
}
template <class A> MSL_FN bool any(A a) {
    impl::Value<A> v = a;
    if constexpr (impl::Canon<A>::N == 0) return (bool)v;
    else {
        bool r = false;
        MSL_UNROLL for (int i = 0; i < impl::Canon<A>::N; ++i) r = r || (bool)v.e[i];
        return r;
    }
}
template <class A, class B, class C> MSL_FN impl::Join<A, B> select(A a, B b, C c) {
    typedef impl::Join<A, B> V;
    typedef typename impl::Canon<V>::elem T;
    return impl::each<V>([](T x, T y, auto s) { return (bool)s ? y : x; }, V(a), V(b), impl::Value<C>(c));
}

template <class A, class B> MSL_FN auto dot(A a, B b) {
    typedef impl::Join<A, B> V;
    typedef typename impl::Canon<V>::elem T;
    typedef impl::conditional_t<impl::is_small_float<T>, float, T> Sum;
    V x = V(a), y = V(b);
    Sum r = Sum(x.e[0]) * Sum(y.e[0]);
    MSL_UNROLL for (int i = 1; i < impl::Canon<V>::N; ++i) r += Sum(x.e[i]) * Sum(y.e[i]);
    return T(r);
}
template <class A> MSL_FN auto length_squared(A a) { return metal::dot(a, a); }
template <class A> MSL_FN auto length(A a) { return metal::sqrt(metal::dot(a, a)); }
template <class A, class B> MSL_FN auto distance_squared(A a, B b) {
    typedef impl::Join<A, B> V;
    return metal::length_squared(V(a) - V(b));
}
template <class A, class B> MSL_FN auto distance(A a, B b) {
    typedef impl::Join<A, B> V;
    return metal::length(V(a) - V(b));
}
template <class A> MSL_FN impl::Value<A> normalize(A a) {
    typedef impl::Value<A> V;
    V v = a;
    return v * V(metal::rsqrt(metal::dot(v, v)));
}
template <class A, class B> MSL_FN impl::Join<A, B> cross(A a, B b) {
    typedef impl::Join<A, B> V;
    V p = a, q = b;
    return V(p.y * q.z - p.z * q.y, p.z * q.x - p.x * q.z, p.x * q.y - p.y * q.x);
}
template <class A, class B, class C> MSL_FN impl::Join3<A, B, C> faceforward(A n, B i, C reference) {
    typedef impl::Join3<A, B, C> V;
    V normal = n;
    return (float)metal::dot(V(reference), V(i)) < 0.0f ? normal : -normal;
}
template <class A, class B> MSL_FN impl::Join<A, B> reflect(A i, B n) {
    typedef impl::Join<A, B> V;
    V p = i, q = n;
    return p - V(2.0f * (float)metal::dot(q, p)) * q;
}
template <class A, class B, class E> MSL_FN impl::Join<A, B> refract(A i, B n, E eta) {
    typedef impl::Join<A, B> V;
    V p = i, q = n;
    float ratio = (float)eta, d = (float)metal::dot(q, p), k = 1.0f - ratio * ratio * (1.0f - d * d);
    if (k < 0.0f) return V(0.0f);
    return p * V(ratio) - q * V(ratio * d + impl::f_sqrt(k));
}

namespace fast {
using metal::abs, metal::clamp, metal::copysign, metal::fma, metal::fmax, metal::fmax3, metal::fmedian3, metal::fmin,
    metal::fmin3, metal::frexp, metal::ilogb, metal::ldexp, metal::max, metal::max3, metal::median3, metal::min, metal::min3, metal::mix, metal::modf,
    metal::nextafter, metal::saturate, metal::sign, metal::smoothstep, metal::step, metal::dot, metal::length, metal::length_squared, metal::distance,
    metal::distance_squared, metal::normalize, metal::cross, metal::reflect, metal::refract, metal::faceforward;
}
namespace precise {
using metal::abs, metal::clamp, metal::copysign, metal::fma, metal::fmax, metal::fmax3, metal::fmedian3, metal::fmin,
    metal::fmin3, metal::frexp, metal::ilogb, metal::ldexp, metal::max, metal::max3, metal::median3, metal::min, metal::min3, metal::mix, metal::modf,
    metal::nextafter, metal::saturate, metal::sign, metal::smoothstep, metal::step, metal::dot, metal::length, metal::length_squared, metal::distance,
    metal::distance_squared, metal::normalize, metal::cross, metal::reflect, metal::refract, metal::faceforward;
}

} // namespace metal
} // namespace msl
