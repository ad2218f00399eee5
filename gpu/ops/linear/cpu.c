/* Linear maps on the cpu: weights are decoded in pieces that stay in the caches.
 *
 * Forward: each worker takes rows of the weights. With AVX-512 tokens are multiplied while weights
 * are decoded: 4-bit ones by lf_q4_dots, others by lf_weight_gemv; elsewhere few tokens are, by
 * lf_weight_gemv or decoded to rows for lf_gemm_dots, and of many tokens' weights rows become
 * packed panels of 16 columns for lf_gemm_as_dots. A weight's form alone decides in what order a
 * sum is made, so that a token's results are the same bytes in whatever company. Backward: each
 * worker takes columns of the input's gradient and decodes that part of every row. Tried and
 * slower: OpenBLAS for many tokens (0.6 to 0.9 of lf_gemm's speed on pieces this small).
 */
#include "gpu/backend.h"
#include "gpu/cpu/run.h"
#include "gpu/cpu/gemm.h"
#include "gpu/cpu/q4.h"
#include "gpu/cpu/q4_dots.h"
#include "gpu/cpu/q4_fast.h"
#include "gpu/cpu/weights.h"

#define MANY_TOKENS 32 /* from here on packing pays, but for 4-bit rows with AVX2 */
#define DECODE_ROWS 16 /* rows decoded at a time: 64 KiB with PIECE_K */
#define PIECE_ROWS 64  /* rows of a forward piece */
#define PIECE_K LF_DOTS_DEPTH
#define BACK_ROWS 128 /* rows (depth) of a backward piece */
#define BACK_K 512    /* its columns */

_Static_assert((DECODE_ROWS + PIECE_ROWS) * PIECE_K * sizeof(float) <= LF_CPU_SCRATCH, "scratch");
_Static_assert(2 * BACK_ROWS * BACK_K * sizeof(float) <= LF_CPU_SCRATCH, "scratch");
_Static_assert(LF_Q4_DOTS_SCRATCH <= LF_CPU_SCRATCH, "scratch");
_Static_assert(LF_FAST_SCRATCH <= LF_CPU_SCRATCH, "scratch");
_Static_assert(DECODE_ROWS == LF_PANEL, "a decoded group becomes one panel");

LF_INLINE size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Rows [n0, n1) of weight p, all tokens in [t0, t1). */
struct piece {
    const struct lf_linear_args *a;
    const struct lf_weight *w;
    size_t n0, n1, t0, t1;
    float *y;       /* row t0, column of n0 */
    const float *x; /* row t0 */
    bool accumulate;
};

static void add_bias(struct piece *c)
{
    for (size_t t = 0; t < c->t1 - c->t0; t++) {
        float *y = c->y + t * (size_t)c->a->ldy;
        for (size_t n = c->n0; n < c->n1; n++)
            y[n - c->n0] = (c->accumulate ? y[n - c->n0] : 0) + c->w->bias[n];
    }
    c->accumulate = true;
}

static void few_tokens(const struct piece *c, float *scratch)
{
    size_t T = c->t1 - c->t0, ldx = (size_t)c->a->ldx, ldy = (size_t)c->a->ldy;
    size_t K = (size_t)c->w->K;
    for (size_t n = c->n0; n < c->n1; n += DECODE_ROWS) {
        size_t end = min_size(n + DECODE_ROWS, c->n1);
        for (size_t k = 0; k < K; k += PIECE_K) {
            size_t k1 = min_size(k + PIECE_K, K);
            struct lf_weight_rows rows = lf_weight_view(c->w, n, end, k, k1, scratch);
            lf_gemm_dots(c->y + (n - c->n0), ldy, c->x + k, ldx, rows.p, rows.ld, T, end - n,
                         k1 - k, 1, c->accumulate || k > 0);
        }
    }
}

static void many_tokens(const struct piece *c, float *scratch)
{
    size_t T = c->t1 - c->t0, K = (size_t)c->w->K;
    float *packed = scratch + DECODE_ROWS * PIECE_K;
    for (size_t k = 0; k < K; k += PIECE_K) {
        size_t k1 = min_size(k + PIECE_K, K), depth = k1 - k;
        for (size_t n = c->n0; n < c->n1; n += DECODE_ROWS) {
            size_t end = min_size(n + DECODE_ROWS, c->n1);
            lf_weight_panel(packed + (n - c->n0) * depth, c->w, n, end, k, k1, scratch);
        }
        lf_gemm_as_dots(c->y, (size_t)c->a->ldy, (struct lf_mat){c->x + k, c->a->ldx, 1}, packed, T,
                        c->n1 - c->n0, depth, 1, c->accumulate || k > 0);
    }
}

static size_t panels_of(int n)
{
    return ((size_t)n + LF_PANEL - 1) / LF_PANEL;
}

/* How tokens [t0, t1) of a call are cut: panels of the weights one after another, then blocks of
 * tokens. */
struct work {
    const struct lf_linear_args *a;
    size_t panels, block; /* of all weights; tokens of a block */
    size_t t0, t1;
    struct lf_fast_form form; /* where a weight has that; bits 0: in fp32 */
};

