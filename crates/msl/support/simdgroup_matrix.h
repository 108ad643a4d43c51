// Matrices of 8 x 8 that a SIMD group holds together: each lane two neighbours of one row.
//
// Metal gives lane l row (l/16)*4 + (l/2)%4 and column ((l/8)%2)*4 + (l%2)*2. A tensor core wants row l/4 and column (l%4)*2: the same
// pairs, with the bits of the lane in another order. Where a kernel looks at thread_elements(), CUDA renames its lanes (cuda.h), and both
// are one; elsewhere nobody can tell.
namespace msl {
namespace metal {

template <class T, int Columns, int Rows = Columns> struct simdgroup_matrix;

} // namespace metal

namespace impl {

#ifdef MSL_CUDA

// This lane's row, and the column of the first of its two elements.
MSL_FN u32 fragment_row() { return physical_lane() >> 2; }
MSL_FN u32 fragment_column() { return (physical_lane() & 3) * 2; }

// The transposed matrix of 16-bit elements.
MSL_FN u32 transpose16(u32 v) {
    u32 r;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(v));
    return r;
}
template <class T> MSL_FN vec<T, 2> transpose_fragment(vec<T, 2> v) {
    if constexpr (sizeof(T) == 2) {
        vec<T, 2> r;
        unpair(r.e, transpose16(pair(v.x, v.y)));
        return r;
    } else {
        // Row l/4 and columns c, c + 1 come from column l/4 of rows c, c + 1.
        unsigned row = fragment_row(), column = fragment_column();
        T a0 = __shfl_sync(0xffffffffu, v.x, column * 4 + row / 2), a1 = __shfl_sync(0xffffffffu, v.y, column * 4 + row / 2);
        T b0 = __shfl_sync(0xffffffffu, v.x, column * 4 + 4 + row / 2), b1 = __shfl_sync(0xffffffffu, v.y, column * 4 + 4 + row / 2);
        return row % 2 ? vec<T, 2>(a1, b1) : vec<T, 2>(a0, b0);
    }
}

// Two neighbours in memory, in one access where the address allows it.
template <class T> MSL_FN vec<T, 2> load_pair(const T *p) {
    if ((size_t)p % (2 * sizeof(T)) == 0) return *(const vec<T, 2> *)p;
    return vec<T, 2>(p[0], p[1]);
}
template <class T> MSL_FN void store_pair(T *p, vec<T, 2> v) {
    if ((size_t)p % (2 * sizeof(T)) == 0) *(vec<T, 2> *)p = v;
    else p[0] = v.x, p[1] = v.y;
}

// c + a b where `b` is held transposed. The lower eight rows of the tensor core's sixteen stay empty.
MSL_FN void tensor_product(float2 &d, vec<half, 2> a, vec<half, 2> b, float2 c) {
    float2 low;
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%7, %8, %9, %9};"
        : "=f"(d.x), "=f"(d.y), "=f"(low.x), "=f"(low.y)
        : "r"(pair(a.x, a.y)), "r"(0), "r"(pair(b.x, b.y)), "f"(c.x), "f"(c.y), "f"(0.0f));
    (void)low;
}
MSL_FN void tensor_product(float2 &d, vec<bfloat, 2> a, vec<bfloat, 2> b, float2 c) {
    float2 low;
    asm("mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%7, %8, %9, %9};"
        : "=f"(d.x), "=f"(d.y), "=f"(low.x), "=f"(low.y)
        : "r"(pair(a.x, a.y)), "r"(0), "r"(pair(b.x, b.y)), "f"(c.x), "f"(c.y), "f"(0.0f));
    (void)low;
}
// Float matrices take exact products: every lane gathers its row of a and its two columns of b.
MSL_FN void tensor_product(float2 &d, float2 a, float2 b, float2 c) {
    unsigned row = fragment_row(), column = fragment_column();
    d = c;
    MSL_UNROLL for (unsigned k = 0; k < 8; k += 2) {
        float a0 = __shfl_sync(0xffffffffu, a.x, row * 4 + k / 2), a1 = __shfl_sync(0xffffffffu, a.y, row * 4 + k / 2);
        float b00 = __shfl_sync(0xffffffffu, b.x, column * 4 + k / 2), b10 = __shfl_sync(0xffffffffu, b.y, column * 4 + k / 2);
        float b01 = __shfl_sync(0xffffffffu, b.x, column * 4 + 4 + k / 2), b11 = __shfl_sync(0xffffffffu, b.y, column * 4 + 4 + k / 2);
        d.x = ::fmaf(a1, b10, ::fmaf(a0, b00, d.x));
        d.y = ::fmaf(a1, b11, ::fmaf(a0, b01, d.y));
    }
}

