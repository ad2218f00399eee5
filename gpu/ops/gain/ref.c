/* DoRA's gain: a part of the base's product, by output. */
#include "gpu/backend.h"

static const struct lf_lora_site *site_of(const struct lf_gain_args *a, int t)
{
    int slot = a->batch->seqs[a->batch->seq[t]].slot;
    return slot < 0 ? NULL : &a->sites[(size_t)slot * a->n_sites + a->site];
}

void lf_ref_gain(struct lf_stream *s, const struct lf_gain_args *a)
{
    (void)s;
    for (int t = a->begin; t < a->end; t++) {
        const struct lf_lora_site *site = site_of(a, t);
        const float *z = (const float *)a->z + (size_t)(t - a->begin) * a->N;
        float *y = (float *)a->y + (size_t)t * a->ldy;
        for (int n = 0; site && site->gain && n < a->N; n++)
            y[n] = (float)(y[n] + (double)((const float *)site->gain)[n] * z[n]);
    }
}

void lf_ref_gain_bwd(struct lf_stream *s, const struct lf_gain_args *a)
{
    (void)s;
    for (int t = a->begin; t < a->end; t++) {
        const struct lf_lora_site *site = site_of(a, t);
        const float *gain = site ? site->gain : NULL,
                    *dy = (const float *)a->y + (size_t)t * a->ldy;
        float *z = (float *)a->z + (size_t)(t - a->begin) * a->N;
        for (int n = 0; n < a->N; n++)
            z[n] = gain ? gain[n] * dy[n] : 0;
    }
}

/* Of one segment's rows at a time. */
void lf_ref_gain_grads(struct lf_stream *s, const struct lf_gain_args *a)
{
    (void)s;
    for (int g = 0; g < a->batch->n_segs; g++) {
        const struct lf_lora_seg *seg = &a->batch->segs[g];
        float *dgain = a->sites[(size_t)seg->slot * a->n_sites + a->site].dgain;
        int from = seg->start > a->begin ? seg->start : a->begin;
        int to = seg->end < a->end ? seg->end : a->end;
        for (int n = 0; dgain && seg->trains && n < a->N; n++) {
            double sum = 0;
            for (int t = from; t < to; t++)
                sum += (double)((const float *)a->y)[(size_t)t * a->ldy + n] *
                       ((const float *)a->z)[(size_t)(t - a->begin) * a->N + n];
            dgain[n] = (float)(dgain[n] + sum);
        }
    }
}
