#define MSL_SWIZZLES2(X) X(xy, 0, 1) X(zw, 2, 3)
#define MSL_SWIZZLES3(X) X(xyz, 0, 1, 2)
//!support
#include "harness.h"

namespace msl {
using namespace metal;

static unsigned long seed = 88172645463325252ul;
static ulong next() {
    seed ^= seed << 13;
    seed ^= seed >> 7;
    return seed ^= seed << 17;
}
static float between(float low, float high) { return low + (high - low) * (float)(next() >> 40) / 16777216.0f; }

// Distance in units of the last place of the nearest float.
static double ulps(float got, double want) {
    if (want != want) return got != got ? 0 : 1e9;
    if (got - got != 0 || (float)want - (float)want != 0) return (double)got == (double)(float)want ? 0 : 1e9;
    int e;
    ::frexp(want, &e);
    if (e < -125) e = -125;
    return ::fabs((double)got - want) / ::ldexp(1.0, e - 24);
}

typedef double (*Reference)(double);
template <class F, class P, class Q>
static void one(const char *name, float low, float high, double limit, Reference want, F plain, P precise_form, Q vectors) {
    double worst = 0;
    for (int i = 0; i < 20000; ++i) {
        float x = between(low, high);
        double error = ulps(plain(x), want((double)x));
        worst = error > worst ? error : worst;
        error = ulps(precise_form(x), want((double)x));
        worst = error > worst ? error : worst;
        float4 v = vectors(float4(x, low, high, x));
        // What the compiler folds may differ in the last place from what the library gives.
        if (ulps(v.w, plain(x)) > 1 || ulps(v.y, plain(low)) > 1) failed(name, 0, "vector", v.w, plain(x));
        half h = half(x);
        float want_half = (float)half((float)want((double)(float)h)), got_half = (float)plain(h);
        if (want_half == want_half && !(::fabs(got_half - want_half) <= ::fabs(want_half) * 0.001 + 1e-7) && got_half != want_half) failed(name, 0, "half", got_half, want_half);
    }
    if (worst > limit) failed(name, 0, "units in the last place", worst, limit);
}
#define ONE(name, low, high, limit, want)                                                                           \
    one(#name, low, high, limit, [](double x) -> double { return want; }, [](auto x) { return name(x); },           \
        [](auto x) { return precise::name(x); }, [](float4 x) { return name(x); })

static double pi() { return 3.14159265358979323846; }
static double reduced(double x, double period) { return x - period * ::rint(x / period); }

static void functions() {
    ONE(exp, -80.0f, 80.0f, 3, ::exp(x));
    ONE(exp2, -120.0f, 120.0f, 3, ::exp2(x));
    ONE(exp10, -30.0f, 30.0f, 3, ::pow(10.0, x));
    ONE(log, 1e-3f, 1e4f, 3, ::log(x));
    ONE(log2, 1e-3f, 1e4f, 3, ::log2(x));
    ONE(log10, 1e-3f, 1e4f, 3, ::log10(x));
    ONE(sin, -100.0f, 100.0f, 4, ::sin(x));
    ONE(cos, -100.0f, 100.0f, 4, ::cos(x));
    ONE(tan, -1.5f, 1.5f, 4, ::tan(x));
    ONE(asin, -1.0f, 1.0f, 4, ::asin(x));
    ONE(acos, -1.0f, 1.0f, 4, ::acos(x));
    ONE(atan, -10.0f, 10.0f, 4, ::atan(x));
    ONE(sinh, -10.0f, 10.0f, 4, ::sinh(x));
    ONE(cosh, -10.0f, 10.0f, 4, ::cosh(x));
    ONE(tanh, -5.0f, 5.0f, 4, ::tanh(x));
    ONE(asinh, -10.0f, 10.0f, 4, ::asinh(x));
    ONE(acosh, 1.0f, 10.0f, 4, ::acosh(x));
    ONE(atanh, -0.9f, 0.9f, 4, ::atanh(x));
    ONE(sinpi, -10.0f, 10.0f, 4, ::sin(pi() * reduced(x, 2)));
    ONE(cospi, -10.0f, 10.0f, 64, ::cos(pi() * reduced(x, 2)));
    ONE(tanpi, -0.45f, 0.45f, 6, ::tan(pi() * x));
    ONE(sqrt, 0.0f, 1e4f, 0.5, ::sqrt(x));
    ONE(rsqrt, 1e-3f, 1e4f, 0.51, 1.0 / ::sqrt(x));
    ONE(floor, -50.0f, 50.0f, 0, ::floor(x));
    ONE(ceil, -50.0f, 50.0f, 0, ::ceil(x));
    ONE(rint, -50.0f, 50.0f, 0, ::rint(x));
    ONE(round, -50.0f, 50.0f, 0, ::round(x));
    ONE(trunc, -50.0f, 50.0f, 0, ::trunc(x));
    ONE(fabs, -50.0f, 50.0f, 0, ::fabs(x));
    for (int i = 0; i < 20000; ++i) {
        float x = between(-20, 20), y = between(-3, 3), z = between(-5, 5), a = ::fabs(x) + 0.01f;
        CHECK(ulps(pow(a, y), ::pow((double)a, (double)y)) <= 4 && ulps(powr(a, y), ::pow((double)a, (double)y)) <= 4);
        CHECK(ulps(atan2(x, y), ::atan2((double)x, (double)y)) <= 4);
        CHECK(ulps(fmod(x, y), ::fmod((double)x, (double)y)) <= 0);
        CHECK(ulps(fma(x, y, z), (double)x * y + z) <= 0.5001);
        CHECK(ulps(divide(x, a), (double)x / a) <= 0.5);
        EQUAL(max(x, y), x > y ? x : y);
        EQUAL(fmin(x, y), x < y ? x : y);
        EQUAL(clamp(x, -1.0f, 1.0f), x < -1 ? -1.0f : x > 1 ? 1.0f : x);
        EQUAL(saturate(x), x < 0 ? 0.0f : x > 1 ? 1.0f : x);
        EQUAL(mix(x, y, 0.25f), x + (y - x) * 0.25f);
        EQUAL(step(y, x), x < y ? 0.0f : 1.0f);
        EQUAL(sign(x), x > 0 ? 1.0f : -1.0f);
        EQUAL(median3(x, y, z), x > y ? (y > z ? y : x > z ? z : x) : (x > z ? x : y > z ? z : y));
        EQUAL(copysign(x, y), (float)(y < 0 ? -::fabs(x) : ::fabs(x)));
        EQUAL(fdim(x, y), x > y ? x - y : 0.0f);
        EQUAL(ldexp(x, 3), x * 8);
        int e;
        float m = frexp(x, e), whole, part = modf(x, whole), c, s = sincos(x, c);
        CHECK(ldexp(m, e) == x && ::fabs(m) >= 0.5 && ::fabs(m) < 1);
        CHECK(whole == trunc(x) && part + whole == x && s == sin(x) && c == cos(x));
        EQUAL(ilogb(x), e - 1);
        CHECK(fract(x) >= 0 && fract(x) < 1);
        float t = clamp((x + 5) / 10, 0.0f, 1.0f);
        CHECK(::fabs(smoothstep(-5.0f, 5.0f, x) - t * t * (3 - 2 * t)) < 1e-6);
        float4 v(x, y, z, a);
        CHECK(ulps(dot(v, v.xyz.get().x + float4(1)), (double)x * (x + 1) + (double)y * (x + 1) + (double)z * (x + 1) + (double)a * (x + 1)) < 1e6);
        CHECK(::fabs(length(v) - ::sqrt((double)x * x + (double)y * y + (double)z * z + (double)a * a)) < 1e-4);
        CHECK(::fabs(length(normalize(v)) - 1) < 1e-5 && ::fabs(distance(v.xy, v.zw) - length(v.xy - v.zw)) < 1e-5);
        float3 p(x, y, z), q(y, z, x), r = cross(p, q);
        CHECK(::fabs(dot(r, p)) < 1e-2 && ::fabs(r.x - (y * x - z * z)) < 1e-3);
        float3 n = normalize(q), f = reflect(p, n);
        CHECK(::fabs(length(f) - length(p)) < 1e-4 && ::fabs(dot(refract(normalize(p), n, 1.0f), n) - dot(normalize(p), n)) < 1e-3 + 2 * (dot(p, n) > 0));
    }
    CHECK(::fabs(pow(-2.0f, 3.0f) + 8) < 1e-5 && pow(0.0f, 0.0f) == 1 && isnan(pow(-2.0f, 0.5f)));
    CHECK(isnan(NAN) && !isnan(1.0f) && isinf(-INFINITY) && isfinite(1.0f) && !isfinite(NAN) && signbit(-0.0f) && isnormal(1.0f));
    CHECK(!isnormal(as_type<float>(1u)) && !isnormal(half::of_bits(1)) && isnormal(half(1)) && isunordered(NAN, 1.0f) && isordered(1.0f, 2.0f));
    CHECK(isnan(half::of_bits(0x7e01)) && isinf(half(1e6f)) && isinf(bfloat(INFINITY)) && all(isnan(float2(NAN, 1)) == bool2(true, false)));
    CHECK(max(NAN, 1.0f) == 1 && fmin(1.0f, NAN) == 1 && saturate(NAN) == 0 && sign(NAN) == 0);
    CHECK(select(1.0f, 2.0f, true) == 2 && select(half(1), half(2), false) == half(1) && abs(-3) == 3 && abs(half(-2)) == half(2) && abs(-1.5f) == 1.5f);
    static_assert(is_same_v<decltype(exp(half())), half> && is_same_v<decltype(max(half2(), half2())), half2> && is_same_v<decltype(max(uchar(), uchar())), uchar>);
    CHECK(max(half(2), half(3)) == half(3) && min(bfloat(2), bfloat(3)) == bfloat(2) && max(3, 5) == 5 && min(3u, 5u) == 3u && clamp(7, 0, 5) == 5);
    EQUAL((float)nextafter(half(1), half(2)), 1.0009765625f);
    EQUAL((float)nextafter(half(1), half(0)), 0.99951171875f);
    EQUAL((float)nextafter(half(-1), half(0)), -0.99951171875f);
    EQUAL(nextafter(1.0f, 2.0f), 1.00000012f);
    EQUAL(exp(1), exp(1.0f));
}

template <class T> static void integers() {
    typedef make_unsigned_t<T> U;
    constexpr int bits = sizeof(T) * 8;
    const T edges[] = {0, 1, 2, (T)-1, numeric_limits<T>::min(), numeric_limits<T>::max(), (T)(numeric_limits<T>::max() - 1), 77, (T)-77};
    auto saturated = [](__int128 x) { return x > numeric_limits<T>::max() ? numeric_limits<T>::max() : x < numeric_limits<T>::min() ? numeric_limits<T>::min() : (T)x; };
    for (int i = 0; i < 20000; ++i) {
        T a = i < 729 ? edges[i % 9] : (T)next(), b = i < 729 ? edges[i / 9 % 9] : (T)next(), c = i < 729 ? edges[i / 81] : (T)next();
        int leading = 0, trailing = 0, ones = 0;
        U reversed = 0;
        for (int k = 0; k < bits; ++k) {
            bool bit = (U)a >> k & 1;
            ones += bit;
            reversed |= (U)((U)bit << (bits - 1 - k));
            if (bit) leading = bits - 1 - k;
        }
        if (a == 0) leading = bits;
        while (trailing < bits && !((U)a >> trailing & 1)) ++trailing;
        EQUAL(clz(a), (T)leading);
        EQUAL(ctz(a), (T)trailing);
        EQUAL(popcount(a), (T)ones);
        EQUAL(reverse_bits(a), (T)reversed);
        int by = (int)((U)b % bits);
        EQUAL(rotate(a, b), (T)(U)(by ? (U)((U)a << by) | (U)((U)a >> (bits - by)) : (U)a));
        EQUAL(addsat(a, b), saturated((__int128)a + b));
        EQUAL(subsat(a, b), saturated((__int128)a - b));
        EQUAL(absdiff(a, b), (T)(U)(a > b ? (__int128)a - b : (__int128)b - a));
        EQUAL(hadd(a, b), (T)(((__int128)a + b) >> 1));
        EQUAL(rhadd(a, b), (T)(((__int128)a + b + 1) >> 1));
        bool is_signed = numeric_limits<T>::is_signed;
        T high = is_signed ? (T)(((__int128)a * b) >> bits) : (T)(((unsigned __int128)a * b) >> bits);
        EQUAL(mulhi(a, b), high);
        EQUAL(madhi(a, b, c), (T)((U)high + (U)c));
        if (sizeof(T) < 8 || is_signed) EQUAL(madsat(a, b, c), saturated((__int128)a * b + c));
        else {
            unsigned __int128 product = (unsigned __int128)a * b, sum = product + c;
            EQUAL(madsat(a, b, c), sum < product || sum > ~0ul ? (T)~0ul : (T)sum);
        }
        uint offset = next() % bits, count = next() % (bits - offset + 1);
        unsigned __int128 mask = ((unsigned __int128)1 << count) - 1;
        U field = (U)((U)a >> offset & mask);
        if (is_signed && count && (field >> (count - 1) & 1)) field |= (U)~mask;
        EQUAL(extract_bits(a, offset, count), (T)field);
        EQUAL(insert_bits(a, b, offset, count), (T)(((U)a & ~(U)(mask << offset)) | ((U)b & (U)mask) << offset));
        EQUAL(max(a, b), a > b ? a : b);
        EQUAL(min3(a, b, c), (a < b ? a : b) < c ? (a < b ? a : b) : c);
        EQUAL(abs(a), (T)(a < 0 ? (U)0 - (U)a : (U)a));
        vec<T, 4> v = madsat(vec<T, 4>(a, b, c, a), vec<T, 4>(b), vec<T, 4>(c));
        CHECK(v.x == madsat(a, b, c) && v.z == madsat(c, b, c) && popcount(vec<T, 2>(a, b)).y == popcount(b));
        if (sizeof(T) == 4) {
            long x = is_signed ? (long)((int)((uint)a << 8) >> 8) : (long)((uint)a & 0xffffff);
            long y = is_signed ? (long)((int)((uint)b << 8) >> 8) : (long)((uint)b & 0xffffff);
            EQUAL(mad24((int)0 + a, b, c), (T)((ulong)(x * y) + (ulong)c));
            EQUAL(mul24(a, b), (T)(ulong)(x * y));
        }
    }
}

} // namespace msl

void run_tests() {
    msl::functions();
    msl::integers<signed char>();
    msl::integers<unsigned char>();
    msl::integers<short>();
    msl::integers<unsigned short>();
    msl::integers<int>();
    msl::integers<unsigned int>();
    msl::integers<long>();
    msl::integers<unsigned long>();
}
