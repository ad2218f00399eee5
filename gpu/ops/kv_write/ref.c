/* New keys and values of cached sequences go into their pages. */
#include "gpu/backend.h"
#include "gpu/ops/attn/pages.h"

#include <string.h>

void lf_ref_kv_write(struct lf_stream *s, const struct lf_kv_write_args *a)
{
    (void)s;
    size_t bytes = (size_t)a->D * sizeof(float);
    for (int i = 0; i < a->batch->n_cached; i++) {
        const struct lf_seq *seq = &a->batch->seqs[i];
        for (int j = 0; j < seq->n; j++)
            for (int h = 0; h < a->Hkv; h++) {
                size_t from = (size_t)(seq->start + j) * a->ldkv + (size_t)h * a->D;
                size_t to = lf_page_row(a->batch, seq, seq->past + j, a->Hkv, h) * a->D;
                memcpy((float *)a->k_pages + to, (const float *)a->k + from, bytes);
                memcpy((float *)a->v_pages + to, (const float *)a->v + from, bytes);
            }
    }
}
