/* The rotation of eight pairs, for the kernels that turn heads. Private to gpu/ops/. */
#ifndef LF_GPU_OPS_ROPE_TURN_CUH
#define LF_GPU_OPS_ROPE_TURN_CUH

#include "gpu/cuda/kernel.cuh"

/* u and v by the angles whose cosines and sines stand at cos_ and sin_; `n` of them are there. */
LF_DEVICE void turn8(float (&u)[8], float (&v)[8], const float *cos_, const float *sin_, int n,
                     bool vec, bool inverse)
{
    float c[8], s[8];
    load8(c, cos_, n, vec);
    load8(s, sin_, n, vec);
#pragma unroll
    for (int e = 0; e < 8; e++) {
        float sine = inverse ? -s[e] : s[e], first = u[e];
        u[e] = first * c[e] - v[e] * sine;
        v[e] = v[e] * c[e] + first * sine;
    }
}

#endif
