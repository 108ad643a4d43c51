// Matrices of C columns and R rows, stored by columns.
namespace msl {
namespace metal {

template <class T, int C, int R = C> struct matrix {
    typedef vec<T, R> column;
    column columns[C];

    matrix() = default;
    MSL_FN explicit matrix(T diagonal) {
        MSL_UNROLL for (int c = 0; c < C; ++c)
            MSL_UNROLL for (int r = 0; r < R; ++r) columns[c][r] = c == r ? diagonal : T(0.0f);
    }
    template <class... P, enable_if_t<sizeof...(P) == C && (C > 1) && ((impl::Canon<P>::N == R) && ...), int> = 0>
    MSL_FN constexpr matrix(P... p) : columns{column(p)...} {}
    // Scalars, column by column.
    template <class... P, enable_if_t<sizeof...(P) == C * R && ((impl::Canon<P>::N == 0) && ...), long> = 0> MSL_FN matrix(P... p) {
        T all[C * R] = {T(p)...};
        MSL_UNROLL for (int c = 0; c < C; ++c)
            MSL_UNROLL for (int r = 0; r < R; ++r) columns[c][r] = all[c * R + r];
    }
    template <class U, enable_if_t<!is_same_v<U, T>, int> = 0> MSL_FN explicit matrix(const matrix<U, C, R> &m) {
        MSL_UNROLL for (int c = 0; c < C; ++c) columns[c] = column(m.columns[c]);
    }
    MSL_FN constexpr column &operator[](int c) { return columns[c]; }
    MSL_FN constexpr const column &operator[](int c) const { return columns[c]; }

    MSL_FN friend matrix operator+(const matrix &a, const matrix &b) {
        matrix m;
        MSL_UNROLL for (int c = 0; c < C; ++c) m.columns[c] = a.columns[c] + b.columns[c];
        return m;
    }
    MSL_FN friend matrix operator-(const matrix &a, const matrix &b) {
        matrix m;
        MSL_UNROLL for (int c = 0; c < C; ++c) m.columns[c] = a.columns[c] - b.columns[c];
        return m;
    }
    MSL_FN friend matrix operator-(const matrix &a) {
        matrix m;
        MSL_UNROLL for (int c = 0; c < C; ++c) m.columns[c] = -a.columns[c];
        return m;
    }
    MSL_FN friend matrix operator*(const matrix &a, T s) {
        matrix m;
        MSL_UNROLL for (int c = 0; c < C; ++c) m.columns[c] = a.columns[c] * column(s);
        return m;
    }
    MSL_FN friend matrix operator*(T s, const matrix &a) { return a * s; }
    MSL_FN friend matrix operator/(const matrix &a, T s) {
        matrix m;
        MSL_UNROLL for (int c = 0; c < C; ++c) m.columns[c] = a.columns[c] / column(s);
        return m;
    }
    MSL_FN friend column operator*(const matrix &a, vec<T, C> v) {
        column r = a.columns[0] * column(v[0]);
        MSL_UNROLL for (int c = 1; c < C; ++c) r += a.columns[c] * column(v[c]);
        return r;
    }
    MSL_FN friend vec<T, C> operator*(vec<T, R> v, const matrix &a) {
        vec<T, C> r;
        MSL_UNROLL for (int c = 0; c < C; ++c) r[c] = metal::dot(v, a.columns[c]);
        return r;
    }
    MSL_FN matrix &operator+=(const matrix &b) { return *this = *this + b; }
    MSL_FN matrix &operator-=(const matrix &b) { return *this = *this - b; }
    MSL_FN matrix &operator*=(const matrix &b) { return *this = *this * b; }
    MSL_FN matrix &operator*=(T s) { return *this = *this * s; }
    MSL_FN matrix &operator/=(T s) { return *this = *this / s; }
    MSL_FN friend bool operator==(const matrix &a, const matrix &b) {
        bool same = true;
        MSL_UNROLL for (int c = 0; c < C; ++c) same = same && metal::all(a.columns[c] == b.columns[c]);
        return same;
    }
    MSL_FN friend bool operator!=(const matrix &a, const matrix &b) { return !(a == b); }
};

template <class T, int K, int R, int C> MSL_FN matrix<T, C, R> operator*(const matrix<T, K, R> &a, const matrix<T, C, K> &b) {
    matrix<T, C, R> m;
    MSL_UNROLL for (int c = 0; c < C; ++c) m.columns[c] = a * b.columns[c];
    return m;
}
template <class T, int C, int R> MSL_FN matrix<T, R, C> transpose(const matrix<T, C, R> &a) {
    matrix<T, R, C> m;
    MSL_UNROLL for (int c = 0; c < C; ++c)
        MSL_UNROLL for (int r = 0; r < R; ++r) m.columns[r][c] = a.columns[c][r];
    return m;
}
template <class T> MSL_FN T determinant(const matrix<T, 2, 2> &a) { return a[0][0] * a[1][1] - a[1][0] * a[0][1]; }
template <class T> MSL_FN T determinant(const matrix<T, 3, 3> &a) { return metal::dot(a[0], metal::cross(a[1], a[2])); }
template <class T> MSL_FN T determinant(const matrix<T, 4, 4> &a) {
    T d = T(0.0f);
    MSL_UNROLL for (int c = 0; c < 4; ++c) {
        matrix<T, 3, 3> minor;
        MSL_UNROLL for (int i = 0, k = 0; i < 4; ++i) {
            if (i == c) continue;
            minor[k++] = vec<T, 3>(a[i][1], a[i][2], a[i][3]);
        }
        T term = a[c][0] * metal::determinant(minor);
        d = c % 2 ? d - term : d + term;
    }
    return d;
}

} // namespace metal

#define MSL_MATRIX_NAMES(T)                                                                                      \
    typedef metal::matrix<T, 2, 2> T##2x2;                                                                       \
    typedef metal::matrix<T, 2, 3> T##2x3;                                                                       \
    typedef metal::matrix<T, 2, 4> T##2x4;                                                                       \
    typedef metal::matrix<T, 3, 2> T##3x2;                                                                       \
    typedef metal::matrix<T, 3, 3> T##3x3;                                                                       \
    typedef metal::matrix<T, 3, 4> T##3x4;                                                                       \
    typedef metal::matrix<T, 4, 2> T##4x2;                                                                       \
    typedef metal::matrix<T, 4, 3> T##4x3;                                                                       \
    typedef metal::matrix<T, 4, 4> T##4x4;                                                                       \
    namespace metal {                                                                                            \
    using msl::T##2x2, msl::T##2x3, msl::T##2x4, msl::T##3x2, msl::T##3x3, msl::T##3x4, msl::T##4x2, msl::T##4x3, msl::T##4x4; \
    }                                                                                                            \
    static_assert(sizeof(T##2x3) == 8 * sizeof(T) && sizeof(T##4x4) == 16 * sizeof(T) && sizeof(T##3x2) == 6 * sizeof(T), "");
MSL_MATRIX_NAMES(half)
MSL_MATRIX_NAMES(float)

} // namespace msl
