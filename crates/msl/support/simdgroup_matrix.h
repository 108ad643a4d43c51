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

// A lane's two elements as a register holds them: 16-bit ones share a word.
template <class T> using Fragment = conditional_t<sizeof(T) == 2, u32, float2>;
template <class T> MSL_FN Fragment<T> to_fragment(vec<T, 2> v) {
    if constexpr (sizeof(T) == 2) return pair(v.x, v.y);
    else return v;
}
template <class T> MSL_FN float2 to_floats(Fragment<T> f) {
    if constexpr (sizeof(T) == 2) {
        vec<T, 2> v;
        unpair(v.e, f);
        return float2(v);
    } else return f;
}

// The fragment of the transposed matrix.
MSL_FN u32 transpose_fragment(u32 v) {
    u32 r;
    asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r) : "r"(v));
    return r;
}
MSL_FN float2 transpose_fragment(float2 v) {
    // Row l/4 and columns c, c + 1 come from column l/4 of rows c, c + 1.
    unsigned row = fragment_row(), column = fragment_column();
    float a0 = __shfl_sync(0xffffffffu, v.x, column * 4 + row / 2), a1 = __shfl_sync(0xffffffffu, v.y, column * 4 + row / 2);
    float b0 = __shfl_sync(0xffffffffu, v.x, column * 4 + 4 + row / 2), b1 = __shfl_sync(0xffffffffu, v.y, column * 4 + 4 + row / 2);
    return row % 2 ? float2(a1, b1) : float2(a0, b0);
}

// Whether a lane's two neighbours can be one access. Part by part, and as an address in threadgroup memory, which keeps the low
// bits of any other, the compiler can tell it of threadgroup variables and constant strides.
template <class T> MSL_FN bool are_pairs_aligned(const T *p, ulong per_row, ulong2 origin) {
    return __cvta_generic_to_shared(p) % (2 * sizeof(T)) == 0 && per_row % 2 == 0 && origin.x % 2 == 0;
}

// c + a b where `b` is held transposed. The lower eight of the tensor core's sixteen rows stay empty.
template <class T> MSL_FN float2 tensor_product(u32 a, u32 b, float2 c);
template <class T> MSL_FN float2 tensor_product(u32 a, u32 b, u32 a2, u32 b2, float2 c);
#define MSL_TENSOR(T, name)                                                                                                    \
    template <> MSL_FN float2 tensor_product<T>(u32 a, u32 b, float2 c) {                                                      \
        float2 d;                                                                                                              \
        asm("{ .reg .f32 low0, low1;\n"                                                                                        \
            "mma.sync.aligned.m16n8k8.row.col.f32." name "." name ".f32 {%0, %1, low0, low1}, {%2, %3}, {%4}, {%5, %6, %7, %7}; }" \
            : "=f"(d.x), "=f"(d.y)                                                                                             \
            : "r"(a), "r"(0), "r"(b), "f"(c.x), "f"(c.y), "f"(0.0f));                                                          \
        return d;                                                                                                              \
    }                                                                                                                          \
    template <> MSL_FN float2 tensor_product<T>(u32 a, u32 b, u32 a2, u32 b2, float2 c) {                                      \
        float2 d;                                                                                                              \
        asm("{ .reg .f32 low0, low1;\n"                                                                                        \
            "mma.sync.aligned.m16n8k16.row.col.f32." name "." name                                                             \
            ".f32 {%0, %1, low0, low1}, {%2, %4, %3, %4}, {%5, %6}, {%7, %8, %9, %9}; }"                                       \
            : "=f"(d.x), "=f"(d.y)                                                                                             \
            : "r"(a), "r"(a2), "r"(0), "r"(b), "r"(b2), "f"(c.x), "f"(c.y), "f"(0.0f));                                        \
        return d;                                                                                                              \
    }
