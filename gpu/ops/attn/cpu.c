/* Attention on the cpu.
 *
 * A unit of work is up to 64 query rows that share keys: a block of one head's queries, or, of a
 * sequence with one new token, the heads that share a kv head. It passes over the keys in chunks
 * of 64 with a running maximum and sum (Milakov & Gimelshein, "Online normalizer calculation for
 * softmax"), so no row of scores is ever whole. Units are shared out by cost, not by number. Chunks
 * begin at multiples of 64, and a row does the same with each whatever other rows are in its unit:
 * so its result does not depend on how its sequence's tokens were cut into steps.
 */
#include "gpu/backend.h"
#include "gpu/cpu/gemm.h"
#include "gpu/cpu/run.h"
#include "gpu/cpu/vmath.h"
#include "gpu/ops/attn/pages.h"

#include <math.h>

#define QUERIES 64 /* rows of a unit */
#define KEYS 64    /* of a chunk: whole pages */
#define GROUPS (KEYS / LF_KV_PAGE_TOKENS)
#define FEW_ROWS 8 /* below this, dots with unpacked keys */

_Static_assert(LF_KV_PAGE_TOKENS == LF_PANEL, "a page of keys becomes one panel");
_Static_assert((KEYS * QUERIES + 2 * QUERIES * LF_HEAD_DIM_MAX + 2 * QUERIES) * sizeof(float) <=
                   LF_CPU_SCRATCH,
               "scratch");

struct unit {
    const struct lf_seq *seq;
    const float *q; /* row r is at q + r*ldq */
    float *o;
    size_t ldq, ldo;
    int rows, hk;
    int first;  /* index of row 0's own key */
    int step;   /* 1: rows are consecutive queries; 0: heads of one query */
    float *lse; /* row r's is at lse[r*ldl], or NULL */
    size_t ldl;
};

/* A worker's scratch memory. */
struct room {
    float *scores; /* (rows, KEYS) */
    float *packed; /* a chunk of keys, (D, KEYS) in panels */
    float *o;      /* (rows, D), not yet divided by the sum */
    float *max, *sum;
};

/* Keys [j, j + n) lie at k and v with row stride ld. */
struct group {
    const float *k, *v;
    size_t ld;
    int n;
};

/* Cuts keys [j0, j1), one chunk from a multiple of the page size on, into groups. */
static int find_groups(struct group *out, const struct lf_attn_args *a, const struct unit *u,
                       int j0, int j1)
{
    size_t D = (size_t)a->D;
    if (u->seq->page_off < 0) {
        size_t at = (size_t)(u->seq->start + j0) * (size_t)a->ldkv + (size_t)u->hk * D;
        out[0] = (struct group){(const float *)a->k + at, (const float *)a->v + at, (size_t)a->ldkv,
                                j1 - j0};
        return 1;
    }
    int n = 0;
    for (int j = j0; j < j1; j += LF_KV_PAGE_TOKENS) {
        size_t at = lf_page_row(a->batch, u->seq, j, a->Hkv, u->hk) * D;
        int left = j1 - j < LF_KV_PAGE_TOKENS ? j1 - j : LF_KV_PAGE_TOKENS;
        out[n++] =
            (struct group){(const float *)a->k_pages + at, (const float *)a->v_pages + at, D, left};
    }
    return n;
}

/* Starts bringing n rows of D into the cache. With few query rows the keys' and values' way from
 * memory is what decode waits for, and pages lie too scattered for the hardware to guess. */
static void fetch(const float *rows, size_t ld, int n, size_t D)
{
    for (int i = 0; i < n; i++)
        for (size_t d = 0; d < D; d += 16)
            __builtin_prefetch(rows + (size_t)i * ld + d);
}

