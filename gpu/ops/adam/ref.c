/* Adam and AdamW over flat runs of parameters. */
#include "gpu/backend.h"
#include "gpu/dynamic.h"

#include <math.h>
#include <string.h>

static double clip(const struct lf_adam_args *a)
{
    if (!a->sumsq)
        return 1;
    double c = a->max_norm / (sqrt(a->sumsq[0]) * a->grad_scale + 1e-6);
    return c < 1 ? c : 1;
}

/* A block's moment, wherever it is. */
static void load(float *out, const float *x, const struct lf_moment8 *x8, const float *map,
                 size_t at, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = x ? x[at + i] : map[x8->codes[at + i]] * x8->scales[at / LF_DYNAMIC_BLOCK];
}

static void store(float *x, const struct lf_moment8 *x8, const float *map, const float *in,
                  size_t at, size_t n)
{
    if (x)
        memcpy(x + at, in, n * sizeof *in);
    else
        x8->scales[at / LF_DYNAMIC_BLOCK] = lf_dynamic_quantize(x8->codes + at, map, in, n);
}

/* n elements from `at` on. */
static void update(const struct lf_adam_args *a, float *m, float *v, size_t at, size_t n)
{
    double scale = a->grad_scale * clip(a);
    double correct1 = 1 - pow(a->beta1, a->step), correct2 = 1 - pow(a->beta2, a->step);
    for (size_t i = 0; i < n; i++) {
        double p = a->p[at + i], g = a->g[at + i] * scale;
        if (a->decoupled)
            p -= (double)a->lr * a->weight_decay * p;
        else
            g += (double)a->weight_decay * p;
        double mi = (double)a->beta1 * m[i] + (1 - (double)a->beta1) * g;
        double vi = (double)a->beta2 * v[i] + (1 - (double)a->beta2) * g * g;
        p -= a->lr * (mi / correct1) / (sqrt(vi / correct2) + a->eps);
        a->p[at + i] = (float)p;
        m[i] = (float)mi;
        v[i] = (float)vi;
        a->g[at + i] = 0;
        if (a->copy)
            ((float *)a->copy)[at + i] = (float)p;
    }
}

static void run(const struct lf_adam_args *a)
{
    float m[LF_DYNAMIC_BLOCK], v[LF_DYNAMIC_BLOCK];
    for (size_t at = 0; at < a->n; at += LF_DYNAMIC_BLOCK) {
        size_t n = a->n - at < LF_DYNAMIC_BLOCK ? a->n - at : LF_DYNAMIC_BLOCK;
        load(m, a->m, &a->m8, lf_dynamic_map, at, n);
        load(v, a->v, &a->v8, lf_dynamic_map_unsigned, at, n);
        update(a, m, v, at, n);
        store(a->m, &a->m8, lf_dynamic_map, m, at, n);
        store(a->v, &a->v8, lf_dynamic_map_unsigned, v, at, n);
    }
}

void lf_ref_adam(struct lf_stream *s, const struct lf_adam_args *a, int n)
{
    (void)s;
    for (int r = 0; r < n; r++)
        run(&a[r]);
}
