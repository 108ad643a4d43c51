// as_type, integer functions, packed types, select and clamp, fast and precise names, half and bfloat literals.
#include <metal_stdlib>
using namespace metal;

namespace detail {
inline float fp4(uint code) {
  const float table[8] = {0., .5, 1., 1.5, 2., 3., 4., 6.};
  return (code & 8) ? -table[code & 7] : table[code & 7];
}
template <typename To, typename From>
inline To bit_cast_to(From x) { return as_type<To>(x); }
} // namespace detail

inline ushort round_to_bf16(float x) {
  uint bits = as_type<uint>(x);
  bits += 0x7fffu + ((bits >> 16) & 1u);
  return ushort(bits >> 16);
}

kernel void pack_bits(
    device const packed_float3* in [[buffer(0)]],
    device ushort* bf [[buffer(1)]],
    device packed_half2* halves [[buffer(2)]],
    device uint4* counts [[buffer(3)]],
    device bfloat* direct [[buffer(4)]],
    uint i [[thread_position_in_grid]]) {
  const float3 v = in[i];
  bf[i] = round_to_bf16(v.x);
  halves[i] = packed_half2(half2(v.xy) * 2.0h + half2(0.5h, 1e-3h));
  direct[i] = bfloat(v.z) + 1.0bf;
  const uint bits = detail::bit_cast_to<uint>(v.y);
  counts[i] = uint4(popcount(bits), clz(bits), ctz(bits), reverse_bits(bits));
  counts[i].x += mulhi(bits, 0x9E3779B9u) ^ rotate(bits, 7u) ^ extract_bits(bits, 3u, 5u);
}

kernel void math_mix(
    device float4* data [[buffer(0)]],
    constant float4x4& m [[buffer(1)]],
    constant packed_float4& w [[buffer(2)]],
    uint i [[thread_position_in_grid]]) {
  float4 v = data[i];
  v = clamp(v, -10.0, 10.0);
  v = mix(v, m * v, saturate(v.w));
  v = select(v, fast::exp(v), isfinite(v) && v < float4(1.0));
  v += precise::tanh(v.wzyx) - fma(v, float4(w), 1e-5);
  v.xyz = cross(v.xyz, normalize(v.zyx + 1e-6));
  v.xz = v.zx;
  v.w = rsqrt(length_squared(v) + M_PI_F) + detail::fp4(as_type<uint>(v.x) & 15);
  data[i] = sign(v) * pow(abs(v), 0.5f) + smoothstep(0.0f, 1.0f, fract(v)) + float4(step(0.5, v.x));
}

kernel void ints(
    device char4* a [[buffer(0)]],
    device const char4* b [[buffer(1)]],
    device int* out [[buffer(2)]],
    uint i [[thread_position_in_grid]]) {
  const int4 x = int4(a[i]);
  const int4 y = int4(b[i]);
  int sum = x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
  sum = simd_sum(sum);
  out[i] = abs(sum) + absdiff(sum, 7) + hadd(sum, 3) + madsat(sum, 2, 1) + subsat(sum, 5) + max3(sum, 1, 2) + median3(1, 2, 3);
  a[i] = char4(clamp(x, -128, 127));
}
