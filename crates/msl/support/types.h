// Scalar types: the integers of MSL by name, half, bfloat, their conversions and arithmetic, traits, limits and as_type.
namespace msl {

typedef unsigned char uchar;
typedef unsigned short ushort;
typedef unsigned int uint;
typedef unsigned long ulong;
typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long int64_t;
typedef unsigned long uint64_t;
typedef unsigned long size_t;
typedef long ptrdiff_t;
typedef unsigned long uintptr_t;
typedef long intptr_t;

struct half;
struct bfloat;

namespace metal {

using msl::uchar, msl::ushort, msl::uint, msl::ulong, msl::half, msl::bfloat;
using msl::int8_t, msl::uint8_t, msl::int16_t, msl::uint16_t, msl::int32_t, msl::uint32_t, msl::int64_t, msl::uint64_t;
using msl::size_t, msl::ptrdiff_t, msl::uintptr_t, msl::intptr_t;

template <class T, T v> struct integral_constant {
    static constexpr T value = v;
    typedef T value_type;
    typedef integral_constant type;
    MSL_FN constexpr operator T() const { return v; }
    MSL_FN constexpr T operator()() const { return v; }
};
template <bool b> using bool_constant = integral_constant<bool, b>;
typedef bool_constant<true> true_type;
typedef bool_constant<false> false_type;
template <bool b, class T = void> struct enable_if {};
template <class T> struct enable_if<true, T> { typedef T type; };
template <bool b, class T = void> using enable_if_t = typename enable_if<b, T>::type;
template <bool b, class T, class F> struct conditional { typedef T type; };
template <class T, class F> struct conditional<false, T, F> { typedef F type; };
template <bool b, class T, class F> using conditional_t = typename conditional<b, T, F>::type;
template <class A, class B> struct is_same : false_type {};
template <class A> struct is_same<A, A> : true_type {};
template <class A, class B> constexpr bool is_same_v = is_same<A, B>::value;
template <class T> struct remove_const { typedef T type; };
template <class T> struct remove_const<const T> { typedef T type; };
template <class T> struct remove_volatile { typedef T type; };
template <class T> struct remove_volatile<volatile T> { typedef T type; };
template <class T> struct remove_cv { typedef typename remove_volatile<typename remove_const<T>::type>::type type; };
template <class T> struct remove_reference { typedef T type; };
template <class T> struct remove_reference<T &> { typedef T type; };
template <class T> struct remove_reference<T &&> { typedef T type; };
template <class T> struct remove_pointer { typedef T type; };
template <class T> struct remove_pointer<T *> { typedef T type; };
template <class T> struct remove_pointer<T *const> { typedef T type; };
template <class T> using remove_const_t = typename remove_const<T>::type;
template <class T> using remove_volatile_t = typename remove_volatile<T>::type;
template <class T> using remove_cv_t = typename remove_cv<T>::type;
template <class T> using remove_reference_t = typename remove_reference<T>::type;
template <class T> using remove_pointer_t = typename remove_pointer<T>::type;
template <class T> using decay_t = remove_cv_t<remove_reference_t<T>>;
template <class T> struct decay { typedef decay_t<T> type; };
template <class...> using void_t = void;
template <class T> struct is_pointer : false_type {};
template <class T> struct is_pointer<T *> : true_type {};
template <class T> struct is_const : false_type {};
template <class T> struct is_const<const T> : true_type {};
template <class T> constexpr bool is_pointer_v = is_pointer<remove_cv_t<T>>::value;
template <class T> constexpr bool is_const_v = is_const<T>::value;
template <class A, class B> struct is_base_of : bool_constant<__is_base_of(A, B)> {};
template <class A, class B> constexpr bool is_base_of_v = __is_base_of(A, B);
template <class A, class B> struct is_convertible : bool_constant<__is_convertible_to(A, B)> {};
template <class A, class B> constexpr bool is_convertible_v = __is_convertible_to(A, B);
template <class T> struct is_enum : bool_constant<__is_enum(T)> {};
template <class T> constexpr bool is_enum_v = __is_enum(T);
template <class T> struct is_trivially_copyable : bool_constant<__is_trivially_copyable(T)> {};
template <class T> constexpr bool is_trivially_copyable_v = __is_trivially_copyable(T);

} // namespace metal

namespace impl {

using metal::decay_t, metal::enable_if_t, metal::conditional_t, metal::is_same_v;

// 0: not a scalar, 1: bool, 2: signed integer, 3: unsigned integer, 4: floating point
template <class T> constexpr int kind_of = 0;
template <> constexpr int kind_of<bool> = 1;
template <> constexpr int kind_of<char> = 2;
template <> constexpr int kind_of<signed char> = 2;
template <> constexpr int kind_of<short> = 2;
template <> constexpr int kind_of<int> = 2;
template <> constexpr int kind_of<long> = 2;
template <> constexpr int kind_of<long long> = 2;
template <> constexpr int kind_of<unsigned char> = 3;
template <> constexpr int kind_of<unsigned short> = 3;
template <> constexpr int kind_of<unsigned int> = 3;
template <> constexpr int kind_of<unsigned long> = 3;
template <> constexpr int kind_of<unsigned long long> = 3;
template <> constexpr int kind_of<float> = 4;
template <> constexpr int kind_of<double> = 4;
template <> constexpr int kind_of<half> = 4;
template <> constexpr int kind_of<bfloat> = 4;

template <class T> constexpr bool is_scalar = kind_of<T> != 0;
template <class T> constexpr bool is_small_float = is_same_v<T, half> || is_same_v<T, bfloat>;
template <class T> constexpr bool is_builtin = is_scalar<T> && !is_small_float<T>;
// A scalar, or an enumeration, which converts to one.
template <class T> using IfScalar = enable_if_t<is_scalar<T> || __is_enum(T), int>;
template <class T> using IfBuiltin = enable_if_t<is_builtin<T> || __is_enum(T), int>;

// The type that two scalars meet in: a floating type wins over integers, float over half and bfloat.
template <class A, class B, bool = is_builtin<A> && is_builtin<B>> struct Meet { typedef decltype(A() + B()) type; };
template <class A, class B> struct Meet<A, B, false> {
    static constexpr bool a = kind_of<A> == 4, b = kind_of<B> == 4;
    typedef conditional_t<a && b, float, conditional_t<a, A, B>> type;
};
template <class A> struct Meet<A, A, true> { typedef A type; };
template <class A> struct Meet<A, A, false> { typedef A type; };

MSL_FN constexpr float soft_half_to_float(unsigned short h) {
    unsigned sign = (unsigned)(h & 0x8000) << 16, exponent = (h >> 10) & 31, mantissa = h & 1023;
    if (exponent == 31) return __builtin_bit_cast(float, sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0u));
    if (exponent) return __builtin_bit_cast(float, sign | ((exponent + 112) << 23) | (mantissa << 13));
    float magnitude = (float)mantissa * 5.9604644775390625e-8f;
    return sign ? -magnitude : magnitude;
}

MSL_FN constexpr unsigned short soft_half_from_float(float f) {
    unsigned x = __builtin_bit_cast(unsigned, f), sign = (x >> 16) & 0x8000, a = x & 0x7fffffff;
    if (a > 0x7f800000u) return (unsigned short)(sign | 0x7e00 | ((a >> 13) & 0x3ff));
    if (a >= 0x477ff000u) return (unsigned short)(sign | 0x7c00);
    unsigned bits = 0, rest = 0, half_way = 0;
    if (a >= 0x38800000u) {
        bits = (a - 0x38000000u) >> 13, rest = a & 0x1fff, half_way = 0x1000;
    } else if (a >= 0x33000000u) {
        unsigned shift = 126 - (a >> 23), m = (a & 0x7fffff) | 0x800000;
        bits = m >> shift, rest = m & ((1u << shift) - 1), half_way = 1u << (shift - 1);
    }
    bits += rest > half_way || (rest == half_way && (bits & 1) && half_way);
    return (unsigned short)(sign | bits);
}

MSL_FN constexpr unsigned short soft_bfloat_from_float(float f) {
    unsigned x = __builtin_bit_cast(unsigned, f);
    if ((x & 0x7fffffff) > 0x7f800000u) return (unsigned short)((x >> 16) | 0x40);
    return (unsigned short)((x + 0x7fff + ((x >> 16) & 1)) >> 16);
}
MSL_FN constexpr float soft_bfloat_to_float(unsigned short b) { return __builtin_bit_cast(float, (unsigned)b << 16); }

#ifdef MSL_HOST
#ifndef MSL_HARDWARE_HALF
MSL_FN float h_to_float(u16 a) { return soft_half_to_float(a); }
MSL_FN u16 h_from_float(float a) { return soft_half_from_float(a); }
#endif
MSL_FN float b_to_float(u16 a) { return soft_bfloat_to_float(a); }
MSL_FN u16 b_from_float(float a) { return soft_bfloat_from_float(a); }
// A float holds the product of two halves exactly, and enough of a sum or a quotient that rounding twice rounds as once.
#define MSL_SMALL_BINARY(p, name, expression)                                                               \
    MSL_FN u16 p##_##name(u16 x, u16 y) {                                                                   \
        float a = p##_to_float(x), b = p##_to_float(y);                                                     \
        return p##_from_float(expression);                                                                  \
    }
