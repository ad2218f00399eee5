/* Token embedding on the cpu. */
#include "gpu/backend.h"
#include "gpu/cpu/run.h"
#include "gpu/cpu/weights.h"
#include "gpu/ops/embed/noise.h"

static void rows(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_embed_args *a = args;
    size_t C = (size_t)a->C;
    (void)scratch;
    for (size_t t = begin; t < end; t++) {
        float *y = (float *)a->y + t * C;
        size_t id = (size_t)(a->ids[t] < 0 ? a->drawn[-1 - a->ids[t]] : a->ids[t]);
        struct lf_weight_rows row = lf_weight_view(a->e, id, id + 1, 0, C, y);
        const struct lf_seq *seq = a->batch ? &a->batch->seqs[a->batch->seq[t]] : NULL;
        if (!seq || seq->noise == 0)
            for (size_t c = 0; c < C; c++)
                y[c] = a->scale * row.p[c];
        else
            for (size_t c = 0; c < C; c++)
                y[c] = a->scale * (row.p[c] + lf_embed_noise(seq, a->batch->pos[t], a->C, (int)c));
    }
}

void LF_ISA(embed)(struct lf_stream *s, const struct lf_embed_args *a)
{
    lf_cpu_run(s, (size_t)a->T, lf_cpu_grain((size_t)a->C), rows, a);
}
