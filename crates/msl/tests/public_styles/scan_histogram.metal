// Prefix sums over SIMD groups, and a histogram with atomics in threadgroup and device memory.
#include <metal_stdlib>
#include <metal_atomic>
using namespace metal;

constant constexpr uint BINS = 256;
constant uint GROUP_THREADS [[function_constant(0)]];

kernel void histogram(
    device const uchar4* pixels [[buffer(0)]],
    device atomic_uint* bins [[buffer(1)]],
    constant uint& count [[buffer(2)]],
    uint gid [[thread_position_in_grid]],
    uint lid [[thread_index_in_threadgroup]],
    uint threads [[threads_per_grid]]) {
  threadgroup atomic_uint local[BINS];
  for (uint i = lid; i < BINS; i += GROUP_THREADS) {
    atomic_store_explicit(&local[i], 0u, memory_order_relaxed);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint i = gid; i < count; i += threads) {
    const uchar4 p = pixels[i];
    const uint luma = (77u * p.r + 150u * p.g + 29u * p.b) >> 8;
    atomic_fetch_add_explicit(&local[min(luma, BINS - 1)], 1u, memory_order_relaxed);
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint i = lid; i < BINS; i += GROUP_THREADS) {
    const uint n = atomic_load_explicit(&local[i], memory_order_relaxed);
    if (n > 0) {
      atomic_fetch_add_explicit(&bins[i], n, memory_order_relaxed);
    }
  }
}

template <typename T>
[[kernel]] [[max_total_threads_per_threadgroup(1024)]]
void exclusive_scan(
    device const T* in [[buffer(0)]],
    device T* out [[buffer(1)]],
    device T* totals [[buffer(2)]],
    constant uint& n [[buffer(3)]],
    uint gid [[thread_position_in_grid]],
    uint group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]],
    uint warp [[simdgroup_index_in_threadgroup]],
    uint warps [[simdgroups_per_threadgroup]]) {
  threadgroup T partial[32];
  const T value = gid < n ? in[gid] : T(0);
  const T before = simd_prefix_exclusive_sum(value);
  if (lane == 31) {
    partial[warp] = before + value;
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (warp == 0) {
    const T mine = lane < warps ? partial[lane] : T(0);
    const T all = simd_prefix_inclusive_sum(mine);
    partial[lane] = all - mine;
    if (lane + 1 == warps) {
      totals[group] = all;
    }
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (gid < n) {
    out[gid] = partial[warp] + before;
  }
}

template [[host_name("exclusive_scan_u32")]] [[kernel]] void exclusive_scan<uint>(
    device const uint*, device uint*, device uint*, constant uint&, uint, uint, uint, uint, uint);
template [[host_name("exclusive_scan_f32")]] [[kernel]] void exclusive_scan<float>(
    device const float* in [[buffer(0)]], device float* out [[buffer(1)]], device float* totals [[buffer(2)]],
    constant uint& n [[buffer(3)]], uint gid [[thread_position_in_grid]], uint group [[threadgroup_position_in_grid]],
    uint lane [[thread_index_in_simdgroup]], uint warp [[simdgroup_index_in_threadgroup]],
    uint warps [[simdgroups_per_threadgroup]]);

// Compare and exchange in a loop: a maximum of floats.
kernel void atomic_max_float(
    device const float* in [[buffer(0)]],
    device atomic_uint& best [[buffer(1)]],
    uint gid [[thread_position_in_grid]]) {
  const float v = in[gid];
  uint seen = atomic_load_explicit(&best, memory_order_relaxed);
  while (v > as_type<float>(seen)) {
    if (atomic_compare_exchange_weak_explicit(
            &best, &seen, as_type<uint>(v), memory_order_relaxed, memory_order_relaxed)) {
      break;
    }
  }
}