#define MSL_SMALL_BINARIES(p)                                                                               \
    MSL_SMALL_BINARY(p, add, a + b) MSL_SMALL_BINARY(p, sub, a - b) MSL_SMALL_BINARY(p, mul, a * b)         \
    MSL_SMALL_BINARY(p, min, __builtin_fminf(a, b)) MSL_SMALL_BINARY(p, max, __builtin_fmaxf(a, b))
MSL_SMALL_BINARIES(h)
MSL_SMALL_BINARIES(b)
MSL_FN float divide(float a, float b) { return a / b; }
// Rounds to odd in double, so that the second rounding sees what the first dropped.
MSL_FN float fma_to_odd(float a, float b, float c) {
    double product = (double)a * (double)b, sum = product + (double)c;
    double virtual_c = sum - product, error = (product - (sum - virtual_c)) + ((double)c - virtual_c);
    unsigned long bits = __builtin_bit_cast(unsigned long, sum);
    if (error != 0.0 && !(bits & 1)) bits += ((error > 0.0) == (sum > 0.0)) ? 1 : -1;
    sum = __builtin_bit_cast(double, bits);
    float result = (float)sum;
    if (__builtin_isinf(result) || (double)result == sum) return result;
    // And once more, from double to a float that the last rounding can trust.
    unsigned out = __builtin_bit_cast(unsigned, result);
    bool above = __builtin_fabs((double)result) > __builtin_fabs(sum);
    if (above) out -= 1;
    return __builtin_bit_cast(float, out | 1);
}
MSL_FN u16 h_fma(u16 a, u16 b, u16 c) { return h_from_float(fma_to_odd(h_to_float(a), h_to_float(b), h_to_float(c))); }
MSL_FN u16 b_fma(u16 a, u16 b, u16 c) { return b_from_float(fma_to_odd(b_to_float(a), b_to_float(b), b_to_float(c))); }
#endif

} // namespace impl

