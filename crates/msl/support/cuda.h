// What the common part needs from CUDA: attributes, arithmetic of half and bfloat in PTX, float functions, and places in the grid.
// No header is needed: NVRTC declares the float functions and the intrinsics itself.
#define MSL_CUDA 1
#define MSL_FN __device__ __forceinline__
#define MSL_NOINLINE_FN __device__
#define MSL_CONSTANT __constant__ const
#define MSL_PLACE
#define MSL_PLACE1 void
#define MSL_PASS
#define MSL_UNROLL _Pragma("unroll")
#define MSL_UNPAREN(...) __VA_ARGS__
#define MSL_THREADGROUP(type, name, dims) __shared__ __align__(16) MSL_UNPAREN type name MSL_UNPAREN dims
#define MSL_DYNAMIC_THREADGROUP(T, offset) (reinterpret_cast<T *>(::msl::impl::dynamic_threadgroup() + (offset)))

// First statement of every entry's wrapper. A device that begins a launch before the one ahead of it ends defines this as the wait.
#ifndef MSL_ENTRY_BEGIN
#define MSL_ENTRY_BEGIN
#endif

namespace msl {
namespace impl {

MSL_FN unsigned char *dynamic_threadgroup() {
    extern __shared__ __align__(16) unsigned char msl_dynamic_threadgroup[];
    return msl_dynamic_threadgroup;
}

typedef unsigned short u16;
typedef unsigned int u32;

#define MSL_F16_BINARY(name, instruction)                                                  \
    MSL_FN u16 name(u16 a, u16 b) {                                                        \
        u16 r;                                                                             \
        asm(instruction " %0, %1, %2;" : "=h"(r) : "h"(a), "h"(b));                        \
        return r;                                                                          \
    }
#define MSL_F16X2_BINARY(name, instruction)                                                \
    MSL_FN u32 name(u32 a, u32 b) {                                                        \
        u32 r;                                                                             \
        asm(instruction " %0, %1, %2;" : "=r"(r) : "r"(a), "r"(b));                        \
        return r;                                                                          \
    }
MSL_F16_BINARY(h_add, "add.f16")
MSL_F16_BINARY(h_sub, "sub.f16")
MSL_F16_BINARY(h_mul, "mul.f16")
MSL_F16_BINARY(h_min, "min.f16")
MSL_F16_BINARY(h_max, "max.f16")
MSL_F16X2_BINARY(h2_add, "add.f16x2")
MSL_F16X2_BINARY(h2_sub, "sub.f16x2")
MSL_F16X2_BINARY(h2_mul, "mul.f16x2")
MSL_F16X2_BINARY(h2_min, "min.f16x2")
MSL_F16X2_BINARY(h2_max, "max.f16x2")

MSL_FN u16 h_fma(u16 a, u16 b, u16 c) {
    u16 r;
    asm("fma.rn.f16 %0, %1, %2, %3;" : "=h"(r) : "h"(a), "h"(b), "h"(c));
    return r;
}
MSL_FN u32 h2_fma(u32 a, u32 b, u32 c) {
    u32 r;
    asm("fma.rn.f16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}
MSL_FN float h_to_float(u16 a) {
    float r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(a));
    return r;
}
MSL_FN u16 h_from_float(float a) {
    u16 r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r) : "f"(a));
    return r;
}
MSL_FN u32 h2_from_float(float low, float high) {
    u32 r;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
MSL_FN u16 b_from_float(float a) {
    u16 r;
    asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(r) : "f"(a));
    return r;
}
MSL_FN u32 b2_from_float(float low, float high) {
    u32 r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}
MSL_FN float b_to_float(u16 a) { return __uint_as_float((u32)a << 16); }
MSL_FN u16 b_fma(u16 a, u16 b, u16 c) {
    u16 r;
    asm("fma.rn.bf16 %0, %1, %2, %3;" : "=h"(r) : "h"(a), "h"(b), "h"(c));
    return r;
}
MSL_FN u32 b2_fma(u32 a, u32 b, u32 c) {
    u32 r;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(r) : "r"(a), "r"(b), "r"(c));
    return r;
}
MSL_F16_BINARY(b_min, "min.bf16")
MSL_F16_BINARY(b_max, "max.bf16")
MSL_F16X2_BINARY(b2_min, "min.bf16x2")
MSL_F16X2_BINARY(b2_max, "max.bf16x2")
#if __CUDA_ARCH__ >= 900
MSL_F16_BINARY(b_add, "add.bf16")
MSL_F16_BINARY(b_sub, "sub.bf16")
MSL_F16_BINARY(b_mul, "mul.bf16")
MSL_F16X2_BINARY(b2_add, "add.bf16x2")
MSL_F16X2_BINARY(b2_sub, "sub.bf16x2")
MSL_F16X2_BINARY(b2_mul, "mul.bf16x2")
#else
// One and minus zero make the fused multiply-add an exact sum or product.
MSL_FN u16 b_add(u16 a, u16 b) { return b_fma(a, 0x3f80, b); }
MSL_FN u16 b_sub(u16 a, u16 b) { return b_fma(b, 0xbf80, a); }
MSL_FN u16 b_mul(u16 a, u16 b) { return b_fma(a, b, 0x8000); }
MSL_FN u32 b2_add(u32 a, u32 b) { return b2_fma(a, 0x3f803f80, b); }
MSL_FN u32 b2_sub(u32 a, u32 b) { return b2_fma(b, 0xbf80bf80, a); }
MSL_FN u32 b2_mul(u32 a, u32 b) { return b2_fma(a, b, 0x80008000); }
#endif
MSL_FN float divide(float a, float b) { return __fdividef(a, b); }

