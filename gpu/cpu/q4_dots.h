/* Products of the rows of a 4-bit weight with tokens, on one thread, with AVX-512. Private to gpu/.
 *
 * Codes come out of their bytes quickest in an order that is not that of the elements: with
 * AVX-512, a shift of 16 words of 8 codes leaves every eighth element where a permutation of the
 * code table looks for it. So the tokens are put in that order first ("packed"), which costs as
 * much as one row of the weight, and multiplied in it while the weight is being decoded.
 */
#ifndef LF_GPU_CPU_Q4_DOTS_H
#define LF_GPU_CPU_Q4_DOTS_H

#include "gpu/cpu/q4.h"
#include "gpu/ops.h"

#define lf_q4_dots_pack LF_ISA(q4_dots_pack)
#define lf_q4_dots LF_ISA(q4_dots)

/* Whether a weight has this form. */
static inline bool lf_q4_dots_fit(const struct lf_weight *w)
{
#ifdef __AVX512F__
    return lf_q4_fits(w);
#else
    (void)w;
    return false;
#endif
}

#define LF_Q4_DOTS_TOKENS 64  /* of a call, at most */
#define LF_Q4_DOTS_DEPTH 5376 /* columns that go together: six tokens stay in the second cache */

/* Room for the packed tokens of a call. */
#define LF_Q4_DOTS_SCRATCH (sizeof(float) * LF_Q4_DOTS_TOKENS * LF_Q4_DOTS_DEPTH)

/* y[t*ldy + n - n0] = W[n, k0:k1].x[t, k0:k1], or += that, for n in [n0, n1) and t < T. */
struct lf_q4_dots {
    float *y;
    size_t ldy;
    const struct lf_weight *w; /* lf_q4_fits */
    size_t n0, n1, k0, k1, T;
    bool accumulate;
};

/* Packs columns [k0, k1) of T tokens, which start at x; k0 is a multiple of LF_Q4_DOTS_DEPTH. */
void lf_q4_dots_pack(float *packed, const float *x, size_t ldx, size_t T, size_t k0, size_t k1);
/* The products, with tokens packed for the same T, k0 and k1. A token's do not depend on T. */
void lf_q4_dots(const struct lf_q4_dots *a, const float *packed);

#endif
