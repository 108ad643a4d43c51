// Conversions between normalised integers in one word and vectors. The first component takes the lowest bits.
namespace msl {
namespace impl {

template <class V, bool is_signed, int bits> MSL_FN V unpack(uint word) {
    V r;
    constexpr float scale = (float)((1u << (is_signed ? bits - 1 : bits)) - 1);
    MSL_UNROLL for (int i = 0; i < Canon<V>::N; ++i) {
        uint field = word >> (i * bits) & ((1u << bits) - 1);
        float f = is_signed ? (float)((int)(field << (32 - bits)) >> (32 - bits)) : (float)field;
        f = f_divide(f, scale);
        r.e[i] = typename Canon<V>::elem(is_signed && f < -1.0f ? -1.0f : f);
    }
    return r;
}
template <bool is_signed, int bits, class V> MSL_FN uint pack(V v) {
    constexpr float scale = (float)((1u << (is_signed ? bits - 1 : bits)) - 1);
    uint word = 0;
    MSL_UNROLL for (int i = 0; i < Canon<V>::N; ++i) {
        float f = f_fmin(f_fmax((float)v.e[i], is_signed ? -1.0f : 0.0f), 1.0f);
        word |= ((uint)(int)f_rint(f * scale) & ((1u << bits) - 1)) << (i * bits);
    }
    return word;
}
MSL_FN float srgb_to_linear(float c) { return c <= 0.04045f ? c / 12.92f : f_pow((c + 0.055f) / 1.055f, 2.4f); }
MSL_FN float linear_to_srgb(float c) {
    if (!(c > 0.0f)) return 0.0f;
    if (c > 1.0f) return 1.0f;
    return c < 0.0031308f ? 12.92f * c : 1.055f * f_pow(c, 1.0f / 2.4f) - 0.055f;
}

} // namespace impl

namespace metal {

#define MSL_UNPACK(from, T, n, is_signed, bits) \
    MSL_FN vec<T, n> unpack_##from##_to_##T(uint word) { return impl::unpack<vec<T, n>, is_signed, bits>(word); }
#define MSL_PACK(T, to, n, is_signed, bits)                                                          \
    template <class A> MSL_FN uint pack_##T##_to_##to(A a) {                                         \
        return impl::pack<is_signed, bits>(vec<T, n>(a));                                            \
    }
MSL_UNPACK(unorm4x8, float, 4, false, 8)
MSL_UNPACK(snorm4x8, float, 4, true, 8)
MSL_UNPACK(unorm2x16, float, 2, false, 16)
MSL_UNPACK(snorm2x16, float, 2, true, 16)
MSL_UNPACK(unorm4x8, half, 4, false, 8)
MSL_UNPACK(snorm4x8, half, 4, true, 8)
MSL_UNPACK(unorm2x16, half, 2, false, 16)
MSL_UNPACK(snorm2x16, half, 2, true, 16)
MSL_PACK(float, unorm4x8, 4, false, 8)
MSL_PACK(float, snorm4x8, 4, true, 8)
MSL_PACK(float, unorm2x16, 2, false, 16)
MSL_PACK(float, snorm2x16, 2, true, 16)
MSL_PACK(half, unorm4x8, 4, false, 8)
MSL_PACK(half, snorm4x8, 4, true, 8)
MSL_PACK(half, unorm2x16, 2, false, 16)
MSL_PACK(half, snorm2x16, 2, true, 16)

MSL_FN float4 unpack_unorm4x8_srgb_to_float(uint word) {
    float4 v = metal::unpack_unorm4x8_to_float(word);
    return float4(impl::srgb_to_linear(v.x), impl::srgb_to_linear(v.y), impl::srgb_to_linear(v.z), v.w);
}
MSL_FN half4 unpack_unorm4x8_srgb_to_half(uint word) { return half4(metal::unpack_unorm4x8_srgb_to_float(word)); }
MSL_FN uint pack_float_to_srgb_unorm4x8(float4 v) {
    return metal::pack_float_to_unorm4x8(float4(impl::linear_to_srgb(v.x), impl::linear_to_srgb(v.y), impl::linear_to_srgb(v.z), v.w));
}
MSL_FN uint pack_half_to_srgb_unorm4x8(half4 v) { return metal::pack_float_to_srgb_unorm4x8(float4(v)); }

// Fields of other widths, from the lowest bits: 10, 10, 10, 2, and 5, 6, 5 with blue lowest.
MSL_FN float4 unpack_unorm10a2_to_float(uint w) {
    return float4(impl::f_divide((float)(w & 1023), 1023.0f), impl::f_divide((float)(w >> 10 & 1023), 1023.0f),
                  impl::f_divide((float)(w >> 20 & 1023), 1023.0f), impl::f_divide((float)(w >> 30), 3.0f));
}
MSL_FN uint pack_float_to_unorm10a2(float4 v) {
    v = metal::saturate(v);
    return (uint)impl::f_rint(v.x * 1023.0f) | (uint)impl::f_rint(v.y * 1023.0f) << 10 | (uint)impl::f_rint(v.z * 1023.0f) << 20 |
           (uint)impl::f_rint(v.w * 3.0f) << 30;
}
MSL_FN half4 unpack_unorm10a2_to_half(uint w) { return half4(metal::unpack_unorm10a2_to_float(w)); }
MSL_FN uint pack_half_to_unorm10a2(half4 v) { return metal::pack_float_to_unorm10a2(float4(v)); }
MSL_FN float3 unpack_unorm565_to_float(ushort w) {
    return float3(impl::f_divide((float)(w >> 11), 31.0f), impl::f_divide((float)(w >> 5 & 63), 63.0f), impl::f_divide((float)(w & 31), 31.0f));
}
MSL_FN ushort pack_float_to_unorm565(float3 v) {
    v = metal::saturate(v);
    return (ushort)((uint)impl::f_rint(v.x * 31.0f) << 11 | (uint)impl::f_rint(v.y * 63.0f) << 5 | (uint)impl::f_rint(v.z * 31.0f));
}
MSL_FN half3 unpack_unorm565_to_half(ushort w) { return half3(metal::unpack_unorm565_to_float(w)); }
MSL_FN ushort pack_half_to_unorm565(half3 v) { return metal::pack_float_to_unorm565(float3(v)); }

} // namespace metal
} // namespace msl
