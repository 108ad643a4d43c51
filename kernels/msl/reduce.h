// Several sums across lanes at once.
#pragma once

#include "simd.h"

// Sums of N values over the lanes whose numbers are equal but for multiples of APART within WIDTH lanes; N APART <= WIDTH. Lane l gets
// that of value l % WIDTH / (WIDTH / N). Each step halves the values: a lane keeps one half and gives the other away, so that N sums
// take little more than N exchanges. `v` is used up.
template <uint N, uint WIDTH, uint APART>
inline float simd_sums(thread float *v, uint lane) {
#pragma unroll
    for (uint kept = N / 2; kept > 0; kept /= 2) {
        const uint across = WIDTH / N * kept;
        const bool upper = (lane & across) != 0;
#pragma unroll
        for (uint i = 0; i < kept; ++i) {
            const float given = upper ? v[i] : v[i + kept];
            v[i] = (upper ? v[i + kept] : v[i]) + simd_shuffle_xor(given, across);
        }
    }
#pragma unroll
    for (uint across = WIDTH / N / 2; across >= APART; across /= 2) {
        v[0] += simd_shuffle_xor(v[0], across);
    }
    return v[0];
}
