// The forms that arguments take: struct by value, arrays by reference, missing indices, positions of every width.
#include <metal_stdlib>
using namespace metal;

struct Inputs {
  device const float* a [[buffer(2)]];
  device float* b [[buffer(0)]];
  constant uint& n [[buffer(1)]];
};

kernel void by_struct(Inputs in, uint gid [[thread_position_in_grid]]) {
  if (gid < in.n) {
    in.b[gid] = in.a[gid];
  }
}

// Indices that are left out: the lowest that are free, in order.
kernel void implicit_indices(
    device float* first,
    constant int& second [[buffer(0)]],
    device float* third,
    threadgroup float* scratch,
    threadgroup float2& pair [[threadgroup(0)]],
    ushort2 where [[thread_position_in_threadgroup]],
    uint2 size [[threads_per_grid]]) {
  scratch[where.x] = first[where.y];
  pair = float2(size);
  third[where.x] = scratch[where.y] + pair.x + second;
}

typedef uint3 position_t;

namespace outer {
inline namespace inner {
using index_t = ushort;
}

[[host_name("named"), kernel]] void in_namespace(
    const device float (&table)[16] [[buffer(3)]],
    constant float (&weights)[4] [[buffer(1)]],
    device atomic_int* counters [[buffer(7)]],
    position_t tid [[threadgroup_position_in_grid]],
    index_t lane [[thread_index_in_simdgroup]],
    metal::uint width [[thread_execution_width]]) {
  if (table[lane & 15] > weights[tid.x & 3] && lane < width) {
    atomic_fetch_add_explicit(counters + tid.y, 1, memory_order_relaxed);
  }
}
} // namespace outer

struct Nested {
  float3 v;
  packed_float3 p;
  half4x4 m;
  union {
    uint bits;
    float value;
  } u;
  array<ushort, 3> list;
};

kernel void sizes(constant Nested& n [[buffer(0)]], constant Nested* list [[buffer(1)]], device float* out [[buffer(2)]],
                  uint i [[thread_position_in_grid]]) {
  out[i] = n.v.x + n.p[1] + float(n.m[2][1]) + n.u.value + list[i].list[2];
}

// Read, but not run: lowering it says why.
fragment half4 shade(float4 position [[position]], texture2d<half> image [[texture(0)]], sampler s [[sampler(0)]]) {
  return image.sample(s, position.xy);
}

kernel void with_texture(texture2d<float, access::write> image [[texture(0)]], uint2 p [[thread_position_in_grid]]) {
  image.write(float4(0), p);
}
