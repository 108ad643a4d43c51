// What becomes of a matmul's sum.
#pragma once

#include "math.h"
#include "params.h"

// f(v): none, relu, gelu or silu, by the number of an activation.
inline float activated(float v, uint activation) {
    switch (activation) {
    case 1: return max(v, 0.0f);
    case 2: return gelu(v);
    case 3: return silu(v);
    default: return v;
    }
}

// *y = f(alpha v + bias[j]) + beta *y
template <typename T>
inline void finish(device T *y, device const T *bias, constant MatmulParams &p, uint j, float v) {
    v *= p.alpha;
    if (p.bias != 0) {
        v += float(bias[j]);
    }
    v = activated(v, p.activation);
    if (p.accumulate != 0) {
        v = fma(p.beta, float(*y), v);
    }
    *y = T(v);
}
