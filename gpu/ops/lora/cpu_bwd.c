/* LoRA backward on the cpu, in two passes: du and dx with rows over threads; then the adapters'
 * gradients with their columns over threads, so that each element has one thread that adds to it,
 * segment by segment. */
#include "gpu/backend.h"

#include "core/num.h"
#include "gpu/cpu/gemm.h"
#include "gpu/cpu/run.h"
#include "gpu/ops/lora/cpu_drop.h"

#define ROWS 64    /* at a time, where dropout needs a copy */
#define PIECE 1024 /* of K or N at a time */

_Static_assert((ROWS + LF_RANK_MAX) * PIECE * sizeof(float) <= LF_CPU_SCRATCH, "scratch");

/* Rows [t0, t1) of one segment, projection p. */
struct lora_part {
    const struct lf_lora_bwd_args *a;
    const struct lf_lora_site *site;
    int p, t0, t1;
    float *copy, *packed; /* scratch: (ROWS, PIECE); (PIECE, rank) or (rank, PIECE) in panels */
};

/* Row stride of u and du. */
static size_t stride_u(const struct lf_lora_bwd_args *a)
{
    return (size_t)(a->n * a->batch->rank_max);
}

static size_t offset_u(const struct lora_part *c, int t)
{
    return (size_t)t * stride_u(c->a) + (size_t)(c->p * c->a->batch->rank_max);
}

static bool drops(const struct lora_part *c, int t, int n)
{
    const struct lf_ragged *b = c->a->batch;
    for (int i = 0; i < n; i++)
        if (b->seqs[b->seq[t + i]].drop_p > 0)
            return true;
    return false;
}

/* Calls lf_drop_run for one row, or copies it. */
static void drop_row(const struct lora_part *c, float *to, const float *from, int t, size_t k0,
                     size_t k1)
{
    const struct lf_ragged *b = c->a->batch;
    const struct lf_seq *seq = &b->seqs[b->seq[t]];
    if (seq->drop_p > 0)
        lf_drop_run(to, from, seq, b->pos[t], c->a->K, k0, k1, c->a->site[c->p]);
    else if (to != from)
        memcpy(to, from, (k1 - k0) * sizeof *to);
}

/* ---- du and dx ---- */

/* du = scale * dy B */
static void make_du(const struct lora_part *c)
{
    const struct lf_lora_bwd_args *a = c->a;
    size_t N = (size_t)a->N[c->p], R = (size_t)c->site->rank;
    const float *dy = (const float *)a->dy + (size_t)c->t0 * (size_t)a->lddy + (size_t)a->col[c->p];
    float *du = (float *)a->du + offset_u(c, c->t0);
    for (size_t n = 0; n < N; n += PIECE) {
        size_t depth = lf_min(PIECE, N - n);
        lf_pack_rows(c->packed, (const float *)c->site->b + n * R, R, depth, R);
        lf_gemm(du, stride_u(a), (struct lf_mat){dy + n, a->lddy, 1}, c->packed,
                (size_t)(c->t1 - c->t0), R, depth, c->site->scale, n > 0);
    }
}

/* dx += drop'(du A) */
static void add_dx(const struct lora_part *c)
{
    const struct lf_lora_bwd_args *a = c->a;
    size_t K = (size_t)a->K, R = (size_t)c->site->rank, lddx = (size_t)a->lddx;
    for (size_t k0 = 0; k0 < K; k0 += PIECE) {
        size_t width = lf_min(PIECE, K - k0);
        lf_pack_rows(c->packed, (const float *)c->site->a + k0, K, R, width);
        for (int t = c->t0; t < c->t1; t += ROWS) {
            int n = c->t1 - t < ROWS ? c->t1 - t : ROWS;
            float *dx = (float *)a->dx + (size_t)t * lddx + k0;
            struct lf_mat du = {(const float *)a->du + offset_u(c, t), (ptrdiff_t)stride_u(a), 1};
            if (!drops(c, t, n)) {
                lf_gemm(dx, lddx, du, c->packed, (size_t)n, width, R, 1, true);
                continue;
            }
            lf_gemm(c->copy, width, du, c->packed, (size_t)n, width, R, 1, false);
            for (int i = 0; i < n; i++) {
                float *row = c->copy + (size_t)i * width, *to = dx + (size_t)i * lddx;
                drop_row(c, row, row, t + i, k0, k0 + width);
#pragma omp simd
                for (size_t k = 0; k < width; k++)
                    to[k] += row[k];
            }
        }
    }
}

