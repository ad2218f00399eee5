/* Linear maps on CUDA: which way a product goes.
 *
 *   T <= 8          rows: 4-bit or bf16 weights stream through the tensor cores once
 *   T <= most_tiles tiles: 4-bit weights, decoded in registers
 *   more, and all backward maps: dense products (cuda_dense.cu)
 *
 * The last way is also that of shapes which the first two do not take, so there is no shape that
 * fails.
 */
#include "gpu/ops/linear/q4.cuh"
#include "gpu/ops/lora/lora.cuh"

#include <string.h>

#define ROWS_MAX 8
/* Tokens up to which decoding 4-bit weights inside the product is faster than decoding them to
 * memory once: the first with the wgmma kernel, which decodes once for 256 tokens; the second with
 * the kernel of older cards, which decodes once for 32, and for calls with adapters or with a bf16
 * copy of the weights. */
#define TILES_MAX 512
#define TILES_MAX_FEW 128

static bool same_tables(const struct lf_weight *a, const struct lf_weight *b)
{
    return !a->absmax == !b->absmax &&
           memcmp(a->prepared, b->prepared, sizeof(struct q4_tables)) == 0;
}

/* The group as one call of the 4-bit kernels; false when they do not take it. */
static bool q4_call_from(struct q4_call *c, const struct lf_linear_args *a)
{
    const struct lf_weight *first = a->w[0];
    *c = {};
    c->group.n = a->n;
    c->group.code = first->code;
    c->group.map = first->absmax ? NULL : first->absmax_code;
    c->group.K = first->K;
    c->group.tiles = first->K / Q4_BLOCK;
    for (int p = 0; p < a->n; p++) {
        if (!a->w[p]->prepared || !same_tables(first, a->w[p]))
            return false;
        c->group.m[p] = q4_matrix_from(a->w[p]);
        c->group.m[p].col = a->col[p];
        c->group.m[p].panel = c->group.panels;
        c->group.panels += a->w[p]->N / Q4_PANEL;
    }
    c->x = (const bf16 *)a->x;
    c->y = a->y;
    c->T = a->T, c->ldx = a->ldx, c->ldy = a->ldy;
    c->accumulate = a->accumulate, c->y_f32 = a->y_f32;
    c->nested = !first->absmax;
    return lf_eights(a->x, a->ldx, first->K);
}

static bool all_bf16(const struct lf_linear_args *a)
{
    for (int p = 0; p < a->n; p++)
        if (a->w[p]->kind != LF_WEIGHT_BF16 || !lf_eights(a->w[p]->data, a->w[p]->K, a->w[p]->K))
            return false;
    return lf_eights(a->x, a->ldx, a->w[0]->K);
}

static bool whole_pairs(const struct q4_call *c)
{
    for (int p = 0; p < c->group.n; p++)
        if (c->group.m[p].N % (2 * Q4_PANEL) != 0)
            return false;
    return true;
}

/* This build and this card do warpgroup products. */
static bool has_wgmma(const struct lf_stream *s)
{
#ifdef LF_HAVE_SM90A
    return lf_cuda_of(s)->dev->cc == 90;
#else
    (void)s;
    return false;
#endif
}

/* There is a 4-bit kernel for the call on this card. */
static bool q4_takes(const struct lf_stream *s, const struct q4_call *c)
{
    return c->T <= ROWS_MAX || has_wgmma(s) || whole_pairs(c);
}

/* How many tokens go that way. */
static int most_tiles(const struct lf_stream *s, const struct lf_linear_args *a,
                      const struct lf_lora_args *lora)
{
    return has_wgmma(s) && !lora && !a->copy ? TILES_MAX : TILES_MAX_FEW;
}

static void q4_run(struct lf_stream *s, const struct q4_call *c)
{
    if (c->T <= ROWS_MAX)
        lf_cuda_q4_rows(s, c);
    else if (has_wgmma(s))
        lf_cuda_q4_wgmma(s, c);
    else
        lf_cuda_q4_tiles(s, c);
}

/* The activation goes into the call's kernel. */
static bool takes_glu(const struct lf_stream *s, const struct lf_glu_args *g,
                      const struct q4_call *c)
{
    return g && c->T > ROWS_MAX && has_wgmma(s) && g->gated && g->ldy == g->F && !c->accumulate &&
           !c->y_f32 && c->group.n == 2 && c->group.m[0].N == g->F && c->group.m[1].N == g->F;
}

static struct q4_lora q4_lora_from(const struct lf_lora_args *a)
{
    struct q4_lora l = {};
    l.sites = a->sites;
    l.segs = a->batch->segs;
    l.u = (bf16 *)a->u;
    l.n_sites = a->n_sites;
    l.n_segs = a->batch->n_segs;
    l.rank_max = a->batch->rank_max;
    memcpy(l.site, a->site, sizeof l.site);
    l.keeps_b = lora_keeps_b(a);
    return l;
}

/* Few tokens over 4-bit weights: u first, perhaps with the norm, or beside the map; then the map,
 * perhaps through the activation. The map of few rows adds the adapters' share as it writes; above
 * that many adapters may be there, whose B is read best by a kernel of its own. */
static void map_few(struct lf_stream *s, struct q4_call *c, const struct lf_map_args *m,
                    const struct lf_lora_args *lora)
{
    bool apart = lora && c->T > ROWS_MAX, glu = !apart && takes_glu(s, m->glu, c);
    bool beside = apart && has_wgmma(s) && lf_cuda_q4_makes_u(s, c, lora);
    if (glu)
        c->glu = {(bf16 *)m->glu->y, m->glu->act};
    if (lora && !beside)
        lf_cuda_lora_u(s, lora, m->norm);
    else if (m->norm)
        lf_cuda_norm(s, m->norm);
    if (lora && (beside || !apart))
        c->lora = q4_lora_from(lora);
    q4_run(s, c);
    if (apart)
        lf_cuda_lora_y(s, lora, m->glu);
    else if (m->glu && !glu)
        lf_cuda_glu(s, m->glu);
}

/* Few tokens: y holds what is added to. */
static void start_from_plus(struct lf_stream *s, const struct lf_map_args *m)
{
    const struct lf_linear_args *a = m->linear;
    if (m->plus && m->plus != a->y)
        lf_stream_copy(s, a->y, m->plus, (size_t)a->T * a->ldy * sizeof(bf16));
}

void lf_cuda_map(struct lf_stream *s, const struct lf_map_args *m)
{
    const struct lf_linear_args *a = m->linear;
    const struct lf_lora_args *lora = m->lora;
    struct q4_call c;
    if (a->T <= 0)
        return;
    if (lora && (lora->batch->n_segs == 0 || lora->batch->rank_max == 0))
        lora = NULL;
    if (a->T <= most_tiles(s, a, lora) && q4_call_from(&c, a) && q4_takes(s, &c)) {
        start_from_plus(s, m);
        map_few(s, &c, m, lora);
        return;
    }
    if (m->norm)
        lf_cuda_norm(s, m->norm);
    if (a->T <= ROWS_MAX && all_bf16(a)) {
        start_from_plus(s, m);
        lf_cuda_bf16_rows(s, a);
        if (lora)
            lf_cuda_lora(s, lora);
    } else {
        lf_cuda_linear_dense(s, a, lora, m->plus);
    }
    if (m->glu)
        lf_cuda_glu(s, m->glu);
}

void lf_cuda_linear(struct lf_stream *s, const struct lf_linear_args *a)
{
    struct lf_map_args m = {NULL, a, NULL, NULL, NULL};
    lf_cuda_map(s, &m);
}
