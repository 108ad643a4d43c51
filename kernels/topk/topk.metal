// values[r, i] = x[r, indices[r, i]]: the n largest of k, in order, equal ones by index; x: (m, k), values: (m, n) of T; indices: (m, n).
// A threadgroup owns a row. Each pass counts one byte of (sort key, index) for the elements that share the bytes before, until they fill a bin.
#include "math.h"
#include "params.h"
#include "simd.h"

constant constexpr uint MOST = 256;
constant constexpr uint BINS = 256;
constant constexpr uint THREADS = LANES * SIMDS;

// What distinguishes the elements still in question: the bytes of key and of flipped index fixed so far.
struct Bound {
    uint key;
    uint key_mask;
    uint at;
    uint at_mask;
};

// Of equal keys the lower index is larger.
inline uint flipped(uint i) {
    return ~i;
}

template <typename T>
[[kernel, max_total_threads_per_threadgroup(LANES * SIMDS)]] void topk(
    device T *values [[buffer(0)]],
    device int *indices [[buffer(1)]],
    device const T *x [[buffer(2)]],
    constant TopkParams &p [[buffer(3)]],
    constant uint &rows [[buffer(4)]],
    uint3 group [[threadgroup_position_in_grid]],
    uint thread_index [[thread_index_in_threadgroup]],
    uint lane [[thread_index_in_simdgroup]],
    uint simd [[simdgroup_index_in_threadgroup]]) {
    threadgroup atomic_uint bins[BINS];
    threadgroup uint found[3]; // bin, elements above it, elements in it
    threadgroup atomic_uint taken;
    threadgroup uint keys[MOST];
    threadgroup uint places[MOST];
    const uint r = group.x;
    if (r >= rows) {
        return;
    }
    device const T *from = x + ulong(r) * p.ldx;

    Bound bound = {0, 0, 0, 0};
    uint need = p.n;
    for (uint pass = 0; pass < 8; ++pass) {
        const uint shift = 24 - 8 * (pass % 4);
        for (uint b = thread_index; b < BINS; b += THREADS) {
            atomic_store_explicit(&bins[b], 0, memory_order_relaxed);
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        for (uint i = thread_index; i < p.k; i += THREADS) {
            const uint key = sort_key(float(from[i])), at = flipped(i);
            if ((key & bound.key_mask) == bound.key && (at & bound.at_mask) == bound.at) {
                const uint byte = ((pass < 4 ? key : at) >> shift) & 255;
                atomic_fetch_add_explicit(&bins[byte], 1, memory_order_relaxed);
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);

        // A lane owns eight bins; the highest bins come first.
        if (simd == 0) {
            uint count[8], own = 0;
            for (uint b = 0; b < 8; ++b) {
                count[b] = atomic_load_explicit(&bins[BINS - 1 - (8 * lane + b)], memory_order_relaxed);
                own += count[b];
            }
            uint above = simd_prefix_exclusive_sum(own);
            if (above < need && need <= above + own) {
                uint b = 0;
                while (above + count[b] < need) {
                    above += count[b];
                    ++b;
                }
                found[0] = BINS - 1 - (8 * lane + b);
                found[1] = above;
                found[2] = count[b];
            }
        }
        threadgroup_barrier(mem_flags::mem_threadgroup);
        if (pass < 4) {
            bound.key |= found[0] << shift;
            bound.key_mask |= 255u << shift;
        } else {
            bound.at |= found[0] << shift;
            bound.at_mask |= 255u << shift;
        }
        need -= found[1];
        // The whole bin belongs to the result: what lies below the bytes so far does not matter.
        if (found[2] == need) {
            break;
        }
    }

    uint size = 1;
    while (size < p.n) {
        size *= 2;
    }
    if (thread_index == 0) {
        atomic_store_explicit(&taken, 0, memory_order_relaxed);
    }
    for (uint i = p.n + thread_index; i < size; i += THREADS) {
        keys[i] = 0;
        places[i] = 0xffffffff;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (uint i = thread_index; i < p.k; i += THREADS) {
        const uint key = sort_key(float(from[i])), at = flipped(i);
        const uint high = key & bound.key_mask;
        if (high > bound.key || (high == bound.key && (at & bound.at_mask) >= bound.at)) {
            const uint slot = atomic_fetch_add_explicit(&taken, 1, memory_order_relaxed);
            keys[slot] = key;
            places[slot] = i;
        }
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);

    // Bitonic sort (Batcher 1968): a thread compares pairs that no other thread touches.
    for (uint run = 2; run <= size; run *= 2) {
        for (uint gap = run / 2; gap > 0; gap /= 2) {
            for (uint c = thread_index; c < size / 2; c += THREADS) {
                const uint low = c / gap * gap * 2 + c % gap, high = low + gap;
                const bool ordered =
                    keys[low] > keys[high] || (keys[low] == keys[high] && places[low] < places[high]);
                const bool wanted = (low & run) == 0;
                if (ordered != wanted) {
                    const uint key = keys[low], place = places[low];
                    keys[low] = keys[high];
                    places[low] = places[high];
                    keys[high] = key;
                    places[high] = place;
                }
            }
            threadgroup_barrier(mem_flags::mem_threadgroup);
        }
    }
    for (uint i = thread_index; i < p.n; i += THREADS) {
        values[r * p.n + i] = from[places[i]];
        indices[r * p.n + i] = int(places[i]);
    }
}

template [[host_name("topk_half")]] [[kernel]] decltype(topk<half>) topk<half>;
template [[host_name("topk_float")]] [[kernel]] decltype(topk<float>) topk<float>;
