// SIMD-group functions: butterflies, broadcasts, votes, quads, prefix products, and their vector forms.
#include <metal_stdlib>
#include <metal_simdgroup>
using namespace metal;

template <typename T, typename Op>
inline T simd_tree(T value, Op op) {
#pragma clang loop unroll(full)
  for (ushort offset = 16; offset > 0; offset >>= 1) {
    value = op(value, simd_shuffle_xor(value, offset));
  }
  return value;
}

struct MaxOp { float operator()(float a, float b) const { return a > b ? a : b; } };
struct ArgMax {
  float value;
  uint index;
};

inline ArgMax simd_argmax(ArgMax best) {
  for (ushort delta = 16; delta > 0; delta /= 2) {
    const float v = simd_shuffle_down(best.value, delta);
    const uint i = simd_shuffle_down(best.index, delta);
    if (v > best.value || (v == best.value && i < best.index)) {
      best = {v, i};
    }
  }
  return best;
}

kernel void reduce_rows(
    device const float* x [[buffer(0)]],
    device float* maxima [[buffer(1)]],
    device uint* where [[buffer(2)]],
    constant uint& columns [[buffer(3)]],
    uint row [[threadgroup_position_in_grid]],
    uint lid [[thread_position_in_threadgroup]],
    uint threads [[threads_per_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint group [[simdgroup_index_in_threadgroup]]) {
  threadgroup ArgMax best_of_group[32];
  ArgMax best = {-INFINITY, 0};
  for (uint c = lid; c < columns; c += threads) {
    const float v = x[row * columns + c];
    if (v > best.value) {
      best.value = v;
      best.index = c;
    }
  }
  best = simd_argmax(best);
  if (simd_is_first()) {
    best_of_group[group] = best;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (group == 0) {
    ArgMax mine = lane < (threads + 31) / 32 ? best_of_group[lane] : ArgMax{-INFINITY, ~0u};
    mine = simd_argmax(mine);
    const float all = simd_tree(best.value, MaxOp());
    if (lane == 0) {
      maxima[row] = max(mine.value, all);
      where[row] = mine.index;
    }
  }
}

kernel void votes(
    device uint* out [[buffer(0)]],
    device float4* vectors [[buffer(1)]],
    uint i [[thread_position_in_grid]],
    ushort lane [[thread_index_in_simdgroup]],
    ushort quad [[thread_index_in_quadgroup]],
    ushort quad_group [[quadgroup_index_in_threadgroup]]) {
  const bool odd = lane & 1;
  const simd_vote ballot = simd_ballot(odd);
  uint bits = uint(simd_vote::vote_t(ballot));
  bits += simd_all(lane < 32) ? 1 : 0;
  bits += simd_any(odd);
  bits ^= simd_broadcast(bits, 3) + simd_broadcast_first(bits) + quad_sum(uint(quad)) + quad_shuffle_xor(bits, 1);
  bits |= simd_shuffle_rotate_down(bits, 1) & simd_shuffle_up(bits, 2) & simd_shuffle_and_fill_up(bits, 0u, 4);
  vectors[i] = simd_sum(vectors[i]) + simd_max(vectors[i]) + simd_shuffle(vectors[i], lane ^ 1) + quad_broadcast(vectors[i], 2);
  out[i] = bits + simd_prefix_inclusive_product(uint(lane) + 1) + simd_or(bits) + simd_and(bits) + simd_xor(bits) + quad_group;
}
