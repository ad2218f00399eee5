/* RMSNorm and LayerNorm on the cpu: rows over threads, columns over lanes. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/run.h"

#include <math.h>

struct moments {
    float mean, rstd;
};

/* Columns that are summed in fp32 before they join a double: so rounding does not grow with C. */
#define CHUNK 256

static int chunk_end(int c, int C)
{
    return C - c < CHUNK ? C : c + CHUNK;
}

static struct moments row_moments(const float *x, int C, bool layer_norm, float eps)
{
    double sum = 0, squares = 0;
    struct moments m = {0};
    for (int at = 0; layer_norm && at < C; at += CHUNK) {
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (int c = at; c < chunk_end(at, C); c++)
            part += x[c];
        sum += (double)part;
    }
    m.mean = (float)(sum / C);
    for (int at = 0; at < C; at += CHUNK) {
        float part = 0;
#pragma omp simd reduction(+ : part)
        for (int c = at; c < chunk_end(at, C); c++)
            part += (x[c] - m.mean) * (x[c] - m.mean);
        squares += (double)part;
    }
    m.rstd = 1 / sqrtf((float)(squares / C) + eps);
    return m;
}

static void forward(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_norm_args *a = args;
    size_t H = (size_t)a->H, C = (size_t)a->C;
    (void)scratch;
    for (size_t row = begin; row < end; row++) {
        const float *x = (const float *)a->x + row / H * (size_t)a->ldx + row % H * C;
        float *y = (float *)a->y + row / H * (size_t)a->ldy + row % H * C;
        struct moments m = row_moments(x, a->C, a->layer_norm, a->eps);
        if (a->b)
#pragma omp simd
            for (size_t c = 0; c < C; c++)
                y[c] = (x[c] - m.mean) * m.rstd * a->w[c] + a->b[c];
        else
#pragma omp simd
            for (size_t c = 0; c < C; c++)
                y[c] = (x[c] - m.mean) * m.rstd * a->w[c];
    }
}

void LF_ISA(norm)(struct lf_stream *s, const struct lf_norm_args *a)
{
    lf_cpu_run(s, (size_t)a->T * (size_t)a->H, lf_cpu_grain((size_t)a->C), forward, a);
}

static void row_bwd(float *dx, float *y, const float *dy, const float *x,
                    const struct lf_norm_bwd_args *a)
{
    struct moments m = row_moments(x, a->C, a->layer_norm, a->eps);
    const float *w = a->w;
    int C = a->C;
    double g_sum = 0, gx_sum = 0;
    for (int at = 0; at < C; at += CHUNK) {
        float g_part = 0, gx_part = 0;
#pragma omp simd reduction(+ : g_part, gx_part)
        for (int c = at; c < chunk_end(at, C); c++) {
            float g = w[c] * dy[c];
            g_part += g;
            gx_part += g * (x[c] - m.mean);
        }
        g_sum += (double)g_part;
        gx_sum += (double)gx_part;
    }
    float g_mean = a->layer_norm ? (float)(g_sum / C) : 0;
    float slope = (float)(gx_sum / C) * m.rstd * m.rstd;
    if (a->accumulate)
#pragma omp simd
        for (int c = 0; c < C; c++)
            dx[c] += m.rstd * (w[c] * dy[c] - g_mean - (x[c] - m.mean) * slope);
    else
#pragma omp simd
        for (int c = 0; c < C; c++)
            dx[c] = m.rstd * (w[c] * dy[c] - g_mean - (x[c] - m.mean) * slope);
    for (int c = 0; y && c < C; c++) /* last: y may be dy */
        y[c] = (x[c] - m.mean) * m.rstd * w[c] + (a->b ? a->b[c] : 0);
}

static void backward(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_norm_bwd_args *a = args;
    size_t H = (size_t)a->H, C = (size_t)a->C;
    (void)scratch;
    for (size_t row = begin; row < end; row++) {
        size_t t = row / H, column = row % H * C, at = t * (size_t)a->ldy + column;
        row_bwd((float *)a->dx + t * (size_t)a->lddx + column, a->y ? (float *)a->y + at : NULL,
                (const float *)a->dy + at, (const float *)a->x + t * (size_t)a->ldx + column, a);
    }
}

void LF_ISA(norm_bwd)(struct lf_stream *s, const struct lf_norm_bwd_args *a)
{
    lf_cpu_run(s, (size_t)a->T * (size_t)a->H, lf_cpu_grain((size_t)a->C), backward, a);
}
