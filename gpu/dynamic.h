/* The dynamic 8-bit data type of bitsandbytes (create_dynamic_map; Dettmers, "8-Bit Approximations
 * for Parallelism in Deep Learning", 2015): in it are the scales of doubly quantised weights, and
 * an optimizer's moments. A block of values is divided by its largest magnitude, and each becomes
 * the index of the map's nearest entry. Ascending maps, within [-1, 1] or [0, 1].
 *
 * Host code, any thread; and CUDA's kernels, which have copies of the maps. In the common subset of
 * C17 and C++17.
 */
#ifndef LF_GPU_DYNAMIC_H
#define LF_GPU_DYNAMIC_H

#include <stddef.h>
#include <stdint.h>

#ifdef __CUDACC__
#define LF_DYNAMIC_FN static __host__ __device__ inline
#else
#define LF_DYNAMIC_FN static inline
#endif

#ifdef __cplusplus
extern "C" {
#endif

#define LF_DYNAMIC_BLOCK 256 /* values that share a scale */

extern const float lf_dynamic_map[256];          /* signed */
extern const float lf_dynamic_map_unsigned[256]; /* of what is never negative */

/* Codes of a block of n values; returns its scale, the largest magnitude. */
float lf_dynamic_quantize(uint8_t *codes, const float *map, const float *x, size_t n);

#ifdef __cplusplus
}
#endif

/* The entry nearest to x. A midpoint goes to the even one: there bitsandbytes' search ends. */
LF_DYNAMIC_FN uint8_t lf_dynamic_code(const float *map, float x)
{
    int above = 0; /* the first entry that is not below x, or the last */
    for (int step = 128; step > 0; step >>= 1)
        above += x > map[above + step - 1] ? step : 0;
    int below = above > 0 ? above - 1 : 0;
    float middle = (map[below] + map[above]) * 0.5f;
    return (uint8_t)(x < middle || (x == middle && above % 2) ? below : above);
}

#endif
