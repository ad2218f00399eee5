/* Cross entropy on the cpu: rows over threads. */
#include "gpu/backend.h"
#include "gpu/cpu/run.h"
#include "gpu/cpu/vmath.h"

#include <math.h>

#define COST 12 /* of a logit, in simple operations */

static float row_max(const float *x, int V)
{
    float max = x[0];
#pragma omp simd reduction(max : max)
    for (int v = 0; v < V; v++)
        max = x[v] > max ? x[v] : max;
    return max;
}

/* exp(x - max) / sum, not exp(x - lse): a large lse has lost the digits that matter. */
static void gradient(float *d, const float *x, const struct lf_cross_entropy_args *a, size_t m,
                     float max, float sum)
{
    float weight = a->weight[m], share = 1 / sum, at_label = x[a->labels[m]];
    float inverse = a->softcap > 0 ? 1 / a->softcap : 0;
    int V = a->V;
#pragma omp simd
    for (int v = 0; v < V; v++) {
        float capped = x[v] * inverse;
        d[v] = weight * (lf_exp(x[v] - max) * share) * (1 - capped * capped);
    }
    float capped = at_label * inverse; /* x may be d: it was read before */
    float p = lf_exp(at_label - max) * share;
    d[a->labels[m]] = weight * (p - 1) * (1 - capped * capped);
}

static void rows(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_cross_entropy_args *a = args;
    size_t V = (size_t)a->V;
    (void)scratch;
    for (size_t m = begin; m < end; m++) {
        const float *x = a->logits + m * V;
        float *d = a->dlogits ? (float *)a->dlogits + m * V : NULL;
        if (a->labels[m] < 0) {
            a->loss[m] = 0;
            if (d)
                memset(d, 0, V * sizeof *d);
            continue;
        }
        float max = row_max(x, a->V), sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t v = 0; v < V; v++)
            sum += lf_exp(x[v] - max);
        a->loss[m] = (max - x[a->labels[m]]) + logf(sum);
        if (d)
            gradient(d, x, a, m, max, sum);
    }
}

void LF_ISA(cross_entropy)(struct lf_stream *s, const struct lf_cross_entropy_args *a)
{
    lf_cpu_run(s, (size_t)a->M, lf_cpu_grain(COST * (size_t)a->V), rows, a);
}
