/* 4-bit weights as bitsandbytes defines them, to the byte (0.50; csrc/kernels.cu, functional.py).
 *
 * The flattened row-major matrix is cut into blocks of 64; each block is divided by its largest
 * magnitude and every value becomes the index of the nearest of 16 code values (ties to the lower
 * index, to fp32's precision). Two codes a byte, the even element in the high nibble. With double
 * quantisation the block scales, less their mean, are quantised again: blocks of 256, an 8-bit
 * signed dynamic map, 4.127 bits a weight in all. Host code, any thread.
 */
#ifndef LF_GPU_NF4_H
#define LF_GPU_NF4_H

#include "core/err.h"
#include "core/pool.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LF_NF4_BLOCK 64
#define LF_NF4_BLOCK2 256

extern const float lf_nf4_code[16];
extern const float lf_fp4_code[16];       /* for reading FP4 checkpoints */
extern const float lf_dynamic_map[256];   /* bitsandbytes' create_dynamic_map(signed=True) */

/* Quantises n values (n a multiple of 2) into codes (n/2 bytes), absmax_q (ceil(n/64) bytes),
 * absmax2 (ceil(n/64/256)) and *offset. scratch_absmax: ceil(n/64) floats. pool may be NULL.
 * An all-zero block gets code 7 (0.0) throughout and its scale is harmless. */
void lf_nf4_quantize(uint8_t *codes, uint8_t *absmax_q, float *absmax2, float *offset,
                     float *scratch_absmax, const float *x, size_t n, struct lf_pool *pool);

/* Values [begin, end) of a quantised matrix to fp32, value `begin` to y[0]; begin is a multiple of
 * `block`, end is too, or it is the matrix's end (even).
 * absmax: one scale a block (nested ones resolved with lf_nf4_scales). */
void lf_q4_dequantize(float *y, const uint8_t *codes, const float *code, const float *absmax,
                      int block, size_t begin, size_t end);

/* Resolves doubly quantised scales [begin, end) to fp32, scale `begin` to absmax[0]: map[q[i]] *
 * absmax2[i/block2] + offset, rounded twice. */
void lf_nf4_scales(float *absmax, const uint8_t *q, const float *map, const float *absmax2,
                   int block2, float offset, size_t begin, size_t end);

#ifdef __cplusplus
}
#endif
#endif
