#define MSL_SIMD_CONVERGED 1
//!support
namespace msl {
using namespace metal;

extern "C" __global__ void copy_float4(const float4 *a, float4 *b) { b[threadIdx.x] = a[threadIdx.x]; }
extern "C" __global__ void copy_uint4(const uint4 *a, uint4 *b) { b[threadIdx.x] = a[threadIdx.x]; }
extern "C" __global__ void copy_half4(const half4 *a, half4 *b) { b[threadIdx.x] = a[threadIdx.x]; }
extern "C" __global__ void copy_through_threadgroup(const float4 *a, float4 *b) {
    MSL_THREADGROUP((float4), tile, ([64]));
    tile[threadIdx.x] = a[threadIdx.x];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    b[threadIdx.x] = tile[threadIdx.x ^ 1];
}
extern "C" __global__ void halves_to_floats(const half4 *a, const half4 *b, float4 *c) {
    c[threadIdx.x] = float4(dot(float4(a[threadIdx.x]), float4(b[threadIdx.x])));
}
extern "C" __global__ void function_of_two(const float4 *a, const float4 *b, float4 *c) {
    c[threadIdx.x] = fma(a[threadIdx.x], b[threadIdx.x], max(a[threadIdx.x + 32], 0.0f));
}
extern "C" __global__ void half_arithmetic(half4 *a) { a[0] = a[1] * a[2] + a[3]; }
extern "C" __global__ void bfloat_arithmetic(bfloat4 *a) { a[0] = a[1] * a[2] + a[3]; }

extern "C" __global__ void sum_of_floats(float *a) { a[threadIdx.x] = simd_sum(a[threadIdx.x]); }
extern "C" __global__ void sum_of_integers(uint *a) { a[threadIdx.x] = simd_sum(a[threadIdx.x]); }

template <class T, bool transposed> MSL_FN void multiply(const T *a, const T *b, float *c) {
    simdgroup_matrix<T, 8, 8> x, y;
    simdgroup_float8x8 sum = make_filled_simdgroup_matrix<float, 8>(0.0f);
    simdgroup_load(x, a, 8);
    simdgroup_load(y, b, 8, 0, transposed);
    simdgroup_multiply_accumulate(sum, x, y, sum);
    simdgroup_store(sum, c, 8);
}
// Four steps along k, of which the tensor core takes two at once.
extern "C" __global__ void four_products(const half *a, const half *b, float *c) {
    MSL_THREADGROUP((half), tile, ([16 * 40]));
    for (uint i = MSL_TID(0); i < 16 * 40; i += 32) tile[i] = a[i];
    threadgroup_barrier(mem_flags::mem_threadgroup);
    simdgroup_float8x8 sum = make_filled_simdgroup_matrix<float, 8>(0.0f);
    for (uint tiles = 0; tiles < uint(b[0]); ++tiles) {
#pragma unroll
        for (uint k = 0; k < 32; k += 8) {
            simdgroup_half8x8 x, y;
            simdgroup_load(x, tile + k, 40);
            simdgroup_load(y, tile + 8 * 40 + k, 40, ulong2(0), true);
            simdgroup_multiply_accumulate(sum, x, y, sum);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
    }
    simdgroup_store(sum, c, 8);
}
extern "C" __global__ void product_transposed(const half *a, const half *b, float *c) { multiply<half, true>(a, b, c); }
extern "C" __global__ void product(const bfloat *a, const bfloat *b, float *c) { multiply<bfloat, false>(a, b, c); }
extern "C" __global__ void product_of_floats(const float *a, const float *b, float *c) { multiply<float, true>(a, b, c); }

} // namespace msl