// A device that launches only threadgroups along x says so by MSL_THREADS_1D: then indices cost nothing. What is known of their range
// lets the compiler fold constants that are added to them into addresses.
#ifdef MSL_THREADS_1D
MSL_FN u32 physical_lane() { return threadIdx.x & 31; }
MSL_FN u32 physical_thread() { return threadIdx.x; }
#else
MSL_FN u32 physical_lane() {
    u32 r;
    asm("mov.u32 %0, %%laneid;" : "=r"(r));
    __builtin_assume(r < 32);
    return r;
}
MSL_FN u32 physical_thread() {
    u32 i = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
    __builtin_assume(i < 1024);
    return i;
}
#endif
// A kernel that looks at the elements of simdgroup matrices has its lanes renamed, so that Metal's layout of a matrix is the tensor
// core's: the bits of a lane 4 3 2 1 0 are those of the hardware's lane 4 1 3 2 0. All that names a lane goes through these two.
#ifdef MSL_USES_THREAD_ELEMENTS
MSL_FN u32 to_logical(u32 m) { return (m & 17) | (m & 2) << 2 | (m & 12) >> 1; }
MSL_FN u32 to_physical(u32 l) { return (l & 17) | (l & 8) >> 2 | (l & 6) << 1; }
MSL_FN u32 lanes_to_logical(u32 mask) {
    // Swaps bits 1 and 3, then 1 and 2, of every index into the mask.
    u32 t = (mask ^ mask >> 6) & 0x00cc00ccu;
    mask ^= t ^ t << 6;
    t = (mask ^ mask >> 2) & 0x0c0c0c0cu;
    return mask ^ t ^ t << 2;
}
#else
MSL_FN u32 to_logical(u32 m) { return m; }
MSL_FN u32 to_physical(u32 l) { return l; }
MSL_FN u32 lanes_to_logical(u32 mask) { return mask; }
#endif
MSL_FN u32 lane() { return to_logical(physical_lane()); }
MSL_FN u32 thread_index() {
    u32 i = physical_thread();
    return (i & ~31u) | to_logical(i & 31);
}
MSL_FN u32 threads() { return blockDim.x * blockDim.y * blockDim.z; }

// The lanes that take part in a SIMD function. Kernels whose SIMD functions all stand in uniform flow may define
// MSL_SIMD_CONVERGED: then the masks are constants, as in hand-written code.
MSL_FN u32 active() {
#ifdef MSL_SIMD_CONVERGED
    return 0xffffffffu;
#else
    return __activemask();
#endif
}

// Float functions: f_ is the accurate form, q_ the quick one that Metal's default mode allows.
#define MSL_F1(name, call) \
    MSL_FN float f_##name(float x) { return ::call(x); }
