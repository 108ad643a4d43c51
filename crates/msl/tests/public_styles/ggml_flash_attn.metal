// ggml style: attention with half8x8 tiles, threadgroup memory carved out of one block by casts, long template lists.
#include <metal_stdlib>
using namespace metal;

#define N_SIMDWIDTH 32
#define PAD2(x, n) (((x) + (n) - 1) & ~((n) - 1))
#define FC_FLASH_ATTN_EXT 100
#define FOR_UNROLL(x) _Pragma("clang loop unroll(full)") for (x)

constant int32_t FC_flash_attn_ext_ns10 [[function_constant(FC_FLASH_ATTN_EXT + 20)]];
constant int32_t FC_flash_attn_ext_nsg  [[function_constant(FC_FLASH_ATTN_EXT + 22)]];

typedef struct {
    int32_t  ne01;
    int32_t  ne11;
    uint64_t nb01;
    uint64_t nb02;
    uint64_t nb11;
    uint64_t nb12;
    float    scale;
    float    logit_softcap;
} ggml_metal_kargs_flash_attn_ext;

template <typename type4x4>
void dequantize_f16(device const half4x4 * src, short il, thread type4x4 & reg) {
    reg = (type4x4)(*src);
}

template<
    typename q_t,     // query types in shared memory
    typename q4_t,
    typename q8x8_t,
    typename k_t,     // key types in shared memory
    typename k4x4_t,
    typename k8x8_t,
    typename o_t,     // accumulator types
    typename o8x8_t,
    typename kd4x4_t, // key type in device memory
    short nl_k,
    void (*deq_k)(device const kd4x4_t *, short, thread k4x4_t &),
    short DK,         // head size
    short Q  = 8,     // queries per threadgroup
    short C  = 32>    // cache items per threadgroup
kernel void kernel_flash_attn_ext(
        constant ggml_metal_kargs_flash_attn_ext & args,
        device const char * q,
        device const char * k,
        device const char * v,
        device       char * dst,
        threadgroup  half * shmem_f16 [[threadgroup(0)]],
        uint3   tgpig[[threadgroup_position_in_grid]],
        ushort  tiisg[[thread_index_in_simdgroup]],
        ushort  sgitg[[simdgroup_index_in_threadgroup]]) {
    const ushort iq1 = tgpig[0]*Q;
    const short NSG = FC_flash_attn_ext_nsg;
    constexpr short DK4 = DK/4;
    constexpr short DK8 = DK/8;
    constexpr short T   = PAD2(DK + 2*C, 16);

    threadgroup q_t  * sq  = (threadgroup q_t  *) (shmem_f16 + 0*DK);
    threadgroup q4_t * sq4 = (threadgroup q4_t *) (shmem_f16 + 0*DK);
    threadgroup o_t  * so  = (threadgroup o_t  *) (shmem_f16 + Q*T);
    threadgroup float * ss = (threadgroup float *) (shmem_f16 + 2*Q*T);
    threadgroup k_t    * sk    = (threadgroup k_t    *) (shmem_f16 + sgitg*(4*16*8) + 3*Q*T);
    threadgroup k4x4_t * sk4x4 = (threadgroup k4x4_t *) (shmem_f16 + sgitg*(4*16*8) + 3*Q*T);

    for (short j = sgitg; j < Q; j += NSG) {
        device const float4 * q4 = (device const float4 *) ((device const char *) q + (iq1 + j)*args.nb01);
        for (short i = tiisg; i < DK4; i += N_SIMDWIDTH) {
            sq4[j*DK4 + i] = iq1 + j < args.ne01 ? (q4_t) q4[i] : (q4_t) 0.0f;
        }
    }

    o8x8_t lo[DK8];
    FOR_UNROLL (short i = 0; i < DK8; ++i) {
        lo[i] = make_filled_simdgroup_matrix<o_t, 8>((o_t) 0.0f);
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    float S[Q] = { 0.0f };
    float M[Q];
    for (short j = 0; j < Q; ++j) {
        M[j] = -MAXFLOAT/2;
    }

    for (int ic0 = 0; ic0 < args.ne11; ic0 += C*NSG) {
        const int ic = ic0 + C*sgitg;
        FOR_UNROLL (short cc = 0; cc < C/8; ++cc) {
            simdgroup_float8x8 mqk = make_filled_simdgroup_matrix<float, 8>(0.f);
            device const kd4x4_t * pk4x4 = (device const kd4x4_t *) ((device const char *) k + ((ic + 8*cc)*args.nb11));
            const short ty = tiisg/4;
            const short tx = tiisg%4;
            for (short ii = 0; ii < DK/16; ii += 4) {
                k4x4_t tmp;
                deq_k(pk4x4 + ty*args.nb11/sizeof(kd4x4_t) + (ii + tx)/nl_k, (ii + tx)%nl_k, tmp);
                sk4x4[4*ty + tx] = tmp;
                simdgroup_barrier(mem_flags::mem_threadgroup);
                FOR_UNROLL (short kk = 0; kk < 4; ++kk) {
                    k8x8_t mk;
                    q8x8_t mq;
                    simdgroup_load(mk, sk + 16*kk, 4*16, 0, true);
                    simdgroup_load(mq, sq + (2*(ii + kk))*8, DK);
                    simdgroup_multiply_accumulate(mqk, mq, mk, mqk);
                }
            }
            simdgroup_store(mqk, ss + 8*cc, C, 0, false);
        }
        simdgroup_barrier(mem_flags::mem_threadgroup);
        for (short j = 0; j < Q; ++j) {
            const float m = M[j];
            const float s = ss[j*C + tiisg]*args.scale;
            M[j] = simd_max(max(M[j], s));
            const float ms = exp(m - M[j]);
            const float vs = exp(s - M[j]);
            S[j] = S[j]*ms + simd_sum(vs);
            ss[j*C + tiisg] = vs;
        }
    }
    FOR_UNROLL (short i = 0; i < DK8; ++i) {
        simdgroup_store(lo[i], so + i*8, DK, 0, false);
    }
    device float4 * dst4 = (device float4 *) dst;
    for (short i = tiisg; i < DK4; i += N_SIMDWIDTH) {
        dst4[iq1*DK4 + i] = (float4) ((threadgroup vec<o_t, 4> *) so)[i]/S[0];
    }
}

#define FA_TYPES \
    half,  half4,     simdgroup_half8x8,  \
    half,  half4x4,   simdgroup_half8x8,  \
    float, simdgroup_float8x8

typedef decltype(kernel_flash_attn_ext<FA_TYPES, half4x4, 1, dequantize_f16, 64>) flash_attn_ext_t;

template [[host_name("kernel_flash_attn_ext_f16_dk64")]]  kernel flash_attn_ext_t kernel_flash_attn_ext<FA_TYPES, half4x4, 1, dequantize_f16, 64>;
template [[host_name("kernel_flash_attn_ext_f16_dk128")]] kernel flash_attn_ext_t kernel_flash_attn_ext<FA_TYPES, half4x4, 1, dequantize_f16, 128>;

#undef FA_TYPES
