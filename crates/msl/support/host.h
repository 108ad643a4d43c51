// What the common part needs from the host: attributes, arithmetic of half and bfloat, float functions, and the bound runtime.
#define MSL_HOST 1
// Without debug information of its own, an inlined function's accesses belong to the user's line.
#define MSL_FN inline __attribute__((always_inline, nodebug))
#define MSL_NOINLINE_FN inline
#define MSL_CONSTANT const
#define MSL_PLACE , const char *msl_file = __builtin_FILE(), unsigned msl_line = __builtin_LINE()
#define MSL_PLACE1 const char *msl_file = __builtin_FILE(), unsigned msl_line = __builtin_LINE()
#define MSL_PASS , msl_file, msl_line
#define MSL_UNROLL
#define MSL_UNPAREN(...) __VA_ARGS__
#define MSL_THREADGROUP_(type, name, dims, id)                                                        \
    typedef MSL_UNPAREN type msl_threadgroup_##name MSL_UNPAREN dims;                                 \
    msl_threadgroup_##name &name = *static_cast<msl_threadgroup_##name *>(                            \
        ::msl::impl::runtime->threadgroup_alloc(id, sizeof(msl_threadgroup_##name),                   \
                                                alignof(msl_threadgroup_##name) > 16 ? alignof(msl_threadgroup_##name) : 16, #name, __FILE__, __LINE__))
#define MSL_THREADGROUP(type, name, dims) MSL_THREADGROUP_(type, name, dims, __COUNTER__)

namespace msl {
namespace impl {

static_assert((char)-1 < 0, "char is signed in Metal: -fsigned-char");

inline const MslRuntime *runtime;

typedef unsigned short u16;
typedef unsigned int u32;

// Conversions of half by the processor: through builtins of older compilers, through the type that newer ones have instead.
#if defined(__F16C__) && __has_builtin(__builtin_ia32_vcvtph2ps) && __has_builtin(__builtin_ia32_vcvtps2ph)
#define MSL_HARDWARE_HALF 1
typedef float f32x4 __attribute__((vector_size(16)));
typedef short i16x8 __attribute__((vector_size(16)));
MSL_FN float h_to_float(u16 a) { return __builtin_ia32_vcvtph2ps(i16x8{(short)a, 0, 0, 0, 0, 0, 0, 0})[0]; }
MSL_FN u16 h_from_float(float a) { return (u16)__builtin_ia32_vcvtps2ph(f32x4{a, 0, 0, 0}, 0)[0]; }
#elif (defined(__F16C__) || defined(__aarch64__)) && defined(__FLT16_MANT_DIG__)
#define MSL_HARDWARE_HALF 1
MSL_FN float h_to_float(u16 a) { return (float)__builtin_bit_cast(_Float16, a); }
MSL_FN u16 h_from_float(float a) { return __builtin_bit_cast(u16, (_Float16)a); }
#endif

MSL_FN u32 lane() { return runtime->self()->thread_index_in_simdgroup; }

#define MSL_F1(name, call) \
    MSL_FN float f_##name(float x) { return call(x); } \
    MSL_FN float q_##name(float x) { return call(x); }
MSL_F1(acos, __builtin_acosf) MSL_F1(acosh, __builtin_acoshf) MSL_F1(asin, __builtin_asinf)
MSL_F1(asinh, __builtin_asinhf) MSL_F1(atan, __builtin_atanf) MSL_F1(atanh, __builtin_atanhf)
MSL_F1(ceil, __builtin_ceilf) MSL_F1(cos, __builtin_cosf) MSL_F1(cosh, __builtin_coshf) MSL_F1(exp, __builtin_expf)
MSL_F1(exp2, __builtin_exp2f) MSL_F1(fabs, __builtin_fabsf) MSL_F1(floor, __builtin_floorf) MSL_F1(log, __builtin_logf)
MSL_F1(log2, __builtin_log2f) MSL_F1(log10, __builtin_log10f) MSL_F1(rint, __builtin_rintf) MSL_F1(round, __builtin_roundf)
MSL_F1(sin, __builtin_sinf) MSL_F1(sinh, __builtin_sinhf) MSL_F1(sqrt, __builtin_sqrtf) MSL_F1(tan, __builtin_tanf)
MSL_F1(tanh, __builtin_tanhf) MSL_F1(trunc, __builtin_truncf)
MSL_FN float f_rsqrt(float x) { return (float)(1.0 / __builtin_sqrt((double)x)); }
MSL_FN float q_rsqrt(float x) { return f_rsqrt(x); }
MSL_FN float f_exp10(float x) { return (float)__builtin_pow(10.0, (double)x); }
MSL_FN float q_exp10(float x) { return f_exp10(x); }
MSL_FN float f_sinpi(float x) {
    float r = x - 2.0f * __builtin_rintf(0.5f * x);
    if (r == __builtin_rintf(r)) return __builtin_copysignf(0.0f, x);
    return (float)__builtin_sin(3.14159265358979323846 * (double)r);
}
MSL_FN float f_cospi(float x) {
    float r = __builtin_fabsf(x - 2.0f * __builtin_rintf(0.5f * x));
    if (r == 0.5f) return 0.0f;
    return (float)__builtin_cos(3.14159265358979323846 * (double)r);
}
MSL_FN float f_atan2(float y, float x) { return __builtin_atan2f(y, x); }
MSL_FN float f_fmod(float x, float y) { return __builtin_fmodf(x, y); }
MSL_FN float f_fmin(float x, float y) { return __builtin_fminf(x, y); }
MSL_FN float f_fmax(float x, float y) { return __builtin_fmaxf(x, y); }
MSL_FN float f_fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
MSL_FN float f_pow(float x, float y) { return __builtin_powf(x, y); }
MSL_FN float q_pow(float x, float y) { return __builtin_powf(x, y); }
MSL_FN float f_divide(float x, float y) { return x / y; }
MSL_FN float q_divide(float x, float y) { return x / y; }
MSL_FN float f_copysign(float x, float y) { return __builtin_copysignf(x, y); }
MSL_FN float f_nextafter(float x, float y) { return __builtin_nextafterf(x, y); }
MSL_FN float f_ldexp(float x, int k) { return __builtin_ldexpf(x, k); }
MSL_FN float f_frexp(float x, int &e) { return __builtin_frexpf(x, &e); }
MSL_FN int f_ilogb(float x) { return __builtin_ilogbf(x); }
MSL_FN float f_remainder(float x, float y) { return __builtin_remainderf(x, y); }

MSL_FN int clz32(u32 x) { return x ? __builtin_clz(x) : 32; }
MSL_FN int clz64(unsigned long long x) { return x ? __builtin_clzll(x) : 64; }
MSL_FN int ctz32(u32 x) { return x ? __builtin_ctz(x) : 32; }
MSL_FN int ctz64(unsigned long long x) { return x ? __builtin_ctzll(x) : 64; }
MSL_FN int popcount32(u32 x) { return __builtin_popcount(x); }
MSL_FN int popcount64(unsigned long long x) { return __builtin_popcountll(x); }
MSL_FN u32 reverse32(u32 x) { return __builtin_bitreverse32(x); }
MSL_FN unsigned long long reverse64(unsigned long long x) { return __builtin_bitreverse64(x); }
MSL_FN long long mulhi64(long long a, long long b) { return (long long)(((__int128)a * b) >> 64); }
MSL_FN unsigned long long umulhi64(unsigned long long a, unsigned long long b) {
    return (unsigned long long)(((unsigned __int128)a * b) >> 64);
}

} // namespace impl
} // namespace msl

extern "C" __attribute__((visibility("default"), used)) inline void msl_bind(const MslRuntime *runtime) {
    msl::impl::runtime = runtime;
}
