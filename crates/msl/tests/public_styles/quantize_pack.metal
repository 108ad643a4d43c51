// Quantization to 8 and 4 bits with a scale a block; structs with arrays behind device pointers; constant tables.
#include <metal_stdlib>
using namespace metal;

#define BLOCK 32

struct block_q8 {
  half scale;
  char values[BLOCK];
};

struct block_q4 {
  half scale;
  uchar nibbles[BLOCK / 2];
};

constant uchar kMaskTable[8] = {1, 2, 4, 8, 16, 32, 64, 128};
constant float2 kCorners[4] = {float2(0, 0), float2(1, 0), float2(0, 1), {1, 1}};
constant float kScale = 1.0f / 127;

static_assert(sizeof(block_q8) == 34, "no padding");

kernel void quantize_q8(
    device const float* x [[buffer(0)]],
    device block_q8* y [[buffer(1)]],
    uint block [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]]) {
  const float v = x[block * BLOCK + lane];
  const float amax = simd_max(fabs(v));
  const float d = amax * kScale;
  const float id = d ? 1.0f / d : 0.0f;
  device block_q8& out = y[block];
  if (lane == 0) {
    out.scale = d;
  }
  out.values[lane] = char(rint(v * id));
}

kernel void quantize_q4(
    device const half4* x [[buffer(0)]],
    device block_q4* y [[buffer(1)]],
    constant bool& symmetric [[buffer(2)]],
    uint i [[thread_position_in_grid]]) {
  device const half4* row = x + i * (BLOCK / 4);
  half amax = 0;
  half best = 0.0h;
  for (int j = 0; j < BLOCK / 4; ++j) {
    for (int k = 0; k < 4; ++k) {
      const half v = row[j][k];
      best = abs(v) > amax ? v : best;
      amax = max(amax, abs(v));
    }
  }
  const half d = symmetric ? best / -8 : 0;
  const half id = d != 0 ? 1.0h / d : 0.0h;
  y[i].scale = d;
  for (int j = 0; j < BLOCK / 2; ++j) {
    const half a = row[j / 4][j % 4] * id;
    const half b = row[4 + j / 4][j % 4] * id;
    const uchar lo = min(15, int(a + 8.5h));
    const uchar hi = min(15, int(b + 8.5h));
    y[i].nibbles[j] = lo | (hi << 4);
  }
  y[i].nibbles[0] &= ~kMaskTable[0] | uchar(kCorners[i & 3].x);
}
