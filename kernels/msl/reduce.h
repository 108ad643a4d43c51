// Several sums across lanes at once.
#pragma once

#include "simd.h"

// Lanes ACROSS apart halve what each of them sums up: a lane keeps KEPT of its values and gives the others away. Where one value is left,
// both add the other's.
template <uint KEPT, uint ACROSS, uint APART>
inline void halve_sums(thread float *v, uint lane) {
    if (KEPT > 0) {
        const bool upper = (lane & ACROSS) != 0;
#pragma unroll
        for (uint i = 0; i < KEPT; ++i) {
            const float given = upper ? v[i] : v[i + KEPT];
            v[i] = (upper ? v[i + KEPT] : v[i]) + simd_shuffle_xor(given, ACROSS);
        }
    } else if (ACROSS >= APART) {
        v[0] += simd_shuffle_xor(v[0], ACROSS);
    }
}

// Sums of N values over the lanes whose numbers are equal but for multiples of APART within WIDTH lanes; N APART <= WIDTH. Lane l gets
// that of value l % WIDTH / (WIDTH / N). N sums take little more than N exchanges. `v` is used up.
template <uint N, uint WIDTH, uint APART>
inline float simd_sums(thread float *v, uint lane) {
    halve_sums<N / 2, WIDTH / 2, APART>(v, lane);
    halve_sums<N / 4, WIDTH / 4, APART>(v, lane);
    halve_sums<N / 8, WIDTH / 8, APART>(v, lane);
    halve_sums<N / 16, WIDTH / 16, APART>(v, lane);
    halve_sums<N / 32, WIDTH / 32, APART>(v, lane);
    return v[0];
}
