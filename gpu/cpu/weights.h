/* Weights for the cpu backend's products: decoded in pieces that stay in the caches, or multiplied
 * while they are being decoded. Private to gpu/. */
#ifndef LF_GPU_CPU_WEIGHTS_H
#define LF_GPU_CPU_WEIGHTS_H

#include "gpu/cpu/isa.h"
#include "gpu/ops.h"

#define lf_weight_view LF_ISA(weight_view)
#define lf_weight_panel LF_ISA(weight_panel)
#define lf_weight_gemv LF_ISA(weight_gemv)

/* Rows of a piece of a weight in fp32: row n0 + i, columns from k0 on, at p + i*ld. */
struct lf_weight_rows {
    const float *p;
    size_t ld;
};

/* Decodes rows [n0, n1), columns [k0, k1) into buffer, (n1-n0) * (k1-k0) floats; an fp32 weight is
 * pointed to where it is. */
struct lf_weight_rows lf_weight_view(const struct lf_weight *w, size_t n0, size_t n1, size_t k0,
                                     size_t k1, float *buffer);

/* Decodes rows [n0, n1), at most LF_PANEL, columns [k0, k1) into the panel of lf_gemm in which they
 * are columns: (k1-k0) * LF_PANEL floats at dst. buffer: as for lf_weight_view. */
void lf_weight_panel(float *dst, const struct lf_weight *w, size_t n0, size_t n1, size_t k0,
                     size_t k1, float *buffer);

/* For more tokens, decoding to memory first is faster; with AVX-512 it never is. */
#ifdef __AVX512F__
#define LF_GEMV_TOKENS SIZE_MAX
#else
#define LF_GEMV_TOKENS 4
#endif

/* y[t*ldy + n] = W[n, :].x[t, :], or += that, for n in [n0, n1) (y is where n0 goes) and t < T.
 * False where this weight has no such form, or not for so many tokens: decode it instead. A token's
 * sums do not depend on T; where T decides, they are those of lf_gemm_dots over LF_DOTS_DEPTH
 * columns at a time. */
bool lf_weight_gemv(float *y, size_t ldy, const struct lf_weight *w, size_t n0, size_t n1,
                    const float *x, size_t ldx, size_t T, bool accumulate);

#endif