/* scores = scale * q k^T, of the chunk's keys from `at` on. */
static void score(const struct lf_attn_args *a, const struct unit *u, const struct room *m,
                  const struct group *g, int n_groups, size_t at)
{
    size_t D = (size_t)a->D, rows = (size_t)u->rows;
    for (int i = 0; i < n_groups; at += (size_t)g[i].n, i++) {
        size_t n = (size_t)g[i].n;
        if (u->rows < FEW_ROWS) {
            fetch(g[i].v, g[i].ld, g[i].n, D);
            if (i + 1 < n_groups)
                fetch(g[i + 1].k, g[i + 1].ld, g[i + 1].n, D);
            lf_gemm_dots(m->scores + at, KEYS, u->q, u->ldq, g[i].k, g[i].ld, rows, n, D, a->scale,
                         false);
        } else {
            lf_pack_columns(m->packed, g[i].k, g[i].ld, D, n);
            lf_gemm_as_dots(m->scores + at, KEYS, (struct lf_mat){u->q, (ptrdiff_t)u->ldq, 1},
                            m->packed, rows, n, D, a->scale, false);
        }
    }
}

/* One row of a chunk's scores, of which [lo, hi) are seen: probabilities against the running
 * maximum, which may rise and rescale what is there. Scores outside need not have been made. */
static void soften(const struct lf_attn_args *a, const struct room *m, int r, int lo, int hi)
{
    float *s = m->scores + (size_t)r * KEYS, *o = m->o + (size_t)r * (size_t)a->D;
    float max = m->max[r], sum = 0, cap = a->softcap;
    if (cap > 0)
#pragma omp simd
        for (int j = 0; j < KEYS; j++)
            s[j] = cap * lf_tanh(s[j] / cap);
    for (int j = 0; j < lo && j < KEYS; j++)
        s[j] = -INFINITY;
    for (int j = hi > 0 ? hi : 0; j < KEYS; j++)
        s[j] = -INFINITY;
#pragma omp simd reduction(max : max)
    for (int j = 0; j < KEYS; j++)
        max = s[j] > max ? s[j] : max;
    if (max == -INFINITY) { /* nothing seen yet */
        memset(s, 0, KEYS * sizeof *s);
        return;
    }
#pragma omp simd reduction(+ : sum)
    for (int j = 0; j < KEYS; j++) {
        s[j] = lf_exp(s[j] - max);
        sum += s[j];
    }
    float fade = lf_exp(m->max[r] - max);
    if (fade != 1)
#pragma omp simd
        for (int d = 0; d < a->D; d++)
            o[d] *= fade;
    m->sum[r] = m->sum[r] * fade + sum;
    m->max[r] = max;
}

static void attend(const struct lf_attn_args *a, const struct unit *u, const struct room *m)
{
    size_t D = (size_t)a->D;
    int end = u->first + u->step * (u->rows - 1) + 1, start = 0;
    if (a->window > 0 && u->first - a->window + 1 > 0)
        start = (u->first - a->window + 1) / LF_KV_PAGE_TOKENS * LF_KV_PAGE_TOKENS;
    memset(m->o, 0, (size_t)u->rows * D * sizeof *m->o);
    for (int r = 0; r < u->rows; r++) {
        m->max[r] = -INFINITY;
        m->sum[r] = 0;
    }
    for (int j0 = start / KEYS * KEYS; j0 < end; j0 += KEYS) {
        int from = j0 > start ? j0 : start, at = from - j0; /* keys before a window may be gone */
        struct group groups[GROUPS];
        int n = find_groups(groups, a, u, from, j0 + KEYS < end ? j0 + KEYS : end);
        score(a, u, m, groups, n, (size_t)at);
        for (int r = 0; r < u->rows; r++) {
            int own = u->first + u->step * r;
            int lo = a->window > 0 ? own - a->window + 1 : 0;
            soften(a, m, r, lo - j0, own + 1 - j0);
        }
        for (int i = 0; i < n; at += groups[i].n, i++)
            lf_gemm_rows(m->o, D, (struct lf_mat){m->scores + at, KEYS, 1}, groups[i].v,
                         groups[i].ld, (size_t)u->rows, D, (size_t)groups[i].n, 1, true);
    }
    for (int r = 0; r < u->rows; r++) {
        float inverse = 1 / m->sum[r], *o = u->o + (size_t)r * u->ldo;
        for (size_t d = 0; d < D; d++)
            o[d] = m->o[(size_t)r * D + d] * inverse;
        if (u->lse)
            u->lse[(size_t)r * u->ldl] = m->max[r] + logf(m->sum[r]);
    }
}

