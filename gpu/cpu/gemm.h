/* Dense products for the cpu backend, on one thread. Private to gpu/.
 *
 * The large product keeps 6 x 16 sums in registers and reads B in panels of 16 columns, each K x 16
 * floats in a row, so that whoever makes B (a dequantiser, a transposition) makes it in that form.
 */
#ifndef LF_GPU_CPU_GEMM_H
#define LF_GPU_CPU_GEMM_H

#include "gpu/cpu/isa.h"

#include <stdbool.h>

#define LF_PANEL 16        /* columns of a panel */
#define LF_DOTS_DEPTH 1024 /* of K at a time, where long sums are those of lf_gemm_dots */

#define lf_gemm LF_ISA(gemm)
#define lf_gemm_rows LF_ISA(gemm_rows)
#define lf_gemm_as_dots LF_ISA(gemm_as_dots)
#define lf_gemm_dots LF_ISA(gemm_dots)
#define lf_pack_rows LF_ISA(pack_rows)
#define lf_pack_columns LF_ISA(pack_columns)

/* A matrix that is read by element: (i, k) is at p + i*rs + k*cs. Transposed, rs and cs swap. */
struct lf_mat {
    const float *p;
    ptrdiff_t rs, cs;
};

/* Floats that the packed form of a (K, N) matrix takes: panels are padded with zeros. */
static inline size_t lf_packed_floats(size_t K, size_t N)
{
    return (N + LF_PANEL - 1) / LF_PANEL * LF_PANEL * K;
}

/* C[i, j] = alpha * sum_k A(i, k) B[k, j], or += that; i < M, j < N. B is packed. */
void lf_gemm(float *C, size_t ldc, struct lf_mat A, const float *B, size_t M, size_t N, size_t K,
             float alpha, bool accumulate);

/* The same, to the bit, as lf_gemm_dots of B's transpose, for many rows of A: what a row gets does
 * not depend on which of the two it goes through. A few K at a time (the packed B is read at every
 * eighth k). */
void lf_gemm_as_dots(float *C, size_t ldc, struct lf_mat A, const float *B, size_t M, size_t N,
                     size_t K, float alpha, bool accumulate);

/* lf_gemm with B row-major and unpacked, for a B that is used once. */
void lf_gemm_rows(float *C, size_t ldc, struct lf_mat A, const float *B, size_t ldb, size_t M,
                  size_t N, size_t K, float alpha, bool accumulate);

/* Packs a row-major (K, N) matrix. */
void lf_pack_rows(float *dst, const float *src, size_t ld, size_t K, size_t N);
/* Packs the transpose of a row-major (N, K) matrix, which makes it (K, N). */
void lf_pack_columns(float *dst, const float *src, size_t ld, size_t K, size_t N);

/* C[i, j] = alpha * A[i, :].B[j, :], or += that: rows by rows. For few rows of A (M small), where
 * packing B would cost more than it saves. A sum has eight lanes, one for every eighth k, which are
 * added in the order of lf_v8_sum. */
void lf_gemm_dots(float *C, size_t ldc, const float *A, size_t lda, const float *B, size_t ldb,
                  size_t M, size_t N, size_t K, float alpha, bool accumulate);

#endif