#else

MSL_FN u32 fragment_row() {
    u32 l = lane();
    return (l / 16) * 4 + (l / 2) % 4;
}
MSL_FN u32 fragment_column() {
    u32 l = lane();
    return (l / 8 % 2) * 4 + (l % 2) * 2;
}
// The lane that holds row `r` and the columns `c`, `c + 1` (c even).
MSL_FN constexpr u32 fragment_lane(u32 r, u32 c) { return (r / 4) * 16 + (c / 4) * 8 + (r % 4) * 2 + c / 2 % 2; }

template <class T> MSL_FN vec<T, 2> load_pair(const T *p) { return vec<T, 2>(p[0], p[1]); }
template <class T> MSL_FN void store_pair(T *p, vec<T, 2> v) { p[0] = v.x, p[1] = v.y; }

#endif

} // namespace impl

namespace metal {

template <class T> struct simdgroup_matrix<T, 8, 8> {
    static_assert(is_same_v<T, half> || is_same_v<T, bfloat> || is_same_v<T, float>, "simdgroup matrices hold half, bfloat or float");
    typedef T value_type;
    typedef vec<T, 2> storage_type;
    storage_type elements;
#if defined(MSL_CUDA) && !defined(MSL_USES_THREAD_ELEMENTS)
    // The transposed matrix, which a right-hand operand is wanted as. Whichever of the two is never used costs nothing.
    storage_type transposed;
    MSL_FN void set(storage_type v) {
        elements = v;
        transposed = impl::transpose_fragment(v);
    }
    MSL_FN void set_transposed(storage_type v) {
        transposed = v;
        elements = impl::transpose_fragment(v);
    }
    MSL_FN storage_type right() const { return transposed; }
#elif defined(MSL_CUDA)
    MSL_FN void set(storage_type v) { elements = v; }
    MSL_FN void set_transposed(storage_type v) { elements = impl::transpose_fragment(v); }
    MSL_FN storage_type right() const { return impl::transpose_fragment(elements); }
#else
    MSL_FN void set(storage_type v) { elements = v; }
#endif

    simdgroup_matrix() = default;
    MSL_FN explicit simdgroup_matrix(T diagonal) {
        unsigned row = impl::fragment_row(), column = impl::fragment_column();
        storage_type v(row == column ? diagonal : T(0.0f), row == column + 1 ? diagonal : T(0.0f));
        elements = v;
#if defined(MSL_CUDA) && !defined(MSL_USES_THREAD_ELEMENTS)
        transposed = v;
#endif
    }
#if !defined(MSL_CUDA) || defined(MSL_USES_THREAD_ELEMENTS)
    MSL_FN constexpr storage_type &thread_elements() { return elements; }
    MSL_FN constexpr const storage_type &thread_elements() const { return elements; }
#endif
};
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;

template <class T, int C = 8, int R = C, class S> MSL_FN simdgroup_matrix<T, C, R> make_diagonal_simdgroup_matrix(S value) {
    return simdgroup_matrix<T, C, R>(T(value));
}
template <class T, int C = 8, int R = C, class S> MSL_FN simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(S value) {
    simdgroup_matrix<T, C, R> m;
    m.elements = vec<T, 2>(T(value));
#if defined(MSL_CUDA) && !defined(MSL_USES_THREAD_ELEMENTS)
    m.transposed = m.elements;
#endif
    return m;
}

#ifdef MSL_CUDA
template <class T, class U>
MSL_FN void simdgroup_load(simdgroup_matrix<T, 8, 8> &d, const U *src, ulong per_row = 8, ulong2 origin = 0, bool transpose = false) {
    const T *p = (const T *)src + origin.y * per_row + origin.x + impl::fragment_row() * per_row + impl::fragment_column();
    vec<T, 2> v = impl::load_pair(p);
    if (transpose) d.set_transposed(v);
    else d.set(v);
}
template <class T, class U>
MSL_FN void simdgroup_store(simdgroup_matrix<T, 8, 8> a, U *dst, ulong per_row = 8, ulong2 origin = 0, bool transpose = false) {
    T *p = (T *)dst + origin.y * per_row + origin.x + impl::fragment_row() * per_row + impl::fragment_column();
    impl::store_pair(p, transpose ? a.right() : a.elements);
}
template <class D, class A, class B, class C>
MSL_FN void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a, simdgroup_matrix<B, 8, 8> b,
                                          simdgroup_matrix<C, 8, 8> c) {
    float2 sum = float2(c.elements);
    if constexpr (is_same_v<A, float> || !is_same_v<A, B>) impl::tensor_product(sum, float2(a.elements), float2(b.right()), sum);
    else impl::tensor_product(sum, a.elements, b.right(), sum);
    d.set(vec<D, 2>(sum));
}
#else
template <class T, class U>
MSL_FN void simdgroup_load(simdgroup_matrix<T, 8, 8> &d, const U *src, ulong per_row = 8, ulong2 origin = 0, bool transpose = false) {
    static_assert(is_same_v<T, remove_cv_t<U>>, "the memory and the matrix hold one type");
    ulong row = impl::fragment_row(), column = impl::fragment_column();
    const U *p = src + origin.y * per_row + origin.x;
    if (transpose) d.elements = vec<T, 2>(p[column * per_row + row], p[(column + 1) * per_row + row]);
    else d.elements = impl::load_pair(p + row * per_row + column);
}
template <class T, class U>
MSL_FN void simdgroup_store(simdgroup_matrix<T, 8, 8> a, U *dst, ulong per_row = 8, ulong2 origin = 0, bool transpose = false) {
    static_assert(is_same_v<T, remove_cv_t<U>>, "the memory and the matrix hold one type");
    ulong row = impl::fragment_row(), column = impl::fragment_column();
    U *p = dst + origin.y * per_row + origin.x;
    if (transpose) p[column * per_row + row] = a.elements.x, p[(column + 1) * per_row + row] = a.elements.y;
    else impl::store_pair(p + row * per_row + column, a.elements);
}
} // namespace metal
namespace impl {
template <class A, class B> inline float2 matrix_product(vec<A, 2> a, vec<B, 2> b, float2 sum, const char *msl_file, unsigned msl_line) {
    struct Both {
        float2 a, b;
    };
    Lanes<Both> all = meet(MSL_SIMD_MATRIX, Both{float2(a), float2(b)}, msl_file, msl_line);
    if (all.mask != 0xffffffffu) {
        runtime->trap("a simdgroup matrix multiplication needs all 32 lanes, and some are not active", msl_file, msl_line);
        return float2(0.0f);
    }
    u32 row = fragment_row(), column = fragment_column();
    for (u32 k = 0; k < 8; ++k) {
        float left = all.slots[fragment_lane(row, k & ~1u)].a.e[k & 1];
        float2 right = all.slots[fragment_lane(k, column)].b;
#ifdef __FMA__
        sum.x = __builtin_fmaf(left, right.x, sum.x), sum.y = __builtin_fmaf(left, right.y, sum.y);
#else
        sum.x += left * right.x, sum.y += left * right.y;
#endif
    }
    return sum;
}
} // namespace impl
namespace metal {
template <class D, class A, class B, class C>
MSL_FN void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a, simdgroup_matrix<B, 8, 8> b,
                                          simdgroup_matrix<C, 8, 8> c MSL_PLACE) {
    d.set(vec<D, 2>(impl::matrix_product(a.elements, b.elements, float2(c.elements) MSL_PASS)));
}
#endif
template <class D, class A, class B>
MSL_FN void simdgroup_multiply(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a, simdgroup_matrix<B, 8, 8> b MSL_PLACE) {
    metal::simdgroup_multiply_accumulate(d, a, b, metal::make_filled_simdgroup_matrix<float, 8>(0.0f) MSL_PASS);
}
template <class T> MSL_FN simdgroup_matrix<T, 8, 8> operator*(simdgroup_matrix<T, 8, 8> a, simdgroup_matrix<T, 8, 8> b) {
    simdgroup_matrix<T, 8, 8> d;
    metal::simdgroup_multiply(d, a, b);
    return d;
}

} // namespace metal
} // namespace msl
