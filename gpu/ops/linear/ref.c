/* Linear maps of a frozen, possibly 4-bit, weight: forward and backward to the input. */
#include "gpu/backend.h"
#include "gpu/weight.h"

static void store(float *y, double value, bool accumulate)
{
    *y = (float)(accumulate ? *y + value : value);
}

void lf_ref_linear(struct lf_stream *s, const struct lf_linear_args *a)
{
    (void)s;
    for (int p = 0; p < a->n; p++) {
        const struct lf_weight *w = a->w[p];
        for (int n = 0; n < w->N; n++)
            for (int t = 0; t < a->T; t++) {
                const float *x = (const float *)a->x + (size_t)t * a->ldx;
                double sum = w->bias ? w->bias[n] : 0;
                for (int k = 0; k < w->K; k++)
                    sum += (double)x[k] * lf_weight_at(w, n, k);
                float *y = (float *)a->y + (size_t)t * a->ldy + a->col[p] + n;
                store(y, sum, a->accumulate);
            }
    }
}

void lf_ref_linear_bwd(struct lf_stream *s, const struct lf_linear_bwd_args *a)
{
    (void)s;
    for (int t = 0; t < a->T; t++)
        for (int k = 0; k < a->w[0]->K; k++) {
            double sum = 0;
            for (int p = 0; p < a->n; p++) {
                const float *dy = (const float *)a->dy + (size_t)t * a->lddy + a->col[p];
                for (int n = 0; n < a->w[p]->N; n++)
                    sum += (double)dy[n] * lf_weight_at(a->w[p], n, k);
            }
            store((float *)a->dx + (size_t)t * a->lddx + k, sum, a->accumulate);
        }
}
