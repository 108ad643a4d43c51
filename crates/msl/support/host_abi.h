// What lowered text and the emulator know of each other: the thread that a kernel runs as, and the table of calls it makes.
// Plain C without includes, mirrored field by field on the Rust side.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

// One thread of a dispatch. A kernel is `void <symbol>(const MslThread *)`. Positions and sizes are x, y, z in threads or groups.
typedef struct MslThread {
    void *const *buffers;     // by buffer index; bytes set inline are pointers here too
    void *const *threadgroup; // by threadgroup index, for lengths set by the host
    unsigned thread_position_in_grid[3];
    unsigned threadgroup_position_in_grid[3];
    unsigned thread_position_in_threadgroup[3];
    unsigned threads_per_grid[3];
    unsigned threadgroups_per_grid[3];
    unsigned threads_per_threadgroup[3];
    unsigned dispatch_threads_per_threadgroup[3]; // what was asked for; the last group of a ragged grid may have fewer threads
    unsigned thread_index_in_threadgroup;
    unsigned thread_index_in_simdgroup;
    unsigned simdgroup_index_in_threadgroup;
    unsigned simdgroups_per_threadgroup;
    unsigned dispatch_simdgroups_per_threadgroup;
    unsigned threads_per_simdgroup; // 32
} MslThread;

// Scopes of MslRuntime.barrier.
enum { MSL_SCOPE_SIMDGROUP = 0, MSL_SCOPE_THREADGROUP = 1 };

// Flags of MslRuntime.barrier: the bits of metal::mem_flags.
enum { MSL_MEM_NONE = 0, MSL_MEM_DEVICE = 1, MSL_MEM_THREADGROUP = 2, MSL_MEM_TEXTURE = 4 };

// Kinds of MslRuntime.exchange, for reports. Lanes that meet in one exchange must agree on the kind and the size.
enum {
    MSL_SIMD_REDUCE = 0,  // simd_sum, simd_product, simd_min, simd_max, simd_and, simd_or, simd_xor
    MSL_SIMD_PREFIX = 1,  // simd_prefix_*
    MSL_SIMD_SHUFFLE = 2, // simd_shuffle*, simd_broadcast*, quad_shuffle*, quad_broadcast*
    MSL_SIMD_VOTE = 3,    // simd_ballot, simd_all, simd_any, simd_active_threads_mask, simd_is_first, quad_*
    MSL_SIMD_MATRIX = 4,  // simdgroup_matrix multiply; all 32 lanes are needed
    MSL_QUAD_REDUCE = 5,  // quad_sum, quad_product, ...
    MSL_QUAD_PREFIX = 6,
};

// Kinds of MslRuntime.atomic.
enum { MSL_ATOMIC_LOAD = 0, MSL_ATOMIC_STORE = 1, MSL_ATOMIC_RMW = 2 };

// Every call carries the user's source place. `file` and `name` live as long as the library does.
typedef struct MslRuntime {
    // The thread that is calling.
    const MslThread *(*self)(void);
    void (*barrier)(unsigned scope, unsigned flags, const char *file, unsigned line);
    // Every active lane of the SIMD group deposits `size` bytes at `in`. Returns the mask of the lanes that took part; `out` holds
    // 32 slots of `size` bytes, by lane; slots of lanes that did not take part are zero.
    unsigned (*exchange)(unsigned kind, const void *in, unsigned size, void *out, const char *file, unsigned line);
    // The threadgroup's storage of declaration `id`: the same address for all threads of one threadgroup.
    void *(*threadgroup_alloc)(unsigned id, unsigned bytes, unsigned align, const char *name, const char *file, unsigned line);
    // Told before each atomic operation on `size` bytes at `address`, which the library then does.
    void (*atomic)(const void *address, unsigned size, unsigned kind, const char *file, unsigned line);
    // Reports a fault of the calling thread. May return: the library then goes on with zeros.
    void (*trap)(const char *message, const char *file, unsigned line);
} MslRuntime;

// Defined by each lowered text, exported: the emulator calls it once, before the first kernel.
void msl_bind(const MslRuntime *runtime);

#ifdef __cplusplus
}
#endif