MSL_F1(acos, acosf) MSL_F1(acosh, acoshf) MSL_F1(asin, asinf) MSL_F1(asinh, asinhf) MSL_F1(atan, atanf)
MSL_F1(atanh, atanhf) MSL_F1(ceil, ceilf) MSL_F1(cos, cosf) MSL_F1(cosh, coshf) MSL_F1(cospi, cospif)
MSL_F1(exp, expf) MSL_F1(exp2, exp2f) MSL_F1(exp10, exp10f) MSL_F1(fabs, fabsf) MSL_F1(floor, floorf)
MSL_F1(log, logf) MSL_F1(log2, log2f) MSL_F1(log10, log10f) MSL_F1(rint, rintf) MSL_F1(round, roundf)
MSL_F1(sin, sinf) MSL_F1(sinh, sinhf) MSL_F1(sinpi, sinpif) MSL_F1(sqrt, __fsqrt_rn) MSL_F1(tan, tanf)
MSL_F1(tanh, tanhf) MSL_F1(trunc, truncf)
MSL_FN float f_rsqrt(float x) { return __frsqrt_rn(x); }
MSL_FN float f_atan2(float y, float x) { return ::atan2f(y, x); }
MSL_FN float f_fmod(float x, float y) { return ::fmodf(x, y); }
MSL_FN float f_fmin(float x, float y) { return ::fminf(x, y); }
MSL_FN float f_fmax(float x, float y) { return ::fmaxf(x, y); }
MSL_FN float f_fma(float a, float b, float c) { return ::fmaf(a, b, c); }
MSL_FN float f_pow(float x, float y) { return ::powf(x, y); }
MSL_FN float f_divide(float x, float y) { return __fdiv_rn(x, y); }
MSL_FN float f_copysign(float x, float y) { return ::copysignf(x, y); }
MSL_FN float f_nextafter(float x, float y) { return ::nextafterf(x, y); }
MSL_FN float f_ldexp(float x, int k) { return ::ldexpf(x, k); }
MSL_FN float f_frexp(float x, int &e) { return ::frexpf(x, &e); }
MSL_FN int f_ilogb(float x) { return ::ilogbf(x); }
MSL_FN float f_remainder(float x, float y) { return ::remainderf(x, y); }

MSL_FN float q_exp2(float x) {
    float r;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
MSL_FN float q_log2(float x) {
    float r;
    asm("lg2.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
MSL_FN float q_exp(float x) { return q_exp2(x * 1.44269504f); }
MSL_FN float q_exp10(float x) { return q_exp2(x * 3.32192809f); }
MSL_FN float q_log(float x) { return q_log2(x) * 0.693147181f; }
MSL_FN float q_log10(float x) { return q_log2(x) * 0.301029996f; }
MSL_FN float q_rsqrt(float x) {
    float r;
    asm("rsqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
MSL_FN float q_sqrt(float x) {
    float r;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(r) : "f"(x));
    return r;
}
MSL_FN float q_divide(float x, float y) { return __fdividef(x, y); }
// The hardware's sine is good within one turn only.
MSL_FN float turn(float x) {
    float n = ::rintf(x * 0.159154943f);
    return ::fmaf(-n, -1.74845553e-7f, ::fmaf(-n, 6.28318548f, x));
}
MSL_FN float q_sin(float x) { return __sinf(turn(x)); }
MSL_FN float q_cos(float x) { return __cosf(turn(x)); }
MSL_FN float q_tan(float x) {
    float t = turn(x);
    return __fdividef(__sinf(t), __cosf(t));
}
MSL_FN float q_pow(float x, float y) {
    float r = q_exp2(y * q_log2(::fabsf(x)));
    if (x < 0.0f) {
        float whole = ::truncf(y);
        if (whole != y) return __uint_as_float(0x7fc00000u);
        return whole * 0.5f != ::truncf(whole * 0.5f) ? -r : r;
    }
    return y == 0.0f ? 1.0f : r;
}

MSL_FN int clz32(u32 x) { return __clz((int)x); }
MSL_FN int clz64(unsigned long long x) { return __clzll((long long)x); }
MSL_FN int ctz32(u32 x) { return x ? __ffs((int)x) - 1 : 32; }
MSL_FN int ctz64(unsigned long long x) { return x ? __ffsll((long long)x) - 1 : 64; }
MSL_FN int popcount32(u32 x) { return __popc(x); }
MSL_FN int popcount64(unsigned long long x) { return __popcll(x); }
MSL_FN u32 reverse32(u32 x) { return __brev(x); }
MSL_FN unsigned long long reverse64(unsigned long long x) { return __brevll(x); }
MSL_FN long long mulhi64(long long a, long long b) { return __mul64hi(a, b); }
MSL_FN unsigned long long umulhi64(unsigned long long a, unsigned long long b) { return __umul64hi(a, b); }

} // namespace impl
} // namespace msl