/* What a worker does at a time: panels [begin, end) of the weights together, tokens [t0, t1). */
struct portion {
    const struct lf_linear_args *a;
    size_t begin, end, t0, t1;
    struct lf_fast_form form;
};

/* Its part of weight p; there is none where n0 >= n1. */
static struct piece part_of(const struct portion *s, int p)
{
    const struct lf_linear_args *a = s->a;
    struct piece c = {.a = a, .w = a->w[p], .t0 = s->t0, .t1 = s->t1, .accumulate = a->accumulate};
    size_t first = 0, N = (size_t)c.w->N; /* first: panel at which the weight starts */
    for (int i = 0; i < p; i++)
        first += panels_of(a->w[i]->N);
    c.n0 = min_size(s->begin > first ? (s->begin - first) * LF_PANEL : 0, N);
    c.n1 = min_size(s->end > first ? (s->end - first) * LF_PANEL : 0, N);
    c.y = (float *)a->y + s->t0 * (size_t)a->ldy + (size_t)a->col[p] + c.n0;
    c.x = (const float *)a->x + s->t0 * (size_t)a->ldx;
    return c;
}

/* Where rows of codes have a quick way into panels (gpu/cpu/panels.c), these pay at once. */
static bool panels_are_quick(const struct lf_weight *w)
{
#ifdef __AVX2__
    return lf_q4_fits(w);
#else
    (void)w;
    return false;
#endif
}

/* A weight whose tokens are not packed. */
static void in_pieces(const struct piece *all, float *scratch)
{
    for (size_t n = all->n0; n < all->n1; n += PIECE_ROWS) {
        struct piece c = *all;
        c.n0 = n;
        c.n1 = min_size(n + PIECE_ROWS, all->n1);
        c.y += n - all->n0;
        if (lf_weight_gemv(c.y, (size_t)c.a->ldy, c.w, c.n0, c.n1, c.x, (size_t)c.a->ldx,
                           c.t1 - c.t0, c.accumulate))
            continue;
        if (c.t1 - c.t0 >= MANY_TOKENS || panels_are_quick(c.w))
            many_tokens(&c, scratch);
        else
            few_tokens(&c, scratch);
    }
}

static struct lf_q4_dots dots_of(const struct piece *c, size_t k, size_t k1)
{
    return (struct lf_q4_dots){.y = c->y,
                               .ldy = (size_t)c->a->ldy,
                               .w = c->w,
                               .n0 = c->n0,
                               .n1 = c->n1,
                               .k0 = k,
                               .k1 = k1,
                               .T = c->t1 - c->t0,
                               .accumulate = c->accumulate || c->w->bias || k > 0};
}

static bool goes_fast(const struct portion *s, const struct lf_weight *w)
{
    return s->form.bits && lf_fast_fits(w);
}

/* Weights that are multiplied as they are; the tokens are packed once for all of them. */
static void packed_tokens(const struct portion *all, float *scratch)
{
    const struct lf_linear_args *a = all->a;
    size_t K = (size_t)a->w[0]->K;
    struct portion s = *all;
    for (; s.t0 < all->t1; s.t0 = s.t1) {
        s.t1 = min_size(s.t0 + LF_Q4_DOTS_TOKENS, all->t1);
        for (size_t k = 0; k < K; k += LF_Q4_DOTS_DEPTH) {
            size_t k1 = min_size(k + LF_Q4_DOTS_DEPTH, K);
            lf_q4_dots_pack(scratch, part_of(&s, 0).x, (size_t)a->ldx, s.t1 - s.t0, k, k1);
            for (int p = 0; p < a->n; p++) {
                struct piece c = part_of(&s, p);
                struct lf_q4_dots d = dots_of(&c, k, k1);
                if (c.n0 < c.n1 && lf_q4_dots_fit(c.w) && !goes_fast(&s, c.w))
                    lf_q4_dots(&d, scratch);
            }
        }
    }
}

/* The same in integers. */
static void fast_tokens(const struct portion *all, void *scratch)
{
    const struct lf_linear_args *a = all->a;
    size_t K = (size_t)a->w[0]->K;
    struct portion s = *all;
    for (; s.t0 < all->t1; s.t0 = s.t1) {
        s.t1 = min_size(s.t0 + LF_FAST_TOKENS, all->t1);
        size_t T = s.t1 - s.t0;
        for (size_t k = 0, k1; k < K; k = k1) {
            k1 = k + lf_fast_depth(T, K - k, s.form.bits);
            lf_fast_pack(scratch, part_of(&s, 0).x, (size_t)a->ldx, T, k, k1, s.form.bits);
            for (int p = 0; p < a->n; p++) {
                struct piece c = part_of(&s, p);
                struct lf_q4_dots d = dots_of(&c, k, k1);
                if (c.n0 < c.n1 && goes_fast(&s, c.w))
                    lf_fast_products(&d, scratch, s.form);
            }
        }
    }
}

