/* Attention backward on the cpu, for sequences that attend to their own rows.
 *
 * A unit of work is a sequence and a kv head: nobody else adds to its keys' and values' gradients,
 * nor to the queries' of the heads that share it. Blocks of 64 keys by 64 queries; probabilities
 * are computed again from the forward's log-sum-exp (ref_bwd.c has the formulas).
 */
#include "gpu/backend.h"
#include "gpu/cpu/gemm.h"
#include "gpu/cpu/run.h"
#include "gpu/cpu/vmath.h"

#define QUERIES 64
#define KEYS 64

_Static_assert((2 * KEYS * QUERIES + 2 * KEYS * LF_HEAD_DIM_MAX) * sizeof(float) <= LF_CPU_SCRATCH,
               "scratch");

struct room {
    float *p, *ds;              /* (queries, KEYS): scores, then probabilities; dp, then ds */
    float *packed_k, *packed_v; /* the block's keys and values, (D, KEYS) in panels */
};

/* Queries [i0, i0 + rows) of head h by keys [j0, j0 + keys) of kv head hk. */
struct block {
    const struct lf_seq *seq;
    int h, hk, i0, rows, j0, keys;
};

struct operand {
    const float *p;
    size_t ld;
};

static struct operand rows_at(const void *base, int t, int ld, int h, int D)
{
    return (struct operand){(const float *)base + (size_t)t * (size_t)ld + (size_t)h * (size_t)D,
                            (size_t)ld};
}

/* One row of scores s and of dp, in place, to p and ds. */
static void row_slopes(const struct lf_attn_bwd_args *a, float *s, float *dp, int keys, int lo,
                       int hi, float lse, float delta)
{
    float cap = a->softcap, inverse = cap > 0 ? 1 / cap : 0;
    if (cap > 0)
#pragma omp simd
        for (int j = 0; j < keys; j++) {
            float th = lf_tanh(s[j] * inverse);
            s[j] = lf_exp(cap * th - lse);
            dp[j] = s[j] * (dp[j] - delta) * (1 - th * th);
        }
    else
#pragma omp simd
        for (int j = 0; j < keys; j++) {
            s[j] = lf_exp(s[j] - lse);
            dp[j] = s[j] * (dp[j] - delta);
        }
    for (int j = 0; j < keys && j < lo; j++)
        s[j] = dp[j] = 0;
    for (int j = hi > 0 ? hi : 0; j < keys; j++)
        s[j] = dp[j] = 0;
}

static void block_slopes(const struct lf_attn_bwd_args *a, const struct block *b,
                         const struct room *m, struct operand q, struct operand d_o)
{
    size_t rows = (size_t)b->rows, keys = (size_t)b->keys, D = (size_t)a->D;
    /* The scores that forward made, to the bit: exp of what they differ by may be anything. */
    lf_gemm_as_dots(m->p, KEYS, (struct lf_mat){q.p, (ptrdiff_t)q.ld, 1}, m->packed_k, rows, keys,
                    D, a->scale, false);
    lf_gemm(m->ds, KEYS, (struct lf_mat){d_o.p, (ptrdiff_t)d_o.ld, 1}, m->packed_v, rows, keys, D,
            1, false);
    for (int r = 0; r < b->rows; r++) {
        int i = b->i0 + r, lo = a->window > 0 ? i - a->window + 1 : 0;
        size_t at = (size_t)(b->seq->start + i) * (size_t)a->H + (size_t)b->h;
        row_slopes(a, m->p + r * KEYS, m->ds + r * KEYS, b->keys, lo - b->j0, i + 1 - b->j0,
                   a->lse[at], a->delta[at]);
    }
}

static void add_block(const struct lf_attn_bwd_args *a, const struct block *b, const struct room *m)
{
    size_t rows = (size_t)b->rows, keys = (size_t)b->keys, D = (size_t)a->D;
    int tq = b->seq->start + b->i0, tk = b->seq->start + b->j0;
    struct operand q = rows_at(a->q, tq, a->ldq, b->h, a->D);
    struct operand d_o = rows_at(a->d_o, tq, a->ldo, b->h, a->D);
    struct operand k = rows_at(a->k, tk, a->ldkv, b->hk, a->D);
    float *dq = (float *)rows_at(a->dq, tq, a->lddq, b->h, a->D).p;
    float *dk = (float *)rows_at(a->dk, tk, a->lddkv, b->hk, a->D).p;
    float *dv = (float *)rows_at(a->dv, tk, a->lddkv, b->hk, a->D).p;
    block_slopes(a, b, m, q, d_o);
    lf_gemm_rows(dv, (size_t)a->lddkv, (struct lf_mat){m->p, 1, KEYS}, d_o.p, d_o.ld, keys, D, rows,
                 1, true);
    lf_gemm_rows(dk, (size_t)a->lddkv, (struct lf_mat){m->ds, 1, KEYS}, q.p, q.ld, keys, D, rows,
                 a->scale, true);
    lf_gemm_rows(dq, (size_t)a->lddq, (struct lf_mat){m->ds, KEYS, 1}, k.p, k.ld, rows, D, keys,
                 a->scale, true);
}

