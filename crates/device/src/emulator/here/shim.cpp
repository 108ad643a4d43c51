// Calls that clang's instrumentation makes, handed to the emulator with the place they come from. Nothing here is instrumented.
typedef __UINTPTR_TYPE__ MslWord;
struct MslChecks {
    void (*access)(MslWord address, MslWord bytes, unsigned write, MslWord pc, MslWord frame);
    void (*copy)(MslWord to, MslWord from, MslWord bytes, MslWord pc, MslWord frame);
    void (*step)(MslWord pc, MslWord frame);
    void (*arithmetic)(MslWord pc, MslWord frame);
    void (*bounds)(MslWord index, MslWord pc, MslWord frame);
    void (*alignment)(MslWord address, MslWord alignment, unsigned write, MslWord pc, MslWord frame);
};
static const MslChecks *msl_checks;
#define MSL_RAW __attribute__((no_sanitize("address", "undefined", "coverage"), noinline))
#define MSL_HOOK extern "C" __attribute__((visibility("hidden"), no_sanitize("address", "undefined", "coverage")))
#define MSL_PC (MslWord) __builtin_return_address(0), (MslWord) __builtin_frame_address(0)
extern "C" MSL_RAW void msl_bind_checks(const MslChecks *checks) { msl_checks = checks; }
#define MSL_ACCESS(n) \
    MSL_HOOK void __asan_load##n##_noabort(MslWord p) { msl_checks->access(p, n, 0, MSL_PC); } \
    MSL_HOOK void __asan_store##n##_noabort(MslWord p) { msl_checks->access(p, n, 1, MSL_PC); }
MSL_ACCESS(1)
MSL_ACCESS(2)
MSL_ACCESS(4)
MSL_ACCESS(8)
MSL_ACCESS(16)
MSL_HOOK void __asan_loadN_noabort(MslWord p, MslWord n) { msl_checks->access(p, n, 0, MSL_PC); }
MSL_HOOK void __asan_storeN_noabort(MslWord p, MslWord n) { msl_checks->access(p, n, 1, MSL_PC); }
extern "C" void *memcpy(void *, const void *, __SIZE_TYPE__);
extern "C" void *memmove(void *, const void *, __SIZE_TYPE__);
extern "C" void *memset(void *, int, __SIZE_TYPE__);
MSL_HOOK void *__asan_memcpy(void *to, const void *from, __SIZE_TYPE__ n) {
    msl_checks->copy((MslWord)to, (MslWord)from, n, MSL_PC);
    return memmove(to, from, n);
}
MSL_HOOK void *__asan_memmove(void *to, const void *from, __SIZE_TYPE__ n) {
    msl_checks->copy((MslWord)to, (MslWord)from, n, MSL_PC);
    return memmove(to, from, n);
}
MSL_HOOK void *__asan_memset(void *to, int value, __SIZE_TYPE__ n) {
    msl_checks->access((MslWord)to, n, 1, MSL_PC);
    return memset(to, value, n);
}
MSL_HOOK void __asan_init() {}
MSL_HOOK void __asan_handle_no_return() {}
MSL_HOOK void __sanitizer_cov_trace_pc() { msl_checks->step(MSL_PC); }
MSL_HOOK void __ubsan_handle_divrem_overflow(void *, MslWord, MslWord) { msl_checks->arithmetic(MSL_PC); }
MSL_HOOK void __ubsan_handle_out_of_bounds(void *, MslWord index) { msl_checks->bounds(index, MSL_PC); }
struct MslMismatch {
    const char *file;
    unsigned line, column;
    const void *type;
    unsigned char log_alignment, kind;
};
MSL_HOOK void __ubsan_handle_type_mismatch_v1(MslMismatch *at, MslWord address) {
    MslWord alignment = (MslWord)1 << at->log_alignment;
    if (address % alignment) msl_checks->alignment(address, alignment, at->kind == 1, MSL_PC);
}