MSL_TENSOR(half, "f16")
MSL_TENSOR(bfloat, "bf16")
// Float matrices take exact products: every lane gathers its row of a and its two columns of b.
MSL_FN float2 float_product(float2 a, float2 b, float2 d) {
    unsigned row = fragment_row(), column = fragment_column();
    MSL_UNROLL for (unsigned k = 0; k < 8; k += 2) {
        float a0 = __shfl_sync(0xffffffffu, a.x, row * 4 + k / 2), a1 = __shfl_sync(0xffffffffu, a.y, row * 4 + k / 2);
        float b00 = __shfl_sync(0xffffffffu, b.x, column * 4 + k / 2), b10 = __shfl_sync(0xffffffffu, b.y, column * 4 + k / 2);
        float b01 = __shfl_sync(0xffffffffu, b.x, column * 4 + 4 + k / 2), b11 = __shfl_sync(0xffffffffu, b.y, column * 4 + 4 + k / 2);
        d.x = ::fmaf(a1, b10, ::fmaf(a0, b00, d.x));
        d.y = ::fmaf(a1, b11, ::fmaf(a0, b01, d.y));
    }
    return d;
}

// A product that a sum of floats still waits for: the next one along k takes both to the tensor core at once, which multiplies
// sixteen deep. Where loops are unrolled, `kind` is known when compiling, and nothing of this is left but the instruction.
template <class T> struct Pending {
    MSL_FN static void clear() {}
};
template <> struct Pending<float> {
    unsigned kind, a, b; // 0: nothing, 1: half, 2: bfloat; and the bits of the two fragments

    MSL_FN void clear() { kind = 0; }
    template <class T> static constexpr unsigned kind_for = is_same_v<T, half> ? 1 : 2;
    template <class T> MSL_FN void wait(u32 left, u32 right) {
        kind = kind_for<T>;
        a = left;
        b = right;
    }
    MSL_FN float2 added_to(float2 sum) const {
        if (kind == 1) return tensor_product<half>(a, b, sum);
        if (kind == 2) return tensor_product<bfloat>(a, b, sum);
        return sum;
    }
};

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

template <class T> MSL_FN vec<T, 2> to_fragment(vec<T, 2> v) { return v; }
template <class T> MSL_FN vec<T, 2> load_pair(const T *p) { return vec<T, 2>(p[0], p[1]); }
template <class T> MSL_FN void store_pair(T *p, vec<T, 2> v) { p[0] = v.x, p[1] = v.y; }

#endif

} // namespace impl

