/* Products of the rows of a 4-bit weight with tokens, in integers, on one thread. Private to gpu/.
 *
 * Of 16-bit integers a vector has twice as many products an instruction as of floats, of 8-bit ones
 * four times, and a table of them is looked up for as many codes at once. So the code table and the
 * tokens are rounded to integers of `bits` bits, 16 or 8: what that does to a result is said beside
 * `T_fast` of struct lf_linear_args (gpu/ops.h). A token's integers do not depend on the other
 * tokens, nor do their sums, which are exact over the LF_FAST_BLOCK elements that share a scale of
 * the weight and one of the token: those are scaled and added in fp32, in one order for few tokens
 * and for many.
 */
#ifndef LF_GPU_CPU_Q4_FAST_H
#define LF_GPU_CPU_Q4_FAST_H

#include "gpu/cpu/q4_dots.h"

#define lf_fast_depth LF_ISA(fast_depth)
#define lf_fast_pack LF_ISA(fast_pack)
#define lf_fast_products LF_ISA(fast_products)

/* In integers of `bits` bits, 16 or 8; many tokens in 8 bits by AMX's tiles, where the set is
 * `vnni` and the machine has them: the same bytes come out. */
struct lf_fast_form {
    int bits;
    bool tiles;
};

#define LF_FAST_BLOCK 64   /* elements of a token that share a scale */
#define LF_FAST_TOKENS 256 /* of a call, at most */

/* Room for the packed tokens of a call and what it decodes. */
#define LF_FAST_SCRATCH ((size_t)1 << 20)

/* Whether a weight has this form. */
static inline bool lf_fast_fits(const struct lf_weight *w)
{
#ifdef __AVX2__
    return w->kind == LF_WEIGHT_Q4 && w->block >= LF_FAST_BLOCK && w->K % LF_FAST_BLOCK == 0;
#else
    (void)w;
    return false;
#endif
}

/* Of `left` columns, how many go together next for T tokens: k1 - k0 of the following. */
size_t lf_fast_depth(size_t T, size_t left, int bits);
/* Rounds columns [k0, k1) of T tokens, which start at x, into the scratch. */
void lf_fast_pack(void *scratch, const float *x, size_t ldx, size_t T, size_t k0, size_t k1,
                  int bits);
/* The products, with a scratch packed for the same T, k0, k1 and bits. a->w: lf_fast_fits. */
void lf_fast_products(const struct lf_q4_dots *a, void *scratch, struct lf_fast_form form);

#endif
