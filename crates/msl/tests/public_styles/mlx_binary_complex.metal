// MLX style: a complex type with operators for every address space, operation structs, families made by macros.
#include <metal_stdlib>
#include "mlx_utils.h"

using namespace metal;

struct complex64_t;

template <typename T>
static constexpr constant bool can_convert_to_complex64 =
    !metal::is_same_v<T, complex64_t> && metal::is_convertible_v<T, float>;

struct complex64_t {
  float real;
  float imag;

  constexpr complex64_t(float real, float imag) : real(real), imag(imag) {}
  constexpr complex64_t() : real(0), imag(0) {}
  constexpr complex64_t() threadgroup : real(0), imag(0) {}

  template <typename T, typename = typename enable_if<can_convert_to_complex64<T>>::type>
  constexpr complex64_t(T x) thread : real(x), imag(0) {}
  template <typename T, typename = typename enable_if<can_convert_to_complex64<T>>::type>
  constexpr complex64_t(T x) threadgroup : real(x), imag(0) {}
  template <typename T, typename = typename enable_if<can_convert_to_complex64<T>>::type>
  constexpr complex64_t(T x) device : real(x), imag(0) {}
  template <typename T, typename = typename enable_if<can_convert_to_complex64<T>>::type>
  constexpr complex64_t(T x) constant : real(x), imag(0) {}

  template <typename T, typename = typename enable_if<metal::is_same_v<T, float>>::type>
  constexpr operator T() const thread {
    return static_cast<T>(real);
  }
  template <typename T, typename = typename enable_if<metal::is_same_v<T, float>>::type>
  constexpr operator T() const device {
    return static_cast<T>(real);
  }
  template <typename T, typename = typename enable_if<metal::is_same_v<T, float>>::type>
  constexpr operator T() const constant {
    return static_cast<T>(real);
  }
};

constexpr complex64_t operator-(complex64_t x) {
  return {-x.real, -x.imag};
}

constexpr complex64_t operator+(complex64_t a, complex64_t b) {
  return {a.real + b.real, a.imag + b.imag};
}

constexpr thread complex64_t& operator+=(thread complex64_t& a, complex64_t b) {
  a.real += b.real;
  a.imag += b.imag;
  return a;
}

constexpr threadgroup complex64_t& operator+=(threadgroup complex64_t& a, complex64_t b) {
  a.real += b.real;
  a.imag += b.imag;
  return a;
}

constexpr device complex64_t& operator+=(device complex64_t& a, complex64_t b) {
  a.real += b.real;
  a.imag += b.imag;
  return a;
}

constexpr complex64_t operator*(complex64_t a, complex64_t b) {
  return {a.real * b.real - a.imag * b.imag, a.real * b.imag + a.imag * b.real};
}

constexpr bool operator>=(complex64_t a, complex64_t b) {
  return (a.real > b.real) || (a.real == b.real && a.imag >= b.imag);
}

struct Add {
  template <typename T>
  T operator()(T x, T y) {
    return x + y;
  }
};

struct Multiply {
  template <typename T>
  T operator()(T x, T y) {
    return x * y;
  }
};

struct Maximum {
  template <typename T>
  metal::enable_if_t<metal::is_integral_v<T>, T> operator()(T x, T y) {
    return metal::max(x, y);
  }
  template <typename T>
  metal::enable_if_t<!metal::is_integral_v<T>, T> operator()(T x, T y) {
    return x >= y ? x : y;
  }
};

template <typename T, typename U, typename Op>
[[kernel]] void binary_vv(
    device const T* a,
    device const T* b,
    device U* c,
    uint index [[thread_position_in_grid]]) {
  c[index] = Op()(a[index], b[index]);
}

template <typename T, typename U, typename Op, int N = 2>
[[kernel]] void binary_g(
    device const T* a,
    device const T* b,
    device U* c,
    constant const int* shape,
    constant const int64_t* a_strides,
    constant const int64_t* b_strides,
    constant const int& ndim,
    uint3 index [[thread_position_in_grid]],
    uint3 grid_dim [[threads_per_grid]]) {
  int64_t idx = elem_to_loc(int64_t(index.x), shape, a_strides, ndim);
  int64_t idy = elem_to_loc<int64_t>(index.x, shape, b_strides, ndim);
  auto xshape = shape[ndim - 1];
  int64_t out_idx = N * index.x + int64_t(xshape) * (index.y + int64_t(grid_dim.y) * index.z);
  for (int i = 0; i < N && (int(N * index.x) + i) < xshape; ++i) {
    c[out_idx++] = Op()(a[idx], b[idy]);
  }
}

#define instantiate_binary_all(op, tname, itype, otype)                  \
  instantiate_kernel("vv_" #op #tname, binary_vv, itype, otype, op)      \
  instantiate_kernel("gn2_" #op #tname, binary_g, itype, otype, op, 2)

#define instantiate_binary_types(op)                        \
  instantiate_binary_all(op, float32, float, float)         \
  instantiate_binary_all(op, float16, half, half)           \
  instantiate_binary_all(op, bfloat16, bfloat16_t, bfloat16_t) \
  instantiate_binary_all(op, int32, int32_t, int32_t)       \
  instantiate_binary_all(op, complex64, complex64_t, complex64_t)

instantiate_binary_types(Add)
instantiate_binary_types(Multiply)
instantiate_binary_types(Maximum)
