/* 4-bit weights as bitsandbytes defines them, to the byte (0.50; csrc/kernels.cu, functional.py).
 *
 * The flattened row-major matrix is cut into blocks of 64; each block is divided by its largest
 * magnitude and every value becomes the index of the nearest of 16 code values (ties to the lower
 * index, to fp32's precision). Two codes a byte, the even element in the high nibble. With double
 * quantisation the block scales, less their mean, are quantised again: blocks of 256, an 8-bit
 * signed dynamic map (gpu/dynamic.h), 4.127 bits a weight in all. Host code, any thread.
 */
#ifndef LF_GPU_NF4_H
#define LF_GPU_NF4_H

#include "core/err.h"
#include "core/pool.h"
#include "gpu/dynamic.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LF_NF4_BLOCK 64
#define LF_NF4_BLOCK2 256
#define LF_NF4_ZERO 7 /* the code of 0.0 */

extern const float lf_nf4_code[16];
/* The code is i + 1 or more exactly when x / absmax > threshold i: the midpoints of neighbouring
 * codes, to the last digit as bitsandbytes writes them. */
extern const float lf_nf4_thresholds[15];
extern const float lf_fp4_code[16]; /* for reading FP4 checkpoints */

/* Codes (n/2 bytes) of one block of n <= 64 values, n even; returns its scale. An all-zero block
 * gets code 7 (0.0) throughout. This is the meaning of lf_ops.nf4, which quantises a matrix. */
float lf_nf4_quantize_block(uint8_t *codes, const float *x, size_t n);

/* Quantises n > 0 block scales into absmax_q (n bytes), absmax2 (ceil(n/256)) and *offset. pool
 * may be NULL. */
void lf_nf4_quantize_scales(uint8_t *absmax_q, float *absmax2, float *offset, const float *absmax,
                            size_t n, struct lf_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
