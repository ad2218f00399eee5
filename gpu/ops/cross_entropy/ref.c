/* Cross entropy of the next token, and its gradient with respect to the logits. */
#include "gpu/backend.h"

#include <math.h>
#include <string.h>

static double log_sum_exp(const float *x, int n)
{
    double max = x[0], total = 0;
    for (int i = 1; i < n; i++)
        max = fmax(max, x[i]);
    for (int i = 0; i < n; i++)
        total += exp(x[i] - max);
    return max + log(total);
}

static void gradient(float *d, const struct lf_cross_entropy_args *a, int m, double lse)
{
    const float *x = a->logits + (size_t)m * a->V;
    for (int v = 0; v < a->V; v++) {
        double capped = a->softcap > 0 ? x[v] / a->softcap : 0;
        double p = exp(x[v] - lse) - (v == a->labels[m]);
        d[v] = (float)(a->weight[m] * p * (1 - capped * capped));
    }
}

void lf_ref_cross_entropy(struct lf_stream *s, const struct lf_cross_entropy_args *a)
{
    (void)s;
    for (int m = 0; m < a->M; m++) {
        const float *x = a->logits + (size_t)m * a->V;
        float *d = a->dlogits ? (float *)a->dlogits + (size_t)m * a->V : NULL;
        if (a->labels[m] < 0) {
            a->loss[m] = 0;
            if (d)
                memset(d, 0, (size_t)a->V * sizeof *d);
            continue;
        }
        double lse = log_sum_exp(x, a->V);
        a->loss[m] = (float)(lse - x[a->labels[m]]);
        if (d)
            gradient(d, a, m, lse);
    }
}