static void forward_share(const struct portion *s, float *scratch)
{
    bool packs = false, fast = false;
    for (int p = 0; p < s->a->n; p++) {
        struct piece c = part_of(s, p);
        if (c.n0 >= c.n1)
            continue;
        if (c.w->bias)
            add_bias(&c);
        if (goes_fast(s, c.w))
            fast = true;
        else if (lf_q4_dots_fit(c.w))
            packs = true;
        else
            in_pieces(&c, scratch);
    }
    if (packs)
        packed_tokens(s, scratch);
    if (fast)
        fast_tokens(s, scratch);
}

static void forward(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct work *wk = args;
    while (begin < end) { /* units are (token block, panel) */
        size_t tb = begin / wk->panels, from = begin % wk->panels;
        size_t to = min_size(wk->panels, from + (end - begin));
        size_t t0 = wk->t0 + tb * wk->block, t1 = min_size(t0 + wk->block, wk->t1);
        forward_share(&(struct portion){wk->a, from, to, t0, t1, wk->form}, scratch);
        begin += to - from;
    }
}

/* Tokens in one block: all of them, unless there are too few panels for the threads. */
static size_t token_block(struct lf_stream *s, size_t T, size_t panels)
{
    size_t threads = (size_t)lf_cpu_of(s)->threads;
    if (panels >= 2 * threads || T < 4 * MANY_TOKENS)
        return T;
    size_t blocks = (2 * threads + panels - 1) / panels;
    size_t block = (T + blocks - 1) / blocks;
    return block < 2 * MANY_TOKENS ? 2 * MANY_TOKENS : block;
}

static void forward_tokens(struct lf_stream *s, const struct lf_linear_args *a, size_t t0,
                           size_t t1, struct lf_fast_form form)
{
    struct work wk = {.a = a, .t0 = t0, .t1 = t1, .form = form};
    for (int p = 0; p < a->n; p++)
        wk.panels += panels_of(a->w[p]->N);
    if (t0 == t1 || wk.panels == 0)
        return;
    wk.block = token_block(s, t1 - t0, wk.panels);
    size_t blocks = (t1 - t0 + wk.block - 1) / wk.block;
    lf_cpu_run(s, wk.panels * blocks, 1, forward, &wk);
}

void LF_ISA(linear)(struct lf_stream *s, const struct lf_linear_args *a)
{
    struct lf_fast_form form = {lf_cpu_of(s)->bits, lf_cpu_of(s)->tiles};
    size_t fast = form.bits ? (size_t)a->T_fast : 0;
    forward_tokens(s, a, 0, fast, form);
    forward_tokens(s, a, fast, (size_t)a->T, (struct lf_fast_form){0});
}

/* ---- Backward ---- */

struct back {
    const struct lf_linear_bwd_args *a;
    size_t panels, block;
};

/* Columns [k0, k1), at most BACK_K of them, of dx rows [t0, t1). */
static void backward_columns(const struct lf_linear_bwd_args *a, size_t k0, size_t k1, size_t t0,
                             size_t t1, float *scratch)
{
    float *packed = scratch + BACK_ROWS * BACK_K;
    float *dx = (float *)a->dx + t0 * (size_t)a->lddx + k0;
    bool accumulate = a->accumulate;
    for (int p = 0; p < a->n; p++) {
        size_t N = (size_t)a->w[p]->N;
        const float *dy = (const float *)a->dy + t0 * (size_t)a->lddy + (size_t)a->col[p];
        for (size_t n = 0; n < N; n += BACK_ROWS) {
            size_t end = min_size(n + BACK_ROWS, N);
            struct lf_weight_rows rows = lf_weight_view(a->w[p], n, end, k0, k1, scratch);
            lf_pack_rows(packed, rows.p, rows.ld, end - n, k1 - k0);
            lf_gemm(dx, (size_t)a->lddx, (struct lf_mat){dy + n, a->lddy, 1}, packed, t1 - t0,
                    k1 - k0, end - n, 1, accumulate);
            accumulate = true;
        }
    }
}

static void backward(const void *args, size_t begin, size_t end, void *scratch)
{
    const struct back *b = args;
    size_t K = (size_t)b->a->w[0]->K;
    while (begin < end) {
        size_t tb = begin / b->panels, from = begin % b->panels;
        size_t to = min_size(b->panels, from + (end - begin));
        to = min_size(to, from + BACK_K / LF_PANEL);
        size_t t0 = tb * b->block, t1 = min_size(t0 + b->block, (size_t)b->a->T);
        backward_columns(b->a, from * LF_PANEL, min_size(to * LF_PANEL, K), t0, t1, scratch);
        begin += to - from;
    }
}

void LF_ISA(linear_bwd)(struct lf_stream *s, const struct lf_linear_bwd_args *a)
{
    struct back b = {.a = a, .panels = panels_of(a->w[0]->K)};
    if (a->T == 0)
        return;
    b.block = token_block(s, (size_t)a->T, b.panels);
    size_t blocks = ((size_t)a->T + b.block - 1) / b.block;
    lf_cpu_run(s, b.panels * blocks, 1, backward, &b);
}