static void clear_rows(void *base, const struct lf_seq *seq, int ld, int first, int columns)
{
    for (int t = seq->start; t < seq->start + seq->n; t++)
        memset((float *)base + (size_t)t * (size_t)ld + first, 0, (size_t)columns * sizeof(float));
}

static void make_delta(const struct lf_attn_bwd_args *a, const struct lf_seq *seq, int h)
{
    for (int t = seq->start; t < seq->start + seq->n; t++) {
        const float *d_o = rows_at(a->d_o, t, a->ldo, h, a->D).p;
        const float *o = rows_at(a->o, t, a->ldo, h, a->D).p;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int d = 0; d < a->D; d++)
            sum += d_o[d] * o[d];
        a->delta[(size_t)t * (size_t)a->H + (size_t)h] = sum;
    }
}

static void one_unit(const struct lf_attn_bwd_args *a, const struct lf_seq *seq, int hk,
                     const struct room *m)
{
    int group = a->H / a->Hkv, h0 = hk * group;
    clear_rows(a->dq, seq, a->lddq, h0 * a->D, group * a->D);
    clear_rows(a->dk, seq, a->lddkv, hk * a->D, a->D);
    clear_rows(a->dv, seq, a->lddkv, hk * a->D, a->D);
    for (int h = h0; h < h0 + group; h++)
        make_delta(a, seq, h);
    for (int j = 0; j < seq->n; j += KEYS) {
        struct block b = {.seq = seq, .hk = hk, .j0 = j};
        b.keys = seq->n - j < KEYS ? seq->n - j : KEYS;
        struct operand k = rows_at(a->k, seq->start + j, a->ldkv, hk, a->D);
        struct operand v = rows_at(a->v, seq->start + j, a->ldkv, hk, a->D);
        lf_pack_columns(m->packed_k, k.p, k.ld, (size_t)a->D, (size_t)b.keys);
        lf_pack_columns(m->packed_v, v.p, v.ld, (size_t)a->D, (size_t)b.keys);
        int end = a->window > 0 && j + b.keys - 1 + a->window < seq->n
                      ? j + b.keys - 1 + a->window
                      : seq->n; /* queries that see the last key */
        for (b.h = h0; b.h < h0 + group; b.h++)
            for (b.i0 = j; b.i0 < end; b.i0 += QUERIES) {
                b.rows = end - b.i0 < QUERIES ? end - b.i0 : QUERIES;
                add_block(a, &b, m);
            }
    }
}

/* Units in order, shared out by the squares of their lengths. */
static size_t walk(const struct lf_attn_bwd_args *a, size_t begin, size_t end, const struct room *m)
{
    size_t at = 0;
    for (int s = a->batch->n_cached; s < a->batch->S; s++) {
        const struct lf_seq *seq = &a->batch->seqs[s];
        size_t cost = (size_t)(seq->n + KEYS) * (size_t)seq->n;
        for (int hk = 0; hk < a->Hkv; hk++, at += cost) {
            size_t middle = at + cost / 2;
            if (m && middle >= begin && middle < end)
                one_unit(a, seq, hk, m);
        }
    }
    return at;
}

static void part(const void *args, size_t begin, size_t end, void *scratch)
{
    struct room m = {.p = scratch};
    m.ds = m.p + KEYS * QUERIES;
    m.packed_k = m.ds + KEYS * QUERIES;
    m.packed_v = m.packed_k + KEYS * LF_HEAD_DIM_MAX;
    walk(args, begin, end, &m);
}

void LF_ISA(attn_bwd)(struct lf_stream *s, const struct lf_attn_bwd_args *a)
{
    lf_cpu_run(s, walk(a, 0, 0, NULL), lf_cpu_grain((size_t)a->D), part, a);
}