#define MSL_SMALL_FLOAT(F, other, p, soft)                                                                        \
    struct F {                                                                                                    \
        unsigned short bits;                                                                                         \
        F() = default;                                                                                            \
        MSL_FN constexpr F(float f)                                                                               \
            : bits(__builtin_is_constant_evaluated() ? impl::soft##_from_float(f) : impl::p##_from_float(f)) {}      \
        template <class T, impl::IfBuiltin<T> = 0> MSL_FN constexpr F(T value) : F((float)value) {}            \
        MSL_FN explicit constexpr F(other value);                                                                 \
        MSL_FN constexpr operator float() const {                                                                    \
            return __builtin_is_constant_evaluated() ? impl::soft##_to_float(bits) : impl::p##_to_float(bits);       \
        }                                                                                                            \
        MSL_FN static constexpr F of_bits(unsigned short b) {                                                     \
            F r = F();                                                                                         \
            r.bits = b;                                                                                              \
            return r;                                                                                                \
        }                                                                                                            \
        template <class S> MSL_FN constexpr F &operator+=(S s) { return *this = F(*this + s); }                \
        template <class S> MSL_FN constexpr F &operator-=(S s) { return *this = F(*this - s); }                \
        template <class S> MSL_FN constexpr F &operator*=(S s) { return *this = F(*this * s); }                \
        template <class S> MSL_FN constexpr F &operator/=(S s) { return *this = F(*this / s); }                \
        MSL_FN constexpr F &operator++() { return *this += F(1.0f); }                                          \
        MSL_FN constexpr F &operator--() { return *this -= F(1.0f); }                                          \
        MSL_FN constexpr F operator++(int) { F old = *this; ++*this; return old; }                             \
        MSL_FN constexpr F operator--(int) { F old = *this; --*this; return old; }                             \
        MSL_FN constexpr F operator-() const { return of_bits((unsigned short)(bits ^ 0x8000)); }                 \
        MSL_FN constexpr F operator+() const { return *this; }                                                    \
    };                                                                                                               \
    static_assert(sizeof(F) == 2 && alignof(F) == 2, "two bytes");                                             \
    MSL_SMALL_ARITHMETIC(F, other, p, +, add)                                                                     \
    MSL_SMALL_ARITHMETIC(F, other, p, -, sub)                                                                     \
    MSL_SMALL_ARITHMETIC(F, other, p, *, mul)                                                                     \
    MSL_FN constexpr F operator/(F a, F b) {                                                                \
        return F(__builtin_is_constant_evaluated() ? (float)a / (float)b : impl::divide((float)a, (float)b));     \
    }                                                                                                                \
    MSL_SMALL_MIXED(F, other, /, typename impl::Meet<F MSL_COMMA S>::type)                                     \
    MSL_SMALL_COMPARE(F, other, ==) MSL_SMALL_COMPARE(F, other, !=) MSL_SMALL_COMPARE(F, other, <)          \
    MSL_SMALL_COMPARE(F, other, <=) MSL_SMALL_COMPARE(F, other, >) MSL_SMALL_COMPARE(F, other, >=)

#define MSL_COMMA ,
// The half's own type is deduced, too: an int beside an enumeration must not become one.
#define MSL_SMALL_MIXED(F, other, op, result)                                                                     \
    template <class H, class S, impl::enable_if_t<impl::is_same_v<H, F>, int> = 0, impl::IfBuiltin<S> = 0>         \
    MSL_FN constexpr result operator op(H a, S b) {                                                               \
        typedef typename impl::Meet<F, S>::type M;                                                                \
        return M(a) op M(b);                                                                                         \
    }                                                                                                                \
    template <class S, class H, impl::IfBuiltin<S> = 0, impl::enable_if_t<impl::is_same_v<H, F>, int> = 0>         \
    MSL_FN constexpr result operator op(S a, H b) {                                                               \
        typedef typename impl::Meet<F, S>::type M;                                                                \
        return M(a) op M(b);                                                                                         \
    }
#define MSL_SMALL_ARITHMETIC(F, other, p, op, name)                                                               \
    MSL_FN constexpr F operator op(F a, F b) {                                                              \
        return __builtin_is_constant_evaluated() ? F((float)a op(float) b)                                        \
                                                 : F::of_bits(impl::p##_##name(a.bits, b.bits));                  \
    }                                                                                                                \
    MSL_SMALL_MIXED(F, other, op, typename impl::Meet<F MSL_COMMA S>::type)
#define MSL_SMALL_COMPARE(F, other, op)                                                                           \
    MSL_FN constexpr bool operator op(F a, F b) { return (float)a op(float) b; }                               \
    MSL_SMALL_MIXED(F, other, op, bool)

MSL_SMALL_FLOAT(half, bfloat, h, soft_half)
MSL_SMALL_FLOAT(bfloat, half, b, soft_bfloat)
MSL_FN constexpr half::half(bfloat value) : half((float)value) {}
MSL_FN constexpr bfloat::bfloat(half value) : bfloat((float)value) {}

#define MSL_HALF(x) (::msl::half(x))
#define MSL_BFLOAT(x) (::msl::bfloat(x))

namespace impl {
template <class T> MSL_FN constexpr bool is_signed_scalar() {
    if constexpr (kind_of<T> != 0) return (T)-1 < (T)0;
    return false;
}
} // namespace impl

namespace metal {

template <class T> struct is_floating_point : bool_constant<impl::kind_of<remove_cv_t<T>> == 4> {};
template <class T>
struct is_integral : bool_constant<(impl::kind_of<remove_cv_t<T>> >= 1 && impl::kind_of<remove_cv_t<T>> <= 3)> {};
template <class T> struct is_arithmetic : bool_constant<impl::kind_of<remove_cv_t<T>> != 0> {};
template <class T> struct is_scalar : is_arithmetic<T> {};
template <class T> struct is_signed : bool_constant<impl::kind_of<remove_cv_t<T>> == 2 || impl::kind_of<remove_cv_t<T>> == 4> {};
template <class T> struct is_unsigned : bool_constant<impl::kind_of<remove_cv_t<T>> == 3 || impl::kind_of<remove_cv_t<T>> == 1> {};
template <class T> constexpr bool is_floating_point_v = is_floating_point<T>::value;
template <class T> constexpr bool is_integral_v = is_integral<T>::value;
template <class T> constexpr bool is_arithmetic_v = is_arithmetic<T>::value;
template <class T> constexpr bool is_scalar_v = is_scalar<T>::value;
template <class T> constexpr bool is_signed_v = is_signed<T>::value;
template <class T> constexpr bool is_unsigned_v = is_unsigned<T>::value;
template <class T> struct make_unsigned { typedef T type; };
template <class T> struct make_signed { typedef T type; };
#define MSL_SIGNS(s, u)                                            \
    template <> struct make_unsigned<s> { typedef u type; };       \
    template <> struct make_signed<u> { typedef s type; };
MSL_SIGNS(signed char, unsigned char)
MSL_SIGNS(short, unsigned short)
MSL_SIGNS(int, unsigned int)
MSL_SIGNS(long, unsigned long)
MSL_SIGNS(long long, unsigned long long)
template <> struct make_unsigned<char> { typedef unsigned char type; };
template <class T> using make_unsigned_t = typename make_unsigned<T>::type;
template <class T> using make_signed_t = typename make_signed<T>::type;

template <class To, class From> MSL_FN constexpr To as_type(const From &from) {
    static_assert(sizeof(To) == sizeof(From), "as_type needs types of one size");
    return __builtin_bit_cast(To, from);
}

// Public code specializes either of the two names.
template <class T> struct _numeric_limits_impl {
    static constexpr bool is_specialized = impl::kind_of<T> != 0;
    static constexpr bool is_signed = impl::is_signed_scalar<T>(), is_integer = true, is_exact = true;
    static constexpr bool has_infinity = false;
    static constexpr bool has_quiet_NaN = false, is_bounded = true, is_iec559 = false;
    static constexpr int radix = 2, digits = (int)sizeof(T) * 8 - is_signed;
    static constexpr int digits10 = digits * 643 / 2136;
    MSL_FN static constexpr T min() { return is_signed ? (T)(1ull << (sizeof(T) * 8 - 1)) : (T)0; }
    MSL_FN static constexpr T max() { return (T)((~0ull) >> (64 - digits)); }
    MSL_FN static constexpr T lowest() { return min(); }
    MSL_FN static constexpr T epsilon() { return (T)0; }
    MSL_FN static constexpr T infinity() { return (T)0; }
};
template <class T> struct numeric_limits : _numeric_limits_impl<T> {};
template <> struct _numeric_limits_impl<bool> {
    static constexpr bool is_specialized = true, is_signed = false, is_integer = true, is_exact = true;
    static constexpr int radix = 2, digits = 1;
    MSL_FN static constexpr bool min() { return false; }
    MSL_FN static constexpr bool max() { return true; }
    MSL_FN static constexpr bool lowest() { return false; }
};
#define MSL_FLOAT_LIMITS(T, make, d, lo, hi, low, eps, inf, nan, denorm, mine, maxe, max10)                    \
    template <> struct _numeric_limits_impl<T> {                                                                     \
        static constexpr bool is_specialized = true, is_signed = true, is_integer = false, is_exact = false;   \
        static constexpr bool has_infinity = true, has_quiet_NaN = true, is_bounded = true, is_iec559 = true;  \
        static constexpr int radix = 2, digits = d, min_exponent = mine, max_exponent = maxe;                  \
        static constexpr int max_exponent10 = max10, digits10 = (d - 1) * 643 / 2136;                          \
        static constexpr int max_digits10 = 2 + d * 643 / 2136;                                                \
        MSL_FN static constexpr T min() { return make(lo); }                                                   \
        MSL_FN static constexpr T max() { return make(hi); }                                                   \
        MSL_FN static constexpr T lowest() { return make(low); }                                               \
        MSL_FN static constexpr T epsilon() { return make(eps); }                                              \
        MSL_FN static constexpr T round_error() { return T(0.5f); }                                            \
        MSL_FN static constexpr T infinity() { return make(inf); }                                             \
        MSL_FN static constexpr T quiet_NaN() { return make(nan); }                                            \
        MSL_FN static constexpr T signaling_NaN() { return make(nan); }                                        \
        MSL_FN static constexpr T denorm_min() { return make(denorm); }                                        \
    };
#define MSL_FLOAT_OF(x) __builtin_bit_cast(float, x##u)
MSL_FLOAT_LIMITS(float, MSL_FLOAT_OF, 24, 0x00800000, 0x7f7fffff, 0xff7fffff, 0x34000000, 0x7f800000, 0x7fc00000, 1, -125, 128, 38)
MSL_FLOAT_LIMITS(half, half::of_bits, 11, 0x0400, 0x7bff, 0xfbff, 0x1400, 0x7c00, 0x7e00, 1, -13, 16, 4)
MSL_FLOAT_LIMITS(bfloat, bfloat::of_bits, 8, 0x0080, 0x7f7f, 0xff7f, 0x3c00, 0x7f80, 0x7fc0, 1, -125, 128, 38)

} // namespace metal
using metal::as_type; // a word of the language

} // namespace msl

#define METAL_FUNC inline __attribute__((always_inline))
#define is_function_constant_defined(name) MSL_FC_DEFINED_##name
#define FLT_MAX (::msl::metal::numeric_limits<float>::max())
#define FLT_MIN (::msl::metal::numeric_limits<float>::min())
#define FLT_EPSILON (::msl::metal::numeric_limits<float>::epsilon())
#define HALF_MAX (::msl::metal::numeric_limits<::msl::half>::max())
#define HALF_MIN (::msl::metal::numeric_limits<::msl::half>::min())
#define HALF_EPSILON (::msl::metal::numeric_limits<::msl::half>::epsilon())
#define MAXFLOAT FLT_MAX
#define MAXHALF HALF_MAX
#define INFINITY (::msl::metal::numeric_limits<float>::infinity())
#define NAN (::msl::metal::numeric_limits<float>::quiet_NaN())
#define HUGE_VALF INFINITY
#define INT_MAX 2147483647
#define INT_MIN (-INT_MAX - 1)
#define UINT_MAX 4294967295u
#define CHAR_BIT 8
#define SHRT_MAX 32767
#define SHRT_MIN (-32768)
#define USHRT_MAX 65535
#define SCHAR_MAX 127
#define SCHAR_MIN (-128)
#define UCHAR_MAX 255
#define LONG_MAX 9223372036854775807l
#define LONG_MIN (-LONG_MAX - 1)
#define ULONG_MAX 18446744073709551615ul
#define M_E_F 2.71828183f
#define M_LOG2E_F 1.44269504f
#define M_LOG10E_F 0.434294482f
#define M_LN2_F 0.693147181f
#define M_LN10_F 2.30258509f
#define M_PI_F 3.14159265f
#define M_PI_2_F 1.57079633f
#define M_PI_4_F 0.785398163f
#define M_1_PI_F 0.318309886f
#define M_2_PI_F 0.636619772f
#define M_2_SQRTPI_F 1.12837917f
#define M_SQRT2_F 1.41421356f
#define M_SQRT1_2_F 0.707106781f
#define M_E_H MSL_HALF(M_E_F)
#define M_LOG2E_H MSL_HALF(M_LOG2E_F)
#define M_LOG10E_H MSL_HALF(M_LOG10E_F)
#define M_LN2_H MSL_HALF(M_LN2_F)
#define M_LN10_H MSL_HALF(M_LN10_F)
#define M_PI_H MSL_HALF(M_PI_F)
#define M_PI_2_H MSL_HALF(M_PI_2_F)
#define M_PI_4_H MSL_HALF(M_PI_4_F)
#define M_1_PI_H MSL_HALF(M_1_PI_F)
#define M_2_PI_H MSL_HALF(M_2_PI_F)
#define M_2_SQRTPI_H MSL_HALF(M_2_SQRTPI_F)
#define M_SQRT2_H MSL_HALF(M_SQRT2_F)
#define M_SQRT1_2_H MSL_HALF(M_SQRT1_2_F)