namespace metal {

template <class T> struct simdgroup_matrix<T, 8, 8> {
    static_assert(is_same_v<T, half> || is_same_v<T, bfloat> || is_same_v<T, float>, "simdgroup matrices hold half, bfloat or float");
    typedef T value_type;
    typedef vec<T, 2> storage_type;

#ifdef MSL_CUDA
    typedef impl::Fragment<T> Fragment;
    Fragment elements;
    impl::Pending<T> pending;
    // The transposed matrix, which a right-hand operand is wanted as. Whichever of the two is never used costs nothing.
    Fragment transposed;
    MSL_FN simdgroup_matrix() { pending.clear(); }
    MSL_FN void set(Fragment v) { set_both(v, impl::transpose_fragment(v)); }
    MSL_FN void set_transposed(Fragment v) { set_both(impl::transpose_fragment(v), v); }
    MSL_FN void set_both(Fragment v, Fragment t) {
        elements = v;
        transposed = t;
        pending.clear();
#ifdef MSL_USES_THREAD_ELEMENTS
        turned = true;
#endif
    }
#ifdef MSL_USES_THREAD_ELEMENTS
    // Whether `transposed` is what it says: not after the kernel has had its hands on the elements.
    bool turned = false;
    MSL_FN storage_type &thread_elements() {
        set(left());
        turned = false;
        return reinterpret_cast<storage_type &>(elements);
    }
    MSL_FN storage_type thread_elements() const { return as_type<storage_type>(left()); }
#endif
    MSL_FN Fragment right() const {
        if constexpr (is_same_v<T, float>)
            if (pending.kind != 0) return impl::transpose_fragment(left());
#ifdef MSL_USES_THREAD_ELEMENTS
        if (!turned) return impl::transpose_fragment(elements);
#endif
        return transposed;
    }
    MSL_FN Fragment left() const {
        if constexpr (is_same_v<T, float>) return pending.added_to(elements);
        else return elements;
    }
#else
    storage_type elements;
    simdgroup_matrix() = default;
    MSL_FN void set(storage_type v) { elements = v; }
    MSL_FN void set_both(storage_type v, storage_type) { elements = v; }
    MSL_FN constexpr storage_type &thread_elements() { return elements; }
    MSL_FN constexpr const storage_type &thread_elements() const { return elements; }
#endif

    MSL_FN explicit simdgroup_matrix(T diagonal) {
        unsigned row = impl::fragment_row(), column = impl::fragment_column();
        storage_type v(row == column ? diagonal : T(0.0f), row == column + 1 ? diagonal : T(0.0f));
        set_both(impl::to_fragment(v), impl::to_fragment(v));
    }
};
typedef simdgroup_matrix<half, 8, 8> simdgroup_half8x8;
typedef simdgroup_matrix<bfloat, 8, 8> simdgroup_bfloat8x8;
typedef simdgroup_matrix<float, 8, 8> simdgroup_float8x8;

template <class T, int C = 8, int R = C, class S> MSL_FN simdgroup_matrix<T, C, R> make_diagonal_simdgroup_matrix(S value) {
    return simdgroup_matrix<T, C, R>(T(value));
}
template <class T, int C = 8, int R = C, class S> MSL_FN simdgroup_matrix<T, C, R> make_filled_simdgroup_matrix(S value) {
    simdgroup_matrix<T, C, R> m;
    auto fragment = impl::to_fragment(vec<T, 2>(T(value)));
    m.set_both(fragment, fragment);
    return m;
}

#ifdef MSL_CUDA
template <class T, class U>
MSL_FN void simdgroup_load(simdgroup_matrix<T, 8, 8> &d, const U *src, ulong per_row = 8, ulong2 origin = 0, bool transpose = false) {
    static_assert(is_same_v<T, remove_cv_t<U>>, "the memory and the matrix hold one type");
    const T *base = (const T *)src, *p = base + (origin.y + impl::fragment_row()) * per_row + origin.x + impl::fragment_column();
    impl::Fragment<T> v;
    if (impl::are_pairs_aligned(base, per_row, origin)) v = *(const impl::Fragment<T> *)p;
    else v = impl::to_fragment(vec<T, 2>(p[0], p[1]));
    if (transpose) d.set_transposed(v);
    else d.set(v);
}
template <class T, class U>
MSL_FN void simdgroup_store(simdgroup_matrix<T, 8, 8> a, U *dst, ulong per_row = 8, ulong2 origin = 0, bool transpose = false) {
    static_assert(is_same_v<T, remove_cv_t<U>>, "the memory and the matrix hold one type");
    T *base = (T *)dst, *p = base + (origin.y + impl::fragment_row()) * per_row + origin.x + impl::fragment_column();
    impl::Fragment<T> v = transpose ? a.right() : a.left();
    if (impl::are_pairs_aligned(base, per_row, origin)) *(impl::Fragment<T> *)p = v;
    else if constexpr (sizeof(T) == 2) impl::unpair(p, v);
    else p[0] = v.x, p[1] = v.y;
}
template <class D, class A, class B, class C>
MSL_FN void simdgroup_multiply_accumulate(simdgroup_matrix<D, 8, 8> &d, simdgroup_matrix<A, 8, 8> a, simdgroup_matrix<B, 8, 8> b,
                                          simdgroup_matrix<C, 8, 8> c) {
    constexpr bool tensor = is_same_v<A, B> && !is_same_v<A, float>;
    if constexpr (tensor && is_same_v<C, float> && is_same_v<D, float>) {
        if (c.pending.kind == impl::Pending<float>::kind_for<A>)
            d.set(impl::tensor_product<A>(c.pending.a, c.pending.b, a.left(), b.right(), c.elements));
        else {
            d.set(c.left());
            d.pending.template wait<A>(a.left(), b.right());
        }
    } else {
        float2 sum = impl::to_floats<C>(c.left());
        if constexpr (tensor) sum = impl::tensor_product<A>(a.left(), b.right(), sum);
        else sum = impl::float_product(impl::to_floats<A>(a.left()), impl::to_floats<B>(b.right()), sum);
        d.set(impl::to_fragment(vec<D, 2>(sum)));
    }
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
