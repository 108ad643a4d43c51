// What lowered text needs besides the support library, inside namespace msl.

// The parameters of a kernel, for the function around it.
template <class T> struct msl_no_reference { typedef T type; };
template <class T> struct msl_no_reference<T &> { typedef T type; };
template <class T> struct msl_pointee { typedef T type; };
template <class T> struct msl_pointee<T *> { typedef T type; };
template <class T> struct msl_pointee<T &> { typedef T type; };
template <unsigned N, class F> struct msl_param;
template <unsigned N, class R, class A, class... B> struct msl_param<N, R (*)(A, B...)> : msl_param<N - 1, R (*)(B...)> {};
template <class R, class A, class... B> struct msl_param<0, R (*)(A, B...)> { typedef A type; };

// Conditionals with a half and a literal. `half` and `bfloat` are classes here, convertible from and to numbers, so that
// `c ? h : 0` is ambiguous. An integer literal takes the other arm's type where that is a half; beside a floating
// literal the other arm becomes a float.
template <class T> struct msl_plain { typedef T type; };
template <class T> struct msl_plain<const T> { typedef T type; };
template <class T> struct msl_plain<T &> : msl_plain<T> {};
template <class T> struct msl_plain<T &&> : msl_plain<T> {};
template <class T, class I> struct msl_like_type { typedef I type; };
template <class I> struct msl_like_type<half, I> { typedef half type; };
template <class I> struct msl_like_type<bfloat, I> { typedef bfloat type; };
template <class T, class I> constexpr typename msl_like_type<typename msl_plain<T>::type, I>::type msl_like(I v) {
    return typename msl_like_type<typename msl_plain<T>::type, I>::type(v);
}
template <class T> constexpr T &&msl_wide(T &&v) { return static_cast<T &&>(v); }
constexpr float msl_wide(half &v) { return float(v); }
constexpr float msl_wide(const half &v) { return float(v); }
constexpr float msl_wide(half &&v) { return float(v); }
constexpr float msl_wide(bfloat &v) { return float(v); }
constexpr float msl_wide(const bfloat &v) { return float(v); }
constexpr float msl_wide(bfloat &&v) { return float(v); }

// Names of Metal's own library that public code uses.
template <class T> struct __is_valid_simdgroup_type { static constexpr bool value = metal::is_arithmetic<T>::value; };
namespace metal {
template <class T> struct remove_addrspace { typedef T type; };
template <class T> using remove_addrspace_t = T;
template <class... B> struct _disjunction { static constexpr bool value = (false || ... || bool(B::value)); };
template <class... B> struct _conjunction { static constexpr bool value = (true && ... && bool(B::value)); };
// A value that all threads share: C++ has nothing to make of it.
template <class T> using uniform = T;
template <class T> constexpr T make_uniform(T v) { return v; }
template <class T> constexpr bool is_uniform(T) { return true; }
// Messages of kernels go nowhere.
struct os_log {
    constexpr os_log(const char *, const char *) {}
    template <class... A> void log(A...) const {}
    template <class... A> void log_debug(A...) const {}
    template <class... A> void log_info(A...) const {}
    template <class... A> void log_error(A...) const {}
    template <class... A> void log_fault(A...) const {}
};
} // namespace metal
#ifdef __CUDACC_RTC__
// Functions of clang that public code calls.
constexpr int __builtin_ctz(unsigned v) {
    int n = 0;
    for (; v && !(v & 1); v >>= 1) n++;
    return n;
}
constexpr int __builtin_clz(unsigned v) {
    int n = 32;
    for (; v; v >>= 1) n--;
    return n;
}
constexpr int __builtin_popcount(unsigned v) {
    int n = 0;
    for (; v; v &= v - 1) n++;
    return n;
}
#endif
struct msl_math_mode {};
constexpr msl_math_mode __METAL_MAYBE_FAST_MATH__ = {}, __METAL_FAST_MATH__ = {}, __METAL_PRECISE_MATH__ = {};
