/* Linear maps of a frozen, possibly 4-bit, weight: forward and backward to the input. */
#include "gpu/backend.h"
#include "gpu/weight.h"

static void store(float *y, double value, bool accumulate)
{
    *y = (float)(accumulate ? *y + value : value);
}

/* Tokens that an element of the weight is decoded for at once. */
enum { TOKENS = 16 };

/* y for tokens t0 to t1 and row n of the p-th weight. */
static void forward_row(const struct lf_linear_args *a, int p, int n, int t0, int t1)
{
    const struct lf_weight *w = a->w[p];
    const float *x = (const float *)a->x + (size_t)t0 * a->ldx;
    double sum[TOKENS];
    for (int t = 0; t < t1 - t0; t++)
        sum[t] = w->bias ? w->bias[n] : 0;
    for (int k = 0; k < w->K; k++) {
        double value = lf_weight_at(w, n, k);
        for (int t = 0; t < t1 - t0; t++)
            sum[t] += x[(size_t)t * a->ldx + k] * value;
    }
    for (int t = t0; t < t1; t++)
        store((float *)a->y + (size_t)t * a->ldy + a->col[p] + n, sum[t - t0], a->accumulate);
}

void lf_ref_linear(struct lf_stream *s, const struct lf_linear_args *a)
{
    (void)s;
    for (int p = 0; p < a->n; p++)
        for (int n = 0; n < a->w[p]->N; n++)
            for (int t = 0; t < a->T; t += TOKENS)
                forward_row(a, p, n, t, t + TOKENS < a->T ? t + TOKENS : a->T);
}

/* dx for tokens t0 to t1 and column k of the weights. */
static void backward_column(const struct lf_linear_bwd_args *a, int k, int t0, int t1)
{
    double sum[TOKENS] = {0};
    for (int p = 0; p < a->n; p++) {
        const float *dy = (const float *)a->dy + (size_t)t0 * a->lddy + a->col[p];
        for (int n = 0; n < a->w[p]->N; n++) {
            double value = lf_weight_at(a->w[p], n, k);
            for (int t = 0; t < t1 - t0; t++)
                sum[t] += dy[(size_t)t * a->lddy + n] * value;
        }
    }
    for (int t = t0; t < t1; t++)
        store((float *)a->dx + (size_t)t * a->lddx + k, sum[t - t0], a->accumulate);
}

void lf_ref_linear_bwd(struct lf_stream *s, const struct lf_linear_bwd_args *a)
{
    (void)s;
    for (int t = 0; t < a->T; t += TOKENS)
        for (int k = 0; k < a->w[0]->K; k++)
            backward_column(a, k, t, t + TOKENS < a->T ? t + TOKENS : a->T);
}
