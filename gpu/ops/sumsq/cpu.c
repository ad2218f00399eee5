/* Sums of squares on the cpu. A run is cut into pieces that depend on its length alone, so the
 * result does not depend on the number of threads. */
#include "gpu/backend.h"
#include "gpu/cpu/isa.h"
#include "gpu/cpu/run.h"

#define PIECE 4096
#define PIECES_MAX 256 /* longer runs have longer pieces */

struct sumsq_work {
    const struct lf_sumsq_args *a;
    size_t piece;
    double *sums; /* one a piece */
};

static void pieces(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct sumsq_work *w = args;
    (void)scratch;
    for (size_t p = begin; p < end; p++) {
        size_t i1 = (p + 1) * w->piece < w->a->n ? (p + 1) * w->piece : w->a->n;
        const float *g = w->a->g;
        double sum = 0;
        for (size_t i = p * w->piece; i < i1;) {
            size_t stop = i + PIECE < i1 ? i + PIECE : i1;
            float part = 0;
#pragma omp simd reduction(+ : part)
            for (size_t j = i; j < stop; j++)
                part += g[j] * g[j];
            sum += part;
            i = stop;
        }
        w->sums[p] = sum;
    }
}

void LF_ISA(sumsq)(struct lf_stream *s, const struct lf_sumsq_args *a, int n)
{
    for (int r = 0; r < n; r++) {
        double sums[PIECES_MAX], total = 0;
        size_t each = (a[r].n + PIECES_MAX - 1) / PIECES_MAX;
        struct sumsq_work w = {&a[r], each > PIECE ? each : PIECE, sums};
        size_t count = (a[r].n + w.piece - 1) / w.piece;
        lf_cpu_run(s, count, 4, pieces, &w);
        for (size_t p = 0; p < count; p++)
            total += sums[p];
        a[r].out[0] = (float)total;
    }
}
