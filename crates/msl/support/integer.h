// The integer functions of the specification, on scalars and vectors of 8 to 64 bits.
namespace msl {
namespace impl {

template <class T> using Unsigned = metal::make_unsigned_t<T>;
template <class T> constexpr int bits_of = (int)sizeof(T) * 8;
template <class T> constexpr bool is_signed = kind_of<T> == 2;

template <class T> MSL_FN T clz1(T x) {
    if constexpr (sizeof(T) == 8) return (T)clz64((Unsigned<T>)x);
    else return (T)(clz32((Unsigned<T>)x) - (32 - bits_of<T>));
}
template <class T> MSL_FN T ctz1(T x) {
    if constexpr (sizeof(T) == 8) return (T)ctz64((Unsigned<T>)x);
    else return x == 0 ? (T)bits_of<T> : (T)ctz32((Unsigned<T>)x);
}
template <class T> MSL_FN T popcount1(T x) {
    if constexpr (sizeof(T) == 8) return (T)popcount64((Unsigned<T>)x);
    else return (T)popcount32((Unsigned<T>)x);
}
template <class T> MSL_FN T reverse_bits1(T x) {
    if constexpr (sizeof(T) == 8) return (T)reverse64((Unsigned<T>)x);
    else return (T)(reverse32((Unsigned<T>)x) >> (32 - bits_of<T>));
}
template <class T> MSL_FN T rotate1(T x, T by) {
    unsigned n = (unsigned)by & (bits_of<T> - 1);
    Unsigned<T> u = (Unsigned<T>)x;
    return n ? (T)(Unsigned<T>)(u << n | u >> (bits_of<T> - n)) : x;
}
template <class T> MSL_FN T mulhi1(T a, T b) {
    if constexpr (sizeof(T) == 8 && is_signed<T>) return (T)mulhi64(a, b);
    else if constexpr (sizeof(T) == 8) return (T)umulhi64(a, b);
    else if constexpr (is_signed<T>) return (T)((long long)a * b >> bits_of<T>);
    else return (T)((unsigned long long)a * b >> bits_of<T>);
}
template <class T> MSL_FN T addsat1(T a, T b) {
    typedef metal::numeric_limits<T> L;
    if constexpr (is_signed<T>) return b > 0 ? (a > (T)(L::max() - b) ? L::max() : (T)(a + b)) : a < (T)(L::min() - b) ? L::min() : (T)(a + b);
    else return (T)(a + b) < a ? L::max() : (T)(a + b);
}
template <class T> MSL_FN T subsat1(T a, T b) {
    typedef metal::numeric_limits<T> L;
    if constexpr (is_signed<T>) return b < 0 ? (a > (T)(L::max() + b) ? L::max() : (T)(a - b)) : a < (T)(L::min() + b) ? L::min() : (T)(a - b);
    else return a < b ? (T)0 : (T)(a - b);
}
template <class T> MSL_FN T absdiff1(T a, T b) {
    return a < b ? (T)((Unsigned<T>)b - (Unsigned<T>)a) : (T)((Unsigned<T>)a - (Unsigned<T>)b);
}
template <class T> MSL_FN T hadd1(T a, T b) { return (T)((a >> 1) + (b >> 1) + (a & b & 1)); }
template <class T> MSL_FN T rhadd1(T a, T b) { return (T)((a >> 1) + (b >> 1) + ((a | b) & 1)); }
template <class T> MSL_FN T madhi1(T a, T b, T c) { return (T)((Unsigned<T>)mulhi1(a, b) + (Unsigned<T>)c); }
template <class T> MSL_FN T madsat1(T a, T b, T c) {
    typedef metal::numeric_limits<T> L;
    if constexpr (sizeof(T) < 8) {
        // The product and the sum fit in 64 bits, unsigned ones of 32 bits too.
        typedef conditional_t<is_signed<T>, long long, unsigned long long> W;
        W r = (W)a * (W)b + (W)c;
        return r > (W)L::max() ? L::max() : is_signed<T> && r < (W)L::min() ? L::min() : (T)r;
    } else {
        // High and low halves of the product, then the sum with its carry.
        T high = mulhi1(a, b);
        unsigned long long low = (unsigned long long)a * (unsigned long long)b, sum = low + (unsigned long long)c;
        long long top = (long long)high + (sum < low ? 1 : 0) + (is_signed<T> && c < 0 ? -1 : 0);
        if constexpr (is_signed<T>) {
            if (top == ((long long)sum < 0 ? -1 : 0)) return (T)sum;
            return top < 0 ? L::min() : L::max();
        } else return high || sum < low ? L::max() : (T)sum;
    }
}
template <class T> MSL_FN T mad24_1(T a, T b, T c) {
    if constexpr (is_signed<T>) return (T)((unsigned)(((int)((unsigned)a << 8)) >> 8) * (unsigned)(((int)((unsigned)b << 8)) >> 8) + (unsigned)c);
    else return (T)((a & 0xffffff) * (b & 0xffffff) + c);
}
template <class T> MSL_FN T extract_bits1(T x, unsigned offset, unsigned count) {
    if (count == 0 || offset >= (unsigned)bits_of<T>) return 0;
    if (count > bits_of<T> - offset) count = bits_of<T> - offset;
    Unsigned<T> u = (Unsigned<T>)((Unsigned<T>)x << (bits_of<T> - offset - count));
    return (T)((T)u >> (bits_of<T> - count));
}
template <class T> MSL_FN T insert_bits1(T base, T insert, unsigned offset, unsigned count) {
    if (count == 0 || offset >= (unsigned)bits_of<T>) return base;
    if (count > bits_of<T> - offset) count = bits_of<T> - offset;
    Unsigned<T> mask = (Unsigned<T>)((Unsigned<T>)((Unsigned<T>)~(Unsigned<T>)0 >> (bits_of<T> - count)) << offset);
    return (T)(((Unsigned<T>)base & (Unsigned<T>)~mask) | ((Unsigned<T>)((Unsigned<T>)insert << offset) & mask));
}

} // namespace impl

namespace metal {

#define MSL_INTEGER1(name)                                                                                    \
    template <class A> MSL_FN impl::Value<A> name(A a) {                                                      \
        typedef typename impl::Canon<A>::elem T;                                                              \
        return impl::each<impl::Value<A>>([](T x) { return impl::name##1(x); }, impl::Value<A>(a));           \
    }
#define MSL_INTEGER2(name)                                                                                    \
    template <class A, class B> MSL_FN impl::Join<A, B> name(A a, B b) {                                      \
        typedef impl::Join<A, B> V;                                                                           \
        typedef typename impl::Canon<V>::elem T;                                                              \
        return impl::each<V>([](T x, T y) { return impl::name##1(x, y); }, V(a), V(b));                       \
    }
#define MSL_INTEGER3(name, call)                                                                              \
    template <class A, class B, class C> MSL_FN impl::Join3<A, B, C> name(A a, B b, C c) {                    \
        typedef impl::Join3<A, B, C> V;                                                                       \
        typedef typename impl::Canon<V>::elem T;                                                              \
        return impl::each<V>([](T x, T y, T z) { return impl::call(x, y, z); }, V(a), V(b), V(c));            \
    }
MSL_INTEGER1(clz)
MSL_INTEGER1(ctz)
MSL_INTEGER1(popcount)
MSL_INTEGER1(reverse_bits)
MSL_INTEGER2(mulhi)
MSL_INTEGER2(addsat)
MSL_INTEGER2(subsat)
MSL_INTEGER2(absdiff)
MSL_INTEGER2(hadd)
MSL_INTEGER2(rhadd)
MSL_INTEGER3(madhi, madhi1)
MSL_INTEGER3(madsat, madsat1)
MSL_INTEGER3(mad24, mad24_1)
template <class A, class B> MSL_FN impl::Value<A> rotate(A a, B by) {
    typedef impl::Value<A> V;
    typedef typename impl::Canon<V>::elem T;
    return impl::each<V>([](T x, T y) { return impl::rotate1(x, y); }, V(a), V(by));
}
template <class A, class B> MSL_FN impl::Join<A, B> mul24(A a, B b) {
    typedef impl::Join<A, B> V;
    return metal::mad24(V(a), V(b), V(0));
}
template <class A> MSL_FN impl::Value<A> extract_bits(A a, uint offset, uint count) {
    typedef typename impl::Canon<A>::elem T;
    return impl::each<impl::Value<A>>([=](T x) { return impl::extract_bits1(x, offset, count); }, impl::Value<A>(a));
}
template <class A, class B> MSL_FN impl::Value<A> insert_bits(A base, B insert, uint offset, uint count) {
    typedef impl::Value<A> V;
    typedef typename impl::Canon<A>::elem T;
    return impl::each<V>([=](T x, T y) { return impl::insert_bits1(x, y, offset, count); }, V(base), V(insert));
}

} // namespace metal
} // namespace msl
