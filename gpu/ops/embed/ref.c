/* Token embedding: rows of a table. */
#include "gpu/backend.h"
#include "gpu/ops/embed/noise.h"
#include "gpu/weight.h"

void lf_ref_embed(struct lf_stream *s, const struct lf_embed_args *a)
{
    (void)s;
    float *y = a->y;
    for (int t = 0; t < a->T; t++) {
        int id = a->ids[t] < 0 ? a->drawn[-1 - a->ids[t]] : a->ids[t];
        const struct lf_seq *seq = a->batch ? &a->batch->seqs[a->batch->seq[t]] : NULL;
        for (int c = 0; c < a->C; c++) {
            float noise = seq ? lf_embed_noise(seq, a->batch->pos[t], a->C, c) : 0;
            y[(size_t)t * a->C + c] = a->scale * (lf_weight_at(a->e, id, c) + noise);
        }
    }
}
