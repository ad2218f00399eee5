/* DoRA's gain on the cpu: rows over threads. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/run.h"

static void rows(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_gain_args *a = args;
    (void)scratch;
    for (size_t i = begin; i < end; i++) {
        size_t t = (size_t)a->begin + i, N = (size_t)a->N;
        int slot = a->batch->seqs[a->batch->seq[t]].slot;
        if (slot < 0)
            continue;
        const float *gain = a->sites[(size_t)slot * (size_t)a->n_sites + (size_t)a->site].gain;
        const float *z = (const float *)a->z + i * N;
        float *y = (float *)a->y + t * (size_t)a->ldy;
        if (!gain)
            continue;
#pragma omp simd
        for (size_t n = 0; n < N; n++)
            y[n] += gain[n] * z[n];
    }
}

void LF_ISA(gain)(struct lf_stream *s, const struct lf_gain_args *a)
{
    lf_cpu_run(s, (size_t)(a->end - a->begin), lf_cpu_grain((size_t)a->N / 8), rows, a);
}
