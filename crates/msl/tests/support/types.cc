#define MSL_SWIZZLES2(X) X(xy, 0, 1) X(yz, 1, 2) X(zw, 2, 3) X(wz, 3, 2) X(yx, 1, 0) X(xz, 0, 2) X(xx, 0, 0) X(rg, 0, 1)
#define MSL_SWIZZLES3(X) X(xyz, 0, 1, 2) X(yzw, 1, 2, 3) X(wyz, 3, 1, 2) X(bgr, 2, 1, 0) X(xyw, 0, 1, 3)
#define MSL_SWIZZLES4(X) X(xyzw, 0, 1, 2, 3) X(wzyx, 3, 2, 1, 0) X(xxyy, 0, 0, 1, 1)
//!support
#include "harness.h"

namespace msl {
using namespace metal;

static_assert(sizeof(bool) == 1 && sizeof(half) == 2 && sizeof(bfloat) == 2 && sizeof(long) == 8 && sizeof(size_t) == 8);
static_assert(sizeof(float3) == 16 && alignof(float3) == 16 && sizeof(half3) == 8 && sizeof(bool3) == 4 && sizeof(char3) == 4);
static_assert(sizeof(packed_float3) == 12 && alignof(packed_float3) == 4 && sizeof(packed_half3) == 6 && sizeof(packed_uchar3) == 3);
static_assert(sizeof(ulong3) == 32 && sizeof(ulong2) == 16 && alignof(ulong4) == 32 && sizeof(uchar2) == 2);
static_assert(sizeof(float2x2) == 16 && sizeof(float3x3) == 48 && sizeof(float4x3) == 64 && sizeof(half2x3) == 16 && alignof(half3x4) == 8);
static_assert(__is_trivially_copyable(half4) && __is_trivially_copyable(packed_float3) && __is_trivially_copyable(float4x4));
static_assert(__is_trivially_constructible(half) && __is_trivially_constructible(float3) && __is_trivially_constructible(simdgroup_float8x8));
static_assert(sizeof(atomic_uint) == 4 && sizeof(atomic_bool) == 4 && sizeof(atomic_ulong) == 8);
struct Block {
    half d;
    uchar qs[16];
    packed_short2 m;
    float3 v;
};
static_assert(__builtin_offsetof(Block, m) == 18 && __builtin_offsetof(Block, v) == 32 && sizeof(Block) == 48);
static_assert(numeric_limits<half>::max() == 65504.0f && numeric_limits<char>::min() == -128 && numeric_limits<ulong>::max() == ~0ul);
static_assert((float)half(1.0f / 3) == 0.333251953125f && (float)bfloat(1.0f / 3) == 0.333984375f);
static_assert(is_same_v<decltype(half() * 1.0f), float> && is_same_v<decltype(half() * 2), half> && is_same_v<decltype(bfloat() + bfloat()), bfloat>);
static_assert(is_same_v<decltype(half2() * half()), half2> && is_same_v<decltype(float2() < 1.0f), bool2>);

#if __LDBL_MANT_DIG__ == 113
typedef long double Wide;
#else
typedef __float128 Wide;
#endif

// Rounds to `digits` binary digits, ties to even, with denormals below 2^low, by definition.
static double rounded(Wide x, int digits, int low, double largest) {
    if (x == 0 || x != x) return (double)x;
    Wide a = x < 0 ? -x : x;
    int e = 0;
    for (Wide t = a; t >= 2; t /= 2) ++e;
    for (Wide t = a; t < 1; t *= 2) --e;
    if (e < low) e = low;
    Wide unit = 1;
    for (int i = 0; i < e - (digits - 1); ++i) unit *= 2;
    for (int i = 0; i > e - (digits - 1); --i) unit /= 2;
    Wide n = a / unit;
    unsigned long whole = (unsigned long)n;
    Wide rest = n - whole;
    if (rest > 0.5 || (rest == 0.5 && (whole & 1))) ++whole;
    Wide r = unit * whole;
    double d = r > largest ? (double)INFINITY : (double)r;
    return x < 0 ? -d : d;
}
static double to_half(Wide x) { return rounded(x, 11, -14, 65504.0); }
static double to_bfloat(Wide x) { return rounded(x, 8, -126, 3.3895313892515355e38); }

static double value_of(unsigned bits, int exponent_bits, int mantissa_bits) {
    int bias = (1 << (exponent_bits - 1)) - 1, e = bits >> mantissa_bits & ((1 << exponent_bits) - 1);
    double m = bits & ((1 << mantissa_bits) - 1), sign = bits >> 15 ? -1 : 1;
    if (e == (1 << exponent_bits) - 1) return m != 0 ? (double)NAN : sign * (double)INFINITY;
    return e ? sign * ::ldexp(m + (1 << mantissa_bits), e - bias - mantissa_bits) : sign * ::ldexp(m, 1 - bias - mantissa_bits);
}
static bool same(double a, double b) { return a != a ? b != b : a == b && (1 / a == 1 / b); }

static unsigned seed = 1;
static unsigned next() {
    seed = seed * 1664525u + 1013904223u;
    return seed ^ seed >> 15;
}

template <class T> static void conversions(int exponent_bits, int mantissa_bits, double (*round)(Wide)) {
    for (unsigned bits = 0; bits < 65536; ++bits) {
        T h = T::of_bits((ushort)bits);
        double want = value_of(bits, exponent_bits, mantissa_bits);
        if (!same((float)h, want)) failed(__FILE__, __LINE__, "to float", (float)h, want);
        T back = T((float)h);
        if (want == want) EQUAL(back.bits, bits);
        else CHECK(isnan(back));
        // The value, the middle to its neighbour, and the floats around both.
        if (want != want) continue;
        double other = value_of(bits + 1, exponent_bits, mantissa_bits);
        const float around[2] = {(float)want, (float)((want + other) / 2)};
        for (float f : around) {
            for (int step = -1; step <= 1; ++step) {
                float g = as_type<float>(as_type<uint>(f) + (f != 0 ? step : 0));
                if (g != g || (other != other) || g - g != 0) continue;
                double rounded_value = round((Wide)g);
                if ((float)T(g) != (float)rounded_value) failed(__FILE__, __LINE__, "from float", (float)T(g), rounded_value);
                ushort software = sizeof(T) && mantissa_bits == 10 ? impl::soft_half_from_float(g) : impl::soft_bfloat_from_float(g);
                EQUAL(T(g).bits, software);
            }
        }
    }
    for (int i = 0; i < 40000; ++i) {
        T a = T::of_bits((ushort)next()), b = T::of_bits((ushort)next()), c = T::of_bits((ushort)(next() >> 7));
        double x = (float)a, y = (float)b, z = (float)c;
        if (x - x != 0 || y - y != 0 || z - z != 0) continue;
        EQUAL((double)(float)(a + b), round((Wide)x + y));
        EQUAL((double)(float)(a - b), round((Wide)x - y));
        EQUAL((double)(float)(a * b), round((Wide)x * y));
        if (y != 0) EQUAL((double)(float)(a / b), round((Wide)x / y));
        // The sum has to be exact in the 113 bits of the oracle.
        double ratio = x * y == 0 || z == 0 ? 1 : ::fabs(x * y / z);
        if (ratio < 1e24 && ratio > 1e-24) EQUAL((double)(float)fma(a, b, c), round((Wide)x * y + z));
        EQUAL(a < b, x < y);
        EQUAL((float)max(a, b), (float)(x > y ? x : y));
    }
    for (int i = -70000; i < 70000; i += 7) EQUAL((double)(float)T(i), round(i));
}

static void vectors() {
    float4 a(1, 2, 3, 4);
    const float4 b(5, 6, 7, 8);
    a.xy = b.xy;
    CHECK(all(a == float4(5, 6, 3, 4)));
    a.zw = b.zw;
    CHECK(all(a == b));
    a = float4(1, 2, 3, 4);
    a.yz = b.yz;
    CHECK(all(a == float4(1, 6, 7, 4)));
    a.yzw = b.yzw;
    CHECK(all(a == float4(1, 6, 7, 8)));
    a = float4(1, 2, 3, 4);
    a.xyz = b.xyz;
    CHECK(all(a == float4(5, 6, 7, 4)));
    a = float4(1, 2, 3, 4);
    float4 c = b;
    a.xz = c.xz;
    CHECK(all(a == float4(5, 2, 7, 4)));
    a.xyw = c.xyw;
    CHECK(all(a == float4(5, 6, 7, 8)));
    a = float4(1, 2, 3, 4);
    a.xz = b.xz.get();
    CHECK(all(a == float4(5, 2, 7, 4)));
}

static void swizzles() {
    float4 a(1, 2, 3, 4);
    const float4 b(5, 6, 7, 8);
    a.yx = a.xy;
    CHECK(all(a == float4(2, 1, 3, 4)));
    a.wzyx = a;
    CHECK(all(a == float4(4, 3, 1, 2)));
    a.wyz += b.xyz * 2;
    CHECK(all(a == float4(4, 15, 15, 12)));
    a.xy *= 2;
    a.zw -= float2(1, 2);
    CHECK(all(a == float4(8, 30, 14, 10)));
    a.xyzw = b.xxyy;
    CHECK(all(a == float4(5, 5, 6, 6)));
    CHECK(all(-b.xx + b.zw == float2(2, 3)) && all(2.0f * b.yx == float2(12, 10)) && b.bgr[0] == 7 && (b.xyz[1]) == 6);
    CHECK(dot(b.xy, b.yz) == 72 && all(max(b.xy, b.wz) == float2(8, 7)) && length(b.xx) > 7);
    half4 h(1, 2, 3, 4);
    h.xy = half2(b.zw);
    CHECK(all(h == half4(7, 8, 3, 4)));
    float3 d(b.xy, 1), e(1, b.xy);
    CHECK(all(d == float3(5, 6, 1)) && all(e == float3(1, 5, 6)) && all(float4(d.xy, 0, 1) == float4(5, 6, 0, 1)));
    CHECK(all(float4(0, b.yz, 1) == float4(0, 6, 7, 1)) && all(float4(b.xy, b.zw) == b) && all(float4(1, d) == float4(1, 5, 6, 1)));
    packed_float3 p = d;
    p += 1.0f;
    p.x = 9;
    d = p * 2;
    CHECK(all(d == float3(18, 14, 4)) && p[2] == 2 && all(p.yx == float2(7, 9)));
    p.xy = b.zw;
    CHECK(p[0] == 7 && p[1] == 8 && p[2] == 2);
    struct { float xy; int rg; } mine = {3, 4};
    CHECK(mine.xy == 3 && mine.rg == 4);
    int4 i = int4(7, -7, 8, 9) % 4 + (int4(1) << 2) - (int4(9) & 1);
    CHECK(all(i == int4(6, 0, 3, 4)));
    uchar4 u = uchar4(250) + uchar4(10);
    CHECK(u.x == 4 && all(char4(-1) == char4(uchar4(255))));
    int n = 3;
    short4 narrowed = {n, 1, n + 1, -1};
    half2 pair = {n, 0.5f};
    CHECK(all(narrowed == short4(3, 1, 4, -1)) && all(float3{n, 1u, 2.5f} == float3(3, 1, 2.5f)) && all(pair == half2(3, 0.5f)));
    bool3 m = float3(1, 2, 3) > 1.5f && !bool3(false, false, true);
    CHECK(!m.x && m.y && !m.z && any(m) && !all(m));
    i++;
    --i.xy;
    CHECK(all(i == int4(6, 0, 4, 5)));
    a = 3;
    a[2] = 4;
    CHECK(all(a == float4(3, 3, 4, 3)) && all(select(a, b, a > 3) == float4(3, 3, 7, 3)));
    half s = 2;
    s += 0.5f;
    s *= s;
    CHECK(s == 6.25f && s > 6 && (s ? true : false) && int(s) == 6 && -s < 0 && half2(s, 1).x == s);
    float4x4 x(1.0f), y = x * 2.0f;
    y[3] = float4(1, 2, 3, 4);
    CHECK(all(y * float4(1) == float4(3, 4, 5, 4)) && all(float4(1) * y == float4(2, 2, 2, 10)) && determinant(y) == 32);
    float2x3 t(1, 2, 3, 4, 5, 6);
    CHECK(transpose(t)[2][1] == 6 && all((t * transpose(t))[1] == float3(22, 29, 36)) && half2x3(t)[1][2] == 6);
    float3x3 r(float3(2, 0, 1), float3(1, 3, 2), float3(1, 1, 4));
    EQUAL(determinant(r), 2 * (3 * 4 - 1 * 2) - 1 * (0 * 4 - 1 * 1) + 1 * (0 * 2 - 3 * 1));
    float4x4 z(float4(1, 2, 3, 4), float4(0, 1, 5, 2), float4(3, 0, 1, 1), float4(2, 2, 0, 1));
    EQUAL(determinant(z), -70);
    CHECK(as_type<uint>(1.0f) == 0x3f800000 && all(as_type<ushort2>(0x3c004000u) == ushort2(0x4000, 0x3c00)) && as_type<half2>(0x3c004000u).x == 2);
    array<int, 3> list = {1, 2, 3};
    CHECK(list.size() == 3 && list[1] == 2);
}

static void packing() {
    const uint words[] = {0u, 0x80ff7f01u, 0xffffffffu, 0x12345678u};
    for (uint w : words) {
        float4 u = unpack_unorm4x8_to_float(w), s = unpack_snorm4x8_to_float(w);
        float2 u2 = unpack_unorm2x16_to_float(w), s2 = unpack_snorm2x16_to_float(w);
        for (int i = 0; i < 4; ++i) {
            int b = (int)(w >> 8 * i & 255), sb = b > 127 ? b - 256 : b;
            EQUAL(u[i], (float)(b / 255.0));
            EQUAL(s[i], (float)(sb < -127 ? -1.0 : sb / 127.0));
        }
        for (int i = 0; i < 2; ++i) {
            int b = (int)(w >> 16 * i & 65535), sb = b > 32767 ? b - 65536 : b;
            EQUAL(u2[i], (float)(b / 65535.0));
            EQUAL(s2[i], (float)(sb < -32767 ? -1.0 : sb / 32767.0));
        }
        EQUAL(pack_float_to_unorm4x8(u), w);
        EQUAL(pack_float_to_unorm2x16(u2), w);
        EQUAL(pack_half_to_unorm4x8(unpack_unorm4x8_to_half(w)), w);
        EQUAL(pack_float_to_srgb_unorm4x8(unpack_unorm4x8_srgb_to_float(w)), w);
        EQUAL(pack_float_to_unorm10a2(unpack_unorm10a2_to_float(w)), w);
        EQUAL(pack_float_to_unorm565(unpack_unorm565_to_float((ushort)w)), (ushort)w);
    }
    EQUAL(pack_float_to_snorm4x8(float4(-1, 1, 0.5f, -2)), 0x81407f81u);
    EQUAL(pack_float_to_unorm4x8(float4(-1, 2, 0.5f, 1)), 0xff80ff00u);
}

} // namespace msl

void run_tests() {
    msl::conversions<msl::half>(5, 10, msl::to_half);
    msl::conversions<msl::bfloat>(8, 7, msl::to_bfloat);
    msl::vectors();
    msl::swizzles();
    msl::packing();
}
