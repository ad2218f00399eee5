/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", SC'11). A value is a pure function of (key, counter), so a resumed run repeats a
 * dropout mask, a fused run draws what a lone run draws, and CPU and CUDA agree.
 * Header-only, in the common subset of C and CUDA C++.
 */
#ifndef LF_CORE_RNG_H
#define LF_CORE_RNG_H

#include <stdint.h>

#ifdef __CUDACC__
#define LF_RNG_FN static __host__ __device__ inline
#else
#define LF_RNG_FN static inline
#endif

struct lf_u32x4 {
    uint32_t v[4];
};

/* Four 32-bit words for counter (c0, c1) under key. c0 is usually an element index / 4, c1 names
 * what the numbers are for. */
LF_RNG_FN struct lf_u32x4 lf_rng4(uint64_t key, uint64_t c0, uint64_t c1)
{
    uint32_t x0 = (uint32_t)c0, x1 = (uint32_t)(c0 >> 32);
    uint32_t x2 = (uint32_t)c1, x3 = (uint32_t)(c1 >> 32);
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int i = 0; i < 10; i++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * x0, p1 = (uint64_t)0xCD9E8D57u * x2;
        uint32_t y0 = (uint32_t)(p1 >> 32) ^ x1 ^ k0, y2 = (uint32_t)(p0 >> 32) ^ x3 ^ k1;
        x1 = (uint32_t)p1;
        x3 = (uint32_t)p0;
        x0 = y0;
        x2 = y2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    struct lf_u32x4 r;
    r.v[0] = x0;
    r.v[1] = x1;
    r.v[2] = x2;
    r.v[3] = x3;
    return r;
}

/* Word `i` of the stream (key, c1). */
LF_RNG_FN uint32_t lf_rng_u32(uint64_t key, uint64_t i, uint64_t c1)
{
    return lf_rng4(key, i >> 2, c1).v[i & 3];
}

/* Uniform in [0, 1) with 24 bits, exact in fp32. */
LF_RNG_FN float lf_rng_unit(uint32_t u)
{
    return (float)(u >> 8) * (1.0f / 16777216.0f);
}

#endif
