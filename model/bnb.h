/* 4-bit matrices as bitsandbytes serialises them beside a weight P:
 *   P                                 U8 codes, two an element (or the same bytes as another dtype)
 *   P.absmax                          U8 when nested, else F32
 *   P.quant_map                       F32 [16]
 *   P.nested_absmax, P.nested_quant_map   F32, when nested
 *   P.quant_state.bitsandbytes__nf4   U8: JSON with block sizes, shape and the nested offset
 * Read into, and written from, struct lf_weight whose pointers are host memory. Private to model/.
 */
#ifndef LF_MODEL_BNB_H
#define LF_MODEL_BNB_H

#include "core/err.h"
#include "gpu/ops.h"
#include "model/limits.h"
#include "model/safetensors.h"

#include <stdbool.h>

/* Looks for a 4-bit matrix (N, K) of this name. *w points into the map, not necessarily aligned.
 * *found false: there is none. LF_E_DAMAGED: there is, and its parts do not fit together. */
enum lf_err lf_bnb_read(bool *found, struct lf_weight *w, const struct lf_tensors *ts,
                        const char *name, int N, int K, struct lf_diag *diag) LF_MUST_CHECK;

/* Whether a tensor is a part of a 4-bit matrix, beside its codes. */
bool lf_bnb_is_part(const struct lf_tensors *ts, const char *name);

/* Quantises one matrix after another on a stream's device, into host buffers of its own. On cuda,
 * device memory for the largest matrix as it is stored, and its codes, is taken until it is freed.
 * One thread, the stream's. */
struct lf_bnb_quantizer;
enum lf_err lf_bnb_quantizer_new(struct lf_bnb_quantizer **out, struct lf_stream *s,
                                 struct lf_diag *diag) LF_MUST_CHECK;
void lf_bnb_quantizer_free(struct lf_bnb_quantizer *q);
/* NF4 with double quantisation. *w points into q's buffers until the next call. */
enum lf_err lf_bnb_quantize(struct lf_bnb_quantizer *q, struct lf_weight *w,
                            const struct lf_tensor *t, int N, int K,
                            struct lf_diag *diag) LF_MUST_CHECK;
/* The text of quant_state for a matrix that lf_bnb_quantize made of a tensor of this dtype. */
void lf_bnb_state(char out[LF_BNB_STATE_MAX], const struct lf_weight *w, enum lf_dtype dtype);

/* How many blocks a matrix has, and how many blocks of blocks. */
static inline size_t lf_bnb_blocks(const struct lf_weight *w)
{
    size_t n = (size_t)w->N * (size_t)w->K;
    return (n + (size_t)w->block - 1) / (size_t)w->block;
}
static inline size_t lf_bnb_blocks2(const struct lf_weight *w)
{
    return (lf_bnb_blocks(w) + (size_t)w->block2 - 1) / (size_t)w->block2;
}

#endif
