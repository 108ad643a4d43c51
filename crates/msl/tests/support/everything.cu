#define MSL_SWIZZLES2(X) X(xy, 0, 1) X(zw, 2, 3) X(yz, 1, 2) X(wx, 3, 0)
#define MSL_SWIZZLES3(X) X(xyz, 0, 1, 2) X(yzw, 1, 2, 3)
#define MSL_SWIZZLES4(X) X(wzyx, 3, 2, 1, 0)
//!support
namespace msl {
using namespace metal;

template <class T> MSL_FN T functions(T x, T y) {
    T r = acos(x) + acosh(x) + asin(x) + asinh(x) + atan(x) + atanh(x) + ceil(x) + cos(x) + cosh(x) + cospi(x) + exp(x) + exp2(x);
    r += exp10(x) + fabs(x) + floor(x) + fract(x) + log(x) + log2(x) + log10(x) + rint(x) + round(x) + rsqrt(x) + sin(x) + sinh(x) + sinpi(x);
    r += sqrt(x) + tan(x) + tanh(x) + tanpi(x) + trunc(x) + atan2(x, y) + copysign(x, y) + divide(x, y) + fdim(x, y) + fma(x, y, r) + fmod(x, y);
    r += pow(x, y) + powr(x, y) + fmin(x, y) + fmax(x, y) + min3(x, y, r) + max3(x, y, r) + median3(x, y, r) + ldexp(x, 2) + mix(x, y, r);
    r += nextafter(x, y) + clamp(x, y, r) + saturate(x) + sign(x) + smoothstep(x, y, r) + step(x, y) + select(x, y, isnan(x) || isinf(y));
    r += precise::exp(x) + precise::sin(x) + precise::rsqrt(x) + precise::divide(x, y) + precise::pow(x, y) + fast::tanh(x) + fast::log(x);
    T c;
    r += sincos(x, c);
    return r + c;
}
template <class T> MSL_FN T integers(T a, T b, T c) {
    return clz(a) + ctz(b) + popcount(c) + reverse_bits(a) + rotate(a, b) + addsat(a, b) + subsat(a, b) + absdiff(a, b) + hadd(a, b) + rhadd(b, c) +
           mulhi(a, b) + madhi(a, b, c) + madsat(a, b, c) + extract_bits(a, 3, 4) + insert_bits(a, b, 2, 3) + abs(a) + min(a, b) + max3(a, b, c);
}
template <class T> MSL_FN T lanes(T v, ushort by) {
    T r = simd_sum(v) + simd_product(v) + simd_min(v) + simd_max(v) + simd_prefix_inclusive_sum(v) + simd_prefix_exclusive_product(v);
    r += quad_sum(v) + quad_max(v) + quad_prefix_exclusive_sum(v) + simd_shuffle(v, by) + simd_shuffle_xor(v, by) + simd_shuffle_up(v, by);
    r += simd_shuffle_down(v, by) + simd_shuffle_rotate_up(v, by) + simd_shuffle_rotate_down(v, by) + simd_shuffle_and_fill_up(v, v, by);
    r += simd_shuffle_and_fill_down(v, v, by, 8) + simd_broadcast(v, by) + simd_broadcast_first(v) + quad_shuffle(v, by) + quad_shuffle_xor(v, by);
    return r + quad_broadcast(v, by) + quad_broadcast_first(v) + quad_shuffle_up(v, by) + quad_shuffle_down(v, by) + quad_shuffle_rotate_up(v, by);
}

// Accurate sines keep a table in local memory; nothing else may.
extern "C" __global__ void math(float *f, half2 *h) {
    uint i = MSL_TID(0);
    f[i] = functions(f[i], f[i + 32]);
    h[i] = functions(h[i], h[i + 32]);
}
extern "C" __global__ void geometry(float4 *f, half4 *h, bfloat2 *b) {
    uint i = MSL_TID(0);
    b[i] = exp(b[i]) + max(b[i], b[i + 32]) + fma(b[i], b[i], b[i]);
    f[i].xyz = cross(f[i].xyz, f[i].yzw) + normalize(f[i].xyz) + reflect(f[i].xyz, f[i].yzw) + refract(f[i].xyz, f[i].yzw, 0.5f);
    f[i].w = length(f[i].xy) + distance(f[i].xy, f[i].zw) + dot(h[i], h[i]) + float(i);
    int e;
    float whole;
    f[i].x += modf(f[i].y, whole) + whole + frexp(f[i].z, e) + e + ilogb(f[i].w);
}
extern "C" __global__ void whole_numbers(int2 *a, uchar2 *b, short *c, ulong *d, long *e) {
    uint i = MSL_TID(0);
    a[i] = integers(a[i], a[i + 1], a[i + 2]);
    b[i] = integers(b[i], b[i + 1], b[i + 2]);
    c[i] = integers(c[i], c[i + 1], c[i + 2]);
    d[i] = integers(d[i], d[i + 1], d[i + 2]);
    e[i] = integers(e[i], e[i + 1], e[i + 2]) + mad24(a[i].x, a[i].y, 3) + mul24(uint(i), uint(e[0]));
}
extern "C" __global__ void together(float2 *f, half2 *h, int *n, ulong *l, uchar *u) {
    uint i = MSL_TID(0), lane = MSL_LANE(0);
    f[i] = lanes(f[i], (ushort)lane);
    h[i] = lanes(h[i], 2);
    n[i] = lanes(n[i], 1) + simd_and(n[i]) + simd_or(n[i]) + simd_xor(n[i]) + quad_xor(n[i]);
    l[i] = lanes(l[i], 3) + (ulong)simd_ballot(l[i] & 1) + (ulong)simd_active_threads_mask() + simd_vote(l[i]).all();
    u[i] = simd_shuffle(u[i], 5) + simd_all(u[i] > 3) + simd_any(u[i] > 4) + simd_is_first() + quad_all(u[i] > 3) + quad_any(u[i] > 5) + quad_is_first();
    uint3 p = MSL_THREAD_POS(0) + MSL_GROUP_POS(0) + MSL_GROUP_SIZE(0) + MSL_GRID_GROUPS(0) + MSL_GRID_POS(0) + MSL_GRID_SIZE(0);
    n[i] += p.x + p.y + p.z + MSL_THREADS(0) + MSL_SIMDGROUP(0) + MSL_SIMDGROUPS(0) + simd_is_helper_thread();
}
extern "C" __global__ void memory(atomic_int *a, atomic_uint *b, atomic_float *c, atomic_bool *d, atomic_ulong *e, int *out) {
    MSL_THREADGROUP((vec<int, 2>), tile, ([4][8]));
    MSL_THREADGROUP((atomic_uint), count, ());
    const memory_order o = memory_order_relaxed;
    uint expected = 1, i = MSL_TID(0);
    float was = 2;
    tile[i / 8][i % 8] = MSL_DYNAMIC_THREADGROUP(int2, 16)[i];
    atomic_store_explicit(&count, 0u, o);
    threadgroup_barrier(mem_flags::mem_threadgroup | mem_flags::mem_device);
    simdgroup_barrier(mem_flags::mem_none);
    out[i] = atomic_fetch_add_explicit(a, 1, o) + atomic_fetch_min_explicit(a, -1, o) + atomic_exchange_explicit(b, 2u, o) + atomic_load_explicit(d, o);
    out[i] += atomic_compare_exchange_weak_explicit(b, &expected, 3u, o, o) + atomic_compare_exchange_weak_explicit(c, &was, 3.0f, o, o);
    out[i] += atomic_fetch_sub_explicit(c, 1.0f, o) + atomic_fetch_xor_explicit(&count, 3u, o) + tile[i % 4][i / 4].y;
    atomic_store_explicit(d, true, o);
    atomic_max_explicit(e, 5ul, o);
    atomic_thread_fence(mem_flags::mem_device, memory_order_seq_cst, thread_scope_device);
}
extern "C" __global__ void matrices(float4x4 *m, half4x4 *h, packed_float3 *p, uint *u, float3x2 *s) {
    m[0] = m[1] * m[2] + transpose(m[3]) * 2.0f - float4x4(h[0]);
    m[0][1].wzyx += m[4] * float4(p[0], 1) + float4(1) * m[5];
    m[0][2].yz = m[0][1].wx;
    p[1] = p[2] * 2.0f + m[0][0].xyz;
    s[0] = s[1] * float3x3(2.0f);
    u[0] = pack_float_to_unorm4x8(m[0][0]) + pack_half_to_snorm2x16(half2(m[0][0].xy)) + pack_float_to_srgb_unorm4x8(m[0][1]) + as_type<uint>(determinant(m[6]));
    m[7][0] = unpack_snorm4x8_to_float(u[1]) + unpack_unorm4x8_srgb_to_float(u[2]);
}
template <class T> MSL_FN void products(const T *a, float *c, T *out) {
    MSL_THREADGROUP((T), tile, ([64]));
    simdgroup_matrix<T, 8, 8> x, y, z;
    simdgroup_float8x8 sum(1.0f), left = make_diagonal_simdgroup_matrix<float, 8, 8>(2.0f);
    simdgroup_load(x, a, 8, ulong2(0, 1));
    simdgroup_load(y, tile, 8, 0, true);
    for (int i = 0; i < 4; ++i) simdgroup_multiply_accumulate(sum, x, y, sum);
    simdgroup_multiply(z, x, y);
    z = z * x;
    simdgroup_multiply_accumulate(sum, left, z, sum);
#ifdef MSL_USES_THREAD_ELEMENTS
    z.thread_elements()[1] = sum.thread_elements().x;
#endif
    simdgroup_store(z, out, 8, 0, true);
    simdgroup_store(sum, c);
}
extern "C" __global__ void simdgroup_matrices(const half *h, const bfloat *b, const float *f, half *ho, bfloat *bo, float *fo) {
    products(h, fo, ho);
    products(b, fo + 64, bo);
    products(f, fo + 128, fo + 192);
}

} // namespace msl
