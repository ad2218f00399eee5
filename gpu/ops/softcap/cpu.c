/* The soft ceiling on logits on the cpu. */
#include "gpu/backend.h"
#include "gpu/cpu/run.h"
#include "gpu/cpu/vmath.h"

static void part(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_softcap_args *a = args;
    float cap = a->softcap, inverse = 1 / cap;
    float *x = a->logits;
    (void)scratch;
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        x[i] = cap * lf_tanh(x[i] * inverse);
}

void LF_ISA(softcap)(struct lf_stream *s, const struct lf_softcap_args *a)
{
    lf_cpu_run(s, a->n, LF_CPU_SHARE / 8, part, a);
}
