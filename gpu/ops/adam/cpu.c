/* Adam and AdamW on the cpu. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/run.h"
#include "gpu/dynamic.h"

#include <math.h>

/* What is the same for every element of a run. */
struct adam_step {
    const struct lf_adam_args *a;
    float grad_scale; /* with the clip in it */
    float keep;       /* of p, where weight decay is decoupled */
    float joined;     /* weight decay that joins the gradient */
    float rate;       /* lr / correction of m */
    float correct2;   /* sqrt of the correction of v */
};

/* n elements from `at` on, and their moments. */
static void update(const struct adam_step *s, size_t at, size_t n, float *m, float *v)
{
    float *p = s->a->p + at, *g = s->a->g + at;
    float b1 = s->a->beta1, b2 = s->a->beta2, eps = s->a->eps;
    float inverse2 = 1 / s->correct2;
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        float gi = g[i] * s->grad_scale + s->joined * p[i];
        float mi = b1 * m[i] + (1 - b1) * gi;
        float vi = b2 * v[i] + (1 - b2) * gi * gi;
        p[i] = s->keep * p[i] - s->rate * mi / (sqrtf(vi) * inverse2 + eps);
        m[i] = mi;
        v[i] = vi;
        g[i] = 0;
    }
    if (s->a->copy)
        memcpy((float *)s->a->copy + at, p, n * sizeof *p);
}

static void part(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct adam_step *s = args;
    (void)scratch;
    update(s, begin, end - begin, s->a->m + begin, s->a->v + begin);
}

static void expand(float *out, const struct lf_moment8 *x, const float *map, size_t block, size_t n)
{
    const uint8_t *codes = x->codes + block * LF_DYNAMIC_BLOCK;
    for (size_t i = 0; i < n; i++)
        out[i] = map[codes[i]] * x->scales[block];
}

/* Blocks of moments of 8 bits. */
static void part8(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct adam_step *s = args;
    const struct lf_adam_args *a = s->a;
    float m[LF_DYNAMIC_BLOCK], v[LF_DYNAMIC_BLOCK];
    (void)scratch;
    for (size_t block = begin; block < end; block++) {
        size_t at = block * LF_DYNAMIC_BLOCK;
        size_t n = a->n - at < LF_DYNAMIC_BLOCK ? a->n - at : LF_DYNAMIC_BLOCK;
        expand(m, &a->m8, lf_dynamic_map, block, n);
        expand(v, &a->v8, lf_dynamic_map_unsigned, block, n);
        update(s, at, n, m, v);
        a->m8.scales[block] = lf_dynamic_quantize(a->m8.codes + at, lf_dynamic_map, m, n);
        a->v8.scales[block] = lf_dynamic_quantize(a->v8.codes + at, lf_dynamic_map_unsigned, v, n);
    }
}

static struct adam_step step_of(const struct lf_adam_args *a)
{
    struct adam_step s = {.a = a, .grad_scale = a->grad_scale, .keep = 1};
    if (a->sumsq) {
        double norm = sqrt(a->sumsq[0]) * a->grad_scale, c = a->max_norm / (norm + 1e-6);
        s.grad_scale = (float)(a->grad_scale * (c < 1 ? c : 1));
    }
    if (a->decoupled)
        s.keep = (float)(1 - (double)a->lr * a->weight_decay);
    else
        s.joined = a->weight_decay;
    s.rate = (float)(a->lr / (1 - pow(a->beta1, a->step)));
    s.correct2 = (float)sqrt(1 - pow(a->beta2, a->step));
    return s;
}

void LF_ISA(adam)(struct lf_stream *s, const struct lf_adam_args *a, int n)
{
    for (int r = 0; r < n; r++) {
        struct adam_step step = step_of(&a[r]);
        if (a[r].m)
            lf_cpu_run(s, a[r].n, LF_CPU_SHARE / 4, part, &step);
        else
            lf_cpu_run(s, (a[r].n + LF_DYNAMIC_BLOCK - 1) / LF_DYNAMIC_BLOCK, 1, part8, &step);
    }
}