static void rows(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_lora_bwd_args *a = args;
    for (int g = 0; g < a->batch->n_segs; g++) {
        const struct lf_lora_seg *seg = &a->batch->segs[g];
        struct lora_part c = {.a = a, .copy = scratch};
        c.packed = c.copy + ROWS * PIECE;
        c.t0 = seg->start > (int)begin ? seg->start : (int)begin;
        c.t1 = seg->end < (int)end ? seg->end : (int)end;
        for (c.p = 0; c.p < a->n && seg->trains && c.t0 < c.t1; c.p++) {
            c.site = &a->sites[(size_t)seg->slot * (size_t)a->n_sites + (size_t)a->site[c.p]];
            if (c.site->rank == 0)
                continue;
            make_du(&c);
            if (a->dx)
                add_dx(&c);
        }
    }
}

/* ---- da and db ---- */

/* da[:, k0:k1] += du^T drop(x)[:, k0:k1], k1 - k0 <= PIECE */
static void add_da(const struct lora_part *c, size_t k0, size_t k1)
{
    const struct lf_lora_bwd_args *a = c->a;
    size_t K = (size_t)a->K, R = (size_t)c->site->trained;
    for (int t = c->t0; t < c->t1; t += ROWS) {
        int n = c->t1 - t < ROWS ? c->t1 - t : ROWS;
        const float *x = (const float *)a->x + (size_t)t * (size_t)a->ldx + k0;
        size_t ld = (size_t)a->ldx;
        if (drops(c, t, n)) {
            for (int i = 0; i < n; i++)
                drop_row(c, c->copy + (size_t)i * (k1 - k0), x + (size_t)i * ld, t + i, k0, k1);
            x = c->copy;
            ld = k1 - k0;
        }
        struct lf_mat du = {(const float *)a->du + offset_u(c, t), 1, (ptrdiff_t)stride_u(a)};
        lf_gemm_rows(c->site->da + k0, K, du, x, ld, R, k1 - k0, (size_t)n, 1, true);
    }
}

/* db[n0:n1, :] += scale * dy[:, n0:n1]^T u */
static void add_db(const struct lora_part *c, size_t n0, size_t n1)
{
    const struct lf_lora_bwd_args *a = c->a;
    size_t R = (size_t)c->site->rank;
    const float *dy =
        (const float *)a->dy + (size_t)c->t0 * (size_t)a->lddy + (size_t)a->col[c->p] + n0;
    lf_gemm_rows(c->site->db + n0 * R, R, (struct lf_mat){dy, 1, a->lddy},
                 (const float *)a->u + offset_u(c, c->t0), stride_u(a), n1 - n0,
                 (size_t)c->site->trained, (size_t)(c->t1 - c->t0), c->site->scale, true);
}

/* The columns of A that all projections share, then the rows of each B, as one line to cut. */
static void columns(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_lora_bwd_args *a = args;
    size_t first = 0;
    for (int line = 0; line <= a->n; line++) {
        size_t length = (size_t)(line == 0 ? a->K : a->N[line - 1]);
        size_t from = begin > first ? begin - first : 0, to = end > first ? end - first : 0;
        to = lf_min(to, length);
        first += length;
        for (int g = 0; g < a->batch->n_segs && from < to; g++) {
            const struct lf_lora_seg *seg = &a->batch->segs[g];
            struct lora_part c = {.a = a, .t0 = seg->start, .t1 = seg->end, .copy = scratch};
            for (c.p = 0; c.p < a->n && seg->trains; c.p++) {
                c.site = &a->sites[(size_t)seg->slot * (size_t)a->n_sites + (size_t)a->site[c.p]];
                if (c.site->rank == 0)
                    continue;
                for (size_t k = from; line == 0 && k < to; k += PIECE)
                    add_da(&c, k, lf_min(k + PIECE, to));
                if (line == c.p + 1)
                    add_db(&c, from, to);
            }
        }
    }
}

void LF_ISA(lora_bwd)(struct lf_stream *s, const struct lf_lora_bwd_args *a)
{
    size_t work = 0;
    for (int p = 0; p < a->n; p++)
        work += (size_t)(a->K + a->N[p]) * (size_t)a->batch->rank_max / 8;
    lf_cpu_run(s, (size_t)a->batch->T, lf_cpu_grain(work), rows, a);
    if (a->x)
        LF_ISA(lora_grads)(s, a);
}

void LF_ISA(lora_grads)(struct lf_stream *s, const struct lf_lora_bwd_args *a)
{
    size_t lines = (size_t)a->K;
    for (int p = 0; p < a->n; p++)
        lines += (size_t)a->N[p];
    lf_cpu_run(s, lines, LF_PANEL, columns, a);
}
