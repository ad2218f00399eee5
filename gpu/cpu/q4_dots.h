/* Products of the rows of a 4-bit weight with a few tokens, on one thread. Private to gpu/.
 *
 * Codes come out of their bytes quickest in an order that is not that of the elements: with
 * AVX-512, a shift of 16 words of 8 codes leaves every eighth element where a permutation of the
 * code table looks for it. So the tokens are put in that order first ("packed"), which costs as
 * much as one row of the weight, and multiplied in it while the weight is being decoded.
 */
#ifndef LF_GPU_CPU_Q4_DOTS_H
#define LF_GPU_CPU_Q4_DOTS_H

#include "gpu/cpu/isa.h"
#include "gpu/ops.h"

#define lf_q4_dots_depth LF_ISA(q4_dots_depth)
#define lf_q4_dots_pack LF_ISA(q4_dots_pack)
#define lf_q4_dots LF_ISA(q4_dots)

/* Tokens of a call, at most: for more, decoding to memory first is faster. */
#if defined __AVX512F__
#define LF_Q4_DOTS_TOKENS 18
#elif defined __AVX2__
#define LF_Q4_DOTS_TOKENS 4
#else
#define LF_Q4_DOTS_TOKENS 0
#endif

/* Room for the packed tokens of a call. */
#define LF_Q4_DOTS_SCRATCH ((size_t)1 << 20)

/* y[t*ldy + n - n0] = W[n, k0:k1].x[t, k0:k1], or += that, for n in [n0, n1) and t < T. */
struct lf_q4_dots {
    float *y;
    size_t ldy;
    const struct lf_weight *w; /* lf_q4_fits */
    size_t n0, n1, k0, k1, T;
    bool accumulate;
};

/* Columns that go together for T tokens: packed, they fit into the scratch. k0 is a multiple. */
size_t lf_q4_dots_depth(size_t T);
/* Packs columns [k0, k1) of T tokens, which start at x. */
void lf_q4_dots_pack(float *packed, const float *x, size_t ldx, size_t T, size_t k0, size_t k1);
/* The products, with tokens packed for the same T, k0 and k1. */
void lf_q4_dots(const struct lf_q4_dots *a, const float *packed);

#endif
