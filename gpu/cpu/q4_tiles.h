/* A panel of a 4-bit weight times tokens, in integers of 8 bits, by AMX's tiles. Private to
 * gpu/cpu/q4_fast.c.
 *
 * One instruction multiplies a tile of 16 tokens by 64 elements with one of 64 elements by 16 rows
 * of the weight: a block's sums of 256 results, 16,384 products, where one of VNNI has 64. The sums
 * are exact, and they are scaled and added as q4_fast.c does it: results have the same bytes.
 */
#ifndef LF_GPU_CPU_Q4_TILES_H
#define LF_GPU_CPU_Q4_TILES_H

#include "gpu/cpu/isa.h"

#ifdef __AVX512VNNI__

#define LF_TILES_ROWS 32 /* of a panel */

/* Blocks are of 64 elements. */
struct lf_tiles {
    const int8_t *tokens;      /* (T, stride) */
    const float *token_scales; /* (T, scale_stride) */
    const int8_t
        *numbers; /* (blocks, 16, ROWS, 4): element 4 k + i of a row's block at [k][row][i] */
    const float (*scales)[LF_TILES_ROWS]; /* (blocks) */
    float (*out)[LF_TILES_ROWS];          /* (T), added to */
    size_t T, blocks, stride, scale_stride;
};

#define lf_tiles_begin LF_ISA(tiles_begin)
#define lf_tiles_multiply LF_ISA(tiles_multiply)
#define lf_tiles_end LF_ISA(tiles_end)

/* Around products of the same T, on one thread. The process may use tiles (gpu/backend_cpu.c). */
void lf_tiles_begin(size_t T);
void lf_tiles_multiply(const struct lf_tiles *a);
void lf_tiles_end(void);

#endif

#endif
