// What becomes of a matmul's sums.
#pragma once

#include "math.h"
#include "params.h"

// y[r, j] = f(alpha sum (+ bias[j])) (+ beta y[r, j]).
template <typename T>
inline void store_output(device T *y, uint r, uint j, float sum, device const T *bias, constant MatmulParams &p) {
    float v = p.alpha * sum;
    if (p.bias != 0) {
        v += float(bias[j]);
    }
    v = activated(v, p.activation);
    device T *out = y + ulong(r) * p.ldy + j;
    if (p.accumulate != 0) {
        v = fma(p.beta, float(*out), v);
    }
    *out = T(v);
}
