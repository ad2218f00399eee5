/* Adam and AdamW over flat runs of parameters. */
#include "gpu/backend.h"

#include <math.h>

static double clip(const struct lf_adam_args *a)
{
    if (!a->sumsq)
        return 1;
    double c = a->max_norm / (sqrt(a->sumsq[0]) * a->grad_scale + 1e-6);
    return c < 1 ? c : 1;
}

static void update(const struct lf_adam_args *a)
{
    double scale = a->grad_scale * clip(a);
    double correct1 = 1 - pow(a->beta1, a->step), correct2 = 1 - pow(a->beta2, a->step);
    for (size_t i = 0; i < a->n; i++) {
        double p = a->p[i], g = a->g[i] * scale;
        if (a->decoupled)
            p -= (double)a->lr * a->weight_decay * p;
        else
            g += (double)a->weight_decay * p;
        double m = (double)a->beta1 * a->m[i] + (1 - (double)a->beta1) * g;
        double v = (double)a->beta2 * a->v[i] + (1 - (double)a->beta2) * g * g;
        p -= a->lr * (m / correct1) / (sqrt(v / correct2) + a->eps);
        a->p[i] = (float)p;
        a->m[i] = (float)m;
        a->v[i] = (float)v;
        a->g[i] = 0;
        if (a->copy)
            ((float *)a->copy)[i] = (float)p;
    }
}

void lf_ref_adam(struct lf_stream *s, const struct lf_adam_args *a, int n)
{
    (void)s;
    for (int r = 0; r < n; r++)
        update(&a[r]);
}