/* ---- Sharing out ---- */

/* Units of QUERIES rows that n rows make. */
static int blocks_of(int n)
{
    return (n + QUERIES - 1) / QUERIES;
}

static int units_of(const struct lf_attn_args *a, const struct lf_seq *seq)
{
    return seq->n == 1 ? a->Hkv * blocks_of(a->H / a->Hkv) : a->H * blocks_of(seq->n);
}

static struct unit unit_at(const struct lf_attn_args *a, const struct lf_seq *seq, int i)
{
    int group = a->H / a->Hkv, past = seq->page_off >= 0 ? seq->past : 0;
    struct unit u = {.seq = seq};
    int block = seq->n == 1 ? 0 : i / a->H, part = i % blocks_of(group) * QUERIES;
    int h = seq->n == 1 ? i / blocks_of(group) * group + part : i % a->H;
    size_t t = (size_t)(seq->start + block * QUERIES), D = (size_t)a->D;
    u.q = (const float *)a->q + t * (size_t)a->ldq + (size_t)h * D;
    u.o = (float *)a->o + t * (size_t)a->ldo + (size_t)h * D;
    u.lse = a->lse ? a->lse + t * (size_t)a->H + h : NULL;
    u.hk = h / group;
    u.first = past + block * QUERIES;
    if (seq->n == 1) {
        u.rows = group - part < QUERIES ? group - part : QUERIES;
        u.ldq = u.ldo = D;
        u.ldl = 1;
    } else {
        u.rows = seq->n - block * QUERIES < QUERIES ? seq->n - block * QUERIES : QUERIES;
        u.step = 1;
        u.ldq = (size_t)a->ldq;
        u.ldo = (size_t)a->ldo;
        u.ldl = (size_t)a->H;
    }
    return u;
}

/* Roughly what a unit takes, in keys x rows. */
static size_t cost_of(const struct lf_attn_args *a, const struct unit *u)
{
    int keys = u->first + u->step * u->rows / 2 + 1;
    if (a->window > 0 && keys > a->window + QUERIES)
        keys = a->window + QUERIES;
    return (size_t)(keys + 16) * (size_t)(u->rows + 2);
}

static size_t walk(const struct lf_attn_args *a, size_t begin, size_t end, const struct room *m)
{
    size_t at = 0;
    for (int s = 0; s < a->batch->S; s++) {
        const struct lf_seq *seq = &a->batch->seqs[s];
        for (int i = 0, n = units_of(a, seq); i < n; i++) {
            struct unit u = unit_at(a, seq, i);
            size_t cost = cost_of(a, &u), middle = at + cost / 2;
            if (m && middle >= begin && middle < end)
                attend(a, &u, m);
            at += cost;
        }
    }
    return at;
}

static void part(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct lf_attn_args *a = args;
    struct room m = {.scores = scratch};
    m.packed = m.scores + KEYS * QUERIES;
    m.o = m.packed + KEYS * LF_HEAD_DIM_MAX;
    m.max = m.o + QUERIES * LF_HEAD_DIM_MAX;
    m.sum = m.max + QUERIES;
    walk(a, begin, end, &m);
}

void LF_ISA(attn)(struct lf_stream *s, const struct lf_attn_args *a)
{
    size_t cost = walk(a, 0, 0, NULL);
    lf_cpu_run(s, cost, lf_cpu_grain((size_t)a->D / 4), part, a);
}
