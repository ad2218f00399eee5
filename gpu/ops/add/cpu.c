/* The residual stream's sum on the cpu. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/run.h"

static void part(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_add_args *a = args;
    float *y = a->y;
    const float *x = a->x;
    (void)scratch;
#pragma omp simd
    for (size_t i = begin; i < end; i++)
        y[i] += x[i];
}

void LF_ISA(add)(struct lf_stream *s, const struct lf_add_args *a)
{
    lf_cpu_run(s, a->n, LF_CPU_SHARE, part, a);
}
