/* DoRA's norms on the cpu: outputs over threads. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/run.h"

#include <math.h>

static float norm_of(const struct lf_dora_args *a, size_t n)
{
    size_t R = (size_t)a->R;
    const float *b = a->b + n * R;
    double cross = 0, product = 0;
    for (size_t r = 0; r < R; r++) {
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (size_t q = 0; q < R; q++)
            sum += a->aa[r * R + q] * b[q];
        cross += (double)a->aw[r * (size_t)a->N + n] * (double)b[r];
        product += (double)sum * (double)b[r];
    }
    double scale = (double)a->scale;
    return (float)sqrt(fmax((double)a->row_sq[n] + scale * (2 * cross + scale * product), 0));
}

static void outputs(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_dora_args *a = args;
    size_t R = (size_t)a->R;
    (void)scratch;
    for (size_t n = begin; n < end; n++) {
        float norm = norm_of(a, n), *served = (float *)a->served + n * R;
        double g = norm > 0 ? (double)a->m[n] / (double)norm : 1;
        a->norm[n] = norm;
        ((float *)a->gain)[n] = (float)(g - 1);
        for (size_t r = 0; r < R; r++)
            served[r] = (float)g * a->b[n * R + r];
    }
}

static void outputs_grads(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_dora_args *a = args;
    size_t R = (size_t)a->R;
    (void)scratch;
    for (size_t n = begin; n < end; n++) {
        float norm = a->norm[n], g = norm > 0 ? a->m[n] / norm : 1, sum = a->dm[n];
        const float *b = a->b + n * R;
        float *db = a->db + n * R;
        for (size_t r = 0; r < R; r++) {
            sum += b[r] * db[r];
            db[r] *= g;
        }
        a->dm[n] = norm > 0 ? sum / norm : 0;
    }
}

void LF_ISA(dora)(struct lf_stream *s, const struct lf_dora_args *a)
{
    lf_cpu_run(s, (size_t)a->N, lf_cpu_grain((size_t)(a->R * a->R) / 4 + 1), outputs, a);
}

void LF_ISA(dora_grads)(struct lf_stream *s, const struct lf_dora_args *a)
{
    lf_cpu_run(s, (size_t)a->N, lf_cpu_grain((size_t)a->R), outputs_grads, a);
}
