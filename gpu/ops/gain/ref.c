/* DoRA's gain: a part of the base's product, by output. */
#include "gpu/backend.h"

void lf_ref_gain(struct lf_stream *s, const struct lf_gain_args *a)
{
    (void)s;
    for (int t = a->begin; t < a->end; t++) {
        int slot = a->batch->seqs[a->batch->seq[t]].slot;
        const float *gain = slot < 0 ? NULL : a->sites[(size_t)slot * a->n_sites + a->site].gain;
        float *y = (float *)a->y + (size_t)t * a->ldy;
        const float *z = (const float *)a->z + (size_t)(t - a->begin) * a->N;
        for (int n = 0; gain && n < a->N; n++)
            y[n] = (float)(y[n] + (double)gain[n] * z[n]);
    }
}
