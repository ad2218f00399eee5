/* Weights to NF4. */
#include "gpu/backend.h"
#include "gpu/nf4.h"

void lf_ref_nf4(struct lf_stream *s, const struct lf_nf4_args *a)
{
    (void)s;
    for (size_t i = 0; i < a->n; i += LF_NF4_BLOCK) {
        size_t n = a->n - i < LF_NF4_BLOCK ? a->n - i : LF_NF4_BLOCK;
        float x[LF_NF4_BLOCK];
        lf_to_f32(x, (const char *)a->x + i * lf_dtype_bytes(a->dtype), a->dtype, n);
        a->absmax[i / LF_NF4_BLOCK] = lf_nf4_quantize_block(a->codes + i / 2, x, n);
    }
}
