/* Sums of arrays: a piece that stays in the cache, array after array. */
#include "gpu/sum.h"

#include <string.h>

#define PIECE 1024

static void sum_here(const struct lf_sum_args *a)
{
    for (size_t at = 0; at < a->n; at += PIECE) {
        float sum[PIECE];
        size_t n = a->n - at < PIECE ? a->n - at : PIECE;
        memcpy(sum, a->x[0] + at, n * sizeof *sum);
        for (int k = 1; k < a->n_x; k++) {
            const float *x = a->x[k] + at;
            for (size_t i = 0; i < n; i++)
                sum[i] += x[i];
        }
        memcpy(a->y + at, sum, n * sizeof *sum);
    }
}

void lf_stream_sum(struct lf_stream *s, const struct lf_sum_args *a)
{
#ifdef LF_HAVE_CUDA
    if (s->dev->kind == LF_DEVICE_CUDA) {
        lf_cuda_sum(s, a);
        return;
    }
#endif
    (void)s;
    sum_here(a);
}
