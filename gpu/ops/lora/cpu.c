/* LoRA forward on the cpu: rows over threads; a worker's rows of one segment go together. Few or
 * many of them, a row's sums are made in one order. */
#include "gpu/backend.h"

#include "core/num.h"
#include "gpu/cpu/gemm.h"
#include "gpu/cpu/run.h"
#include "gpu/ops/lora/cpu_drop.h"

#define MANY_ROWS 16        /* from here on packing A and B pays */
#define ROWS 64             /* dropped out at a time */
#define PIECE LF_DOTS_DEPTH /* of K or N at a time */

_Static_assert((ROWS + LF_RANK_MAX) * PIECE * sizeof(float) <= LF_CPU_SCRATCH, "scratch");

/* Rows [t0, t1) of one segment, projection p. */
struct lora_part {
    const struct lf_lora_args *a;
    const struct lf_lora_site *site;
    int p, t0, t1;
    float *dropped, *packed; /* scratch: (ROWS, PIECE); (PIECE, rank) or (rank, PIECE) in panels */
};

/* Columns [k0, k1) of x rows [t, t + n), after dropout where the rows have any. */
static const float *input(const struct lora_part *c, int t, int n, size_t k0, size_t k1, size_t *ld)
{
    const struct lf_ragged *b = c->a->batch;
    const float *x = (const float *)c->a->x + (size_t)t * (size_t)c->a->ldx + k0;
    bool drops = false;
    for (int i = 0; i < n; i++)
        drops = drops || b->seqs[b->seq[t + i]].drop_p > 0;
    *ld = (size_t)c->a->ldx;
    if (!drops)
        return x;
    for (int i = 0; i < n; i++) {
        const struct lf_seq *seq = &b->seqs[b->seq[t + i]];
        float *to = c->dropped + (size_t)i * (k1 - k0);
        const float *from = x + (size_t)i * (size_t)c->a->ldx;
        if (seq->drop_p > 0)
            lf_drop_run(to, from, seq, b->pos[t + i], c->a->K, k0, k1, c->a->site[c->p]);
        else
            memcpy(to, from, (k1 - k0) * sizeof *to);
    }
    *ld = k1 - k0;
    return c->dropped;
}

/* u = drop(x) A^T */
static void down(const struct lora_part *c)
{
    size_t K = (size_t)c->a->K, R = (size_t)c->site->rank;
    size_t ldu = (size_t)(c->a->n * c->a->batch->rank_max);
    const float *A = c->site->a;
    bool many = c->t1 - c->t0 >= MANY_ROWS;
    for (size_t k0 = 0; k0 < K; k0 += PIECE) {
        size_t k1 = lf_min(k0 + PIECE, K), ldx;
        if (many)
            lf_pack_columns(c->packed, A + k0, K, k1 - k0, R);
        for (int t = c->t0; t < c->t1; t += ROWS) {
            int n = c->t1 - t < ROWS ? c->t1 - t : ROWS;
            const float *x = input(c, t, n, k0, k1, &ldx);
            float *u = (float *)c->a->u + (size_t)t * ldu + (size_t)(c->p * c->a->batch->rank_max);
            if (many)
                lf_gemm_as_dots(u, ldu, (struct lf_mat){x, (ptrdiff_t)ldx, 1}, c->packed, (size_t)n,
                                R, k1 - k0, 1, k0 > 0);
            else
                lf_gemm_dots(u, ldu, x, ldx, A + k0, K, (size_t)n, R, k1 - k0, 1, k0 > 0);
        }
    }
}

/* y += scale * u B^T */
static void up(const struct lora_part *c)
{
    size_t N = (size_t)c->a->N[c->p], R = (size_t)c->site->rank, T = (size_t)(c->t1 - c->t0);
    size_t ldu = (size_t)(c->a->n * c->a->batch->rank_max), ldy = (size_t)c->a->ldy;
    const float *B = c->site->b;
    const float *u =
        (const float *)c->a->u + (size_t)c->t0 * ldu + (size_t)(c->p * c->a->batch->rank_max);
    float *y = (float *)c->a->y + (size_t)c->t0 * ldy + (size_t)c->a->col[c->p];
    if (T < MANY_ROWS) {
        lf_gemm_dots(y, ldy, u, ldu, B, R, T, N, R, c->site->scale, true);
        return;
    }
    for (size_t n = 0; n < N; n += PIECE) {
        size_t columns = lf_min(PIECE, N - n);
        lf_pack_columns(c->packed, B + n * R, R, R, columns);
        lf_gemm_as_dots(y + n, ldy, (struct lf_mat){u, (ptrdiff_t)ldu, 1}, c->packed, T, columns, R,
                        c->site->scale, true);
    }
}

static void rows(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_lora_args *a = args;
    for (int g = 0; g < a->batch->n_segs; g++) {
        const struct lf_lora_seg *seg = &a->batch->segs[g];
        struct lora_part c = {.a = a, .dropped = scratch};
        c.packed = c.dropped + ROWS * PIECE;
        c.t0 = seg->start > (int)begin ? seg->start : (int)begin;
        c.t1 = seg->end < (int)end ? seg->end : (int)end;
        for (c.p = 0; c.p < a->n && c.t0 < c.t1; c.p++) {
            c.site = &a->sites[(size_t)seg->slot * (size_t)a->n_sites + (size_t)a->site[c.p]];
            if (c.site->rank == 0)
                continue;
            down(&c);
            up(&c);
        }
    }
}

void LF_ISA(lora)(struct lf_stream *s, const struct lf_lora_args *a)
{
    size_t work = 0; /* of a row, in vector operations */
    for (int p = 0; p < a->n; p++)
        work += (size_t)(a->K + a->N[p]) * (size_t)a->batch->rank_max / 8;
    lf_cpu_run(s, (size_t)a->batch->T, lf_cpu_grain(work), rows, a);
}
