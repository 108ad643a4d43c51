// In the style of generated code (burn, cubecl): flat names, info buffers, vectors behind casts, everything in one function.
#include <metal_stdlib>
using namespace metal;

struct info_static_st {
    uint buffer_len[3];
    uint shapes[3][4];
};

struct __attribute__((packed)) tail_st {
    uchar tag;
    uint value;
};

[[kernel]]
void matmul_entry_f32(
    device float* in_0 [[ buffer(0) ]],
    device float* in_1 [[ buffer(1) ]],
    device float* out_0 [[ buffer(2) ]],
    constant uint* info [[ buffer(3) ]],
    constant info_static_st& info_st [[ buffer(4) ]],
    uint3 thread_pos_in_group [[thread_position_in_threadgroup]],
    uint3 group_pos_in_grid [[threadgroup_position_in_grid]],
    uint3 group_size [[threads_per_threadgroup]],
    uint thread_index [[thread_index_in_threadgroup]]
) {
    threadgroup float4 shared_memory_0[64], shared_memory_1[64];
    const uint l_0 = info[0];
    const uint l_1 = info_st.shapes[0][1];
    float4 a_0[4];
    #pragma unroll
    for (uint l_2 = uint(0); l_2 < uint(4); l_2++) {
        a_0[l_2] = float4(0.0);
    }
    const uint row = group_pos_in_grid.x * group_size.x + thread_pos_in_group.x;
    for (uint l_3 = 0u; l_3 < l_0; l_3 += 64u) {
        shared_memory_0[thread_index % 64u] = reinterpret_cast<device float4*>(in_0)[row * l_0 / 4u + l_3];
        shared_memory_1[thread_index % 64u] = *(device float4*)(in_1 + 4u * l_3);
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint l_4 = 0u; l_4 < 64u; ++l_4) {
            a_0[l_4 & 3u] = fma(shared_memory_0[l_4], shared_memory_1[l_4].yxwz, a_0[l_4 & 3u]);
            a_0[0].xy += shared_memory_1[l_4].zw;
        }
        threadgroup_barrier(mem_flags::mem_device | mem_flags::mem_threadgroup);
    }
    const bool inside = row < l_1;
    if (inside) {
        for (uint i = 0u; i < 4u; ++i) {
            const float4 v = a_0[i];
            out_0[row * 4u + i] = dot(v, float4(1.0, 1.0, 1.0, 1.0)) + float(sizeof(tail_st)) * 0.0;
        }
    }
}
