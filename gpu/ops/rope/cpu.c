/* Rotary position embedding on the cpu. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/run.h"

static void rows(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_rope_args *a = args;
    int half = a->rot / 2;
    (void)scratch;
    for (size_t t = begin; t < end; t++) {
        size_t at = (size_t)a->pos[t] * (size_t)half;
        const float *cos_ = a->cos_ + at, *sin_ = a->sin_ + at;
        float sign = a->inverse ? -1.0f : 1.0f;
        for (int h = 0; h < a->H; h++) {
            float *x1 = (float *)a->x + t * (size_t)a->ldx + (size_t)h * (size_t)a->D;
            float *x2 = x1 + half;
#pragma omp simd
            for (int i = 0; i < half; i++) {
                float u = x1[i], v = x2[i], s = sign * sin_[i];
                x1[i] = u * cos_[i] - v * s;
                x2[i] = v * cos_[i] + u * s;
            }
        }
    }
}

void LF_ISA(rope)(struct lf_stream *s, const struct lf_rope_args *a)
{
    lf_cpu_run(s, (size_t)a->T, lf_cpu_grain((size_t)(a->H * a->rot)), rows, a);
}
