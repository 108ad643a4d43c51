// Functions and structs that differ by address space alone, as libraries write them for every space.
#include <metal_stdlib>
using namespace metal;

template <typename T> struct pointer_element {};
template <typename T> struct pointer_element<thread T*> { using type = remove_cv_t<T>; };
template <typename T> struct pointer_element<device T*> { using type = remove_cv_t<T>; };
template <typename T> struct pointer_element<constant T*> { using type = remove_cv_t<T>; };
template <typename T> struct pointer_element<threadgroup T*> { using type = remove_cv_t<T>; };

inline float total(device const float* p, uint n) {
  float s = 0;
  for (uint i = 0; i < n; ++i) s += p[i];
  return s;
}

inline float total(threadgroup const float* p, uint n) {
  float s = 0;
  for (uint i = 0; i < n; ++i) s += p[i];
  return s;
}

inline float total(constant float* p, uint n) {
  float s = 0;
  for (uint i = 0; i < n; ++i) s += p[i];
  return s;
}

struct Fixed {
  int bits;
  Fixed() thread = default;
  Fixed() threadgroup = default;
  Fixed() device = default;
  Fixed(int b) thread : bits(b) {}
  operator float() const thread { return bits / 256.0; }
  operator float() const threadgroup { return bits / 256.0; }
  operator float() const device { return bits / 256.0; }
  operator float() const constant { return bits / 256.0; }
  thread Fixed& operator+=(Fixed o) thread { bits += o.bits; return *this; }
  threadgroup Fixed& operator+=(Fixed o) threadgroup { bits += o.bits; return *this; }
};

kernel void totals(
    device const float* a [[buffer(0)]],
    constant float* b [[buffer(1)]],
    device float* out [[buffer(2)]],
    device const Fixed* fixed [[buffer(3)]],
    uint lid [[thread_index_in_threadgroup]]) {
  threadgroup float copy[64];
  threadgroup Fixed sums[4];
  typename pointer_element<device const float*>::type x = a[lid];
  copy[lid] = x;
  if (lid < 4) {
    sums[lid] = Fixed(0);
    sums[lid] += fixed[lid];
  }
  threadgroup_barrier(mem_flags::mem_threadgroup);
  out[lid] = total(a, 64) + total(copy, 64) + total(b, 64) + float(sums[lid & 3]);
}
