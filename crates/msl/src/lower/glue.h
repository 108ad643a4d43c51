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

// The type that an arm of a conditional is cast to: `A` and `B` are decltype((expression)) of the arm and of the other.
// `half` and `bfloat` are classes here, convertible from and to numbers, so that `c ? h : 0` would be ambiguous. Beside a
// float they become floats, an integer beside them becomes one of them; everything else stays what it is.
template <class T> struct msl_plain { typedef T type; };
template <class T> struct msl_plain<const T> { typedef T type; };
template <class T> struct msl_plain<T &> : msl_plain<T> {};
template <class T> struct msl_plain<T &&> : msl_plain<T> {};
template <class T> struct msl_is_small { static constexpr bool value = false; };
template <> struct msl_is_small<half> { static constexpr bool value = true; };
template <> struct msl_is_small<bfloat> { static constexpr bool value = true; };
template <class T> struct msl_is_pointer { static constexpr bool value = false; };
template <class T> struct msl_is_pointer<T *> { static constexpr bool value = true; };
template <class A, class P, class Q, int Case> struct msl_arm_case { typedef A type; };
template <class A, class P, class Q> struct msl_arm_case<A, P, Q, 1> { typedef float type; };
template <class A, class P, class Q> struct msl_arm_case<A, P, Q, 2> { typedef Q type; };
template <class A, class P, class Q> struct msl_arm_case<A, P, Q, 3> { typedef P type; };
template <class A, class P, class Q> constexpr int msl_arm_kind() {
    constexpr bool number = metal::is_arithmetic<P>::value, other = metal::is_arithmetic<Q>::value;
    if (msl_is_small<P>::value && (metal::is_same<Q, float>::value || msl_is_small<Q>::value && !metal::is_same<P, Q>::value)) return 1;
    if (number && !msl_is_small<P>::value && !metal::is_same<P, float>::value && msl_is_small<Q>::value) return 2;
    if (metal::is_same<A, int>::value && msl_is_pointer<Q>::value) return 2;
    return (number && other) || msl_is_pointer<P>::value ? 3 : 0;
}
template <class A, class P, class Q> using msl_arm_type = typename msl_arm_case<A, P, Q, msl_arm_kind<A, P, Q>()>::type;
template <class A, class B> using msl_arm = msl_arm_type<A, typename msl_plain<A>::type, typename msl_plain<B>::type>;

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
