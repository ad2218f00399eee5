/* DoRA's gain on the cpu: rows over threads; for the gradient columns, so that each element has one
 * thread that adds to it. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/run.h"

#include <string.h>

static const struct lf_lora_site *site_of(const struct lf_gain_args *a, size_t t)
{
    int slot = a->batch->seqs[a->batch->seq[t]].slot;
    return slot < 0 ? NULL : &a->sites[(size_t)slot * (size_t)a->n_sites + (size_t)a->site];
}

static void rows(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_gain_args *a = args;
    (void)scratch;
    for (size_t i = begin; i < end; i++) {
        size_t t = (size_t)a->begin + i, N = (size_t)a->N;
        const struct lf_lora_site *site = site_of(a, t);
        const float *gain = site ? site->gain : NULL, *z = (const float *)a->z + i * N;
        float *y = (float *)a->y + t * (size_t)a->ldy;
        if (!gain)
            continue;
#pragma omp simd
        for (size_t n = 0; n < N; n++)
            y[n] += gain[n] * z[n];
    }
}

static void rows_bwd(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_gain_args *a = args;
    (void)scratch;
    for (size_t i = begin; i < end; i++) {
        size_t t = (size_t)a->begin + i, N = (size_t)a->N;
        const struct lf_lora_site *site = site_of(a, t);
        const float *gain = site ? site->gain : NULL;
        const float *dy = (const float *)a->y + t * (size_t)a->ldy;
        float *z = (float *)a->z + i * N;
        if (!gain) {
            memset(z, 0, N * sizeof *z);
            continue;
        }
#pragma omp simd
        for (size_t n = 0; n < N; n++)
            z[n] = gain[n] * dy[n];
    }
}

static void columns(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_gain_args *a = args;
    (void)scratch;
    for (int g = 0; g < a->batch->n_segs; g++) {
        const struct lf_lora_seg *seg = &a->batch->segs[g];
        float *dgain = a->sites[(size_t)seg->slot * (size_t)a->n_sites + (size_t)a->site].dgain;
        if (!dgain || !seg->trains)
            continue;
        for (int t = seg->start > a->begin ? seg->start : a->begin; t < seg->end && t < a->end;
             t++) {
            const float *dy = (const float *)a->y + (size_t)t * (size_t)a->ldy;
            const float *z = (const float *)a->z + (size_t)(t - a->begin) * (size_t)a->N;
#pragma omp simd
            for (size_t n = begin; n < end; n++)
                dgain[n] += dy[n] * z[n];
        }
    }
}

void LF_ISA(gain)(struct lf_stream *s, const struct lf_gain_args *a)
{
    lf_cpu_run(s, (size_t)(a->end - a->begin), lf_cpu_grain((size_t)a->N / 8), rows, a);
}

void LF_ISA(gain_bwd)(struct lf_stream *s, const struct lf_gain_args *a)
{
    lf_cpu_run(s, (size_t)(a->end - a->begin), lf_cpu_grain((size_t)a->N / 8), rows_bwd, a);
}

void LF_ISA(gain_grads)(struct lf_stream *s, const struct lf_gain_args *a)
{
    lf_cpu_run(s, (size_t)a->N, lf_cpu_grain((size_t)(a->end - a->begin) / 8), columns, a);
}
