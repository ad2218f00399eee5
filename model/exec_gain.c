/* DoRA's share of the maps (model/dora.h): a gain of the base's own product. That is made once
 * more, by itself and for some rows at a time, from the first row whose adapter has a gain to the
 * last. So the maps of all rows, and what others get of them, are what they are without it. */
#include "model/exec_inside.h"

#include "core/num.h"

#include <string.h>

bool lf_exec_group_has_gain(const struct lf_exec *x, enum lf_group_kind g)
{
    int first, n;
    lf_config_group(&x->model->config, g, &first, &n);
    bool any = false;
    for (int i = 0; i < n; i++)
        any = any || x->gain[first + i];
    return any;
}

/* Rows of a map's gain that are worked on together. */
struct gain_piece {
    struct lf_exec *x;
    const struct lf_proj *proj;
    struct lf_weight w; /* without its bias */
    void *copy;         /* of it, or NULL */
    int ldcopy;
    int T_fast;
    struct lf_gain_args gain;
};
typedef void (*piece_fn)(struct gain_piece *p, void *in, int ld_in);

/* z = x W^T */
static void product(struct gain_piece *p, const void *in, int ld_in)
{
    struct lf_exec *x = p->x;
    int begin = p->gain.begin, T = p->gain.end - begin;
    struct lf_linear_args a = {.y = x->work.z,
                               .x = lf_at(in, (size_t)begin * (size_t)ld_in, x->es),
                               .w = {&p->w},
                               .n = 1,
                               .T = T,
                               .ldy = p->proj->N,
                               .ldx = ld_in,
                               .copy = p->copy,
                               .ldcopy = p->ldcopy,
                               .T_fast = lf_min_int(lf_max_int(p->T_fast - begin, 0), T)};
    x->ops->linear(x->stream, &a);
}

static void forward(struct gain_piece *p, void *in, int ld_in)
{
    product(p, in, ld_in);
    p->x->ops->gain(p->x->stream, &p->gain);
}

static void gradient(struct gain_piece *p, void *in, int ld_in)
{
    product(p, in, ld_in);
    p->x->ops->gain_grads(p->x->stream, &p->gain);
}

/* in: its gradient. */
static void backward(struct gain_piece *p, void *in, int ld_in)
{
    struct lf_exec *x = p->x;
    struct lf_linear_bwd_args a = {.dx = lf_at(in, (size_t)p->gain.begin * (size_t)ld_in, x->es),
                                   .dy = x->work.z,
                                   .w = {&p->w},
                                   .n = 1,
                                   .T = p->gain.end - p->gain.begin,
                                   .lddx = ld_in,
                                   .lddy = p->proj->N,
                                   .accumulate = true,
                                   .copy = p->copy,
                                   .ldcopy = p->ldcopy};
    x->ops->gain_bwd(x->stream, &p->gain);
    x->ops->linear_bwd(x->stream, &a);
}

/* From the first row with a gain to the last; of a recorded step all, since others will have it. */
static void rows_with_gain(const struct lf_exec *x, const struct lf_ragged *b, int *begin, int *end)
{
    *begin = *end = 0;
    for (int i = 0; i < b->n_segs; i++) {
        const struct lf_lora_seg *s = &b->h_segs[i];
        if (s->start == s->end || !x->slots->slot[s->slot].shape.dora)
            continue;
        if (*end == 0)
            *begin = s->start;
        *end = s->end;
    }
    if (x->recorded) {
        *begin = 0;
        *end = b->T;
    }
}

/* y: the group's output, or its gradient. */
static void each_piece(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                       const void *y, int ldy, const void *in, int ld_in, piece_fn fn)
{
    const struct lf_config *c = &x->model->config;
    int first, n, begin, end;
    size_t copied = 0;
    if (!lf_exec_group_has_gain(x, g))
        return;
    lf_config_group(c, g, &first, &n);
    rows_with_gain(x, &p->batch, &begin, &end);
    for (int i = first; i < first + n; copied += (size_t)c->proj[i++].N) {
        struct gain_piece piece = {.x = x,
                                   .proj = &c->proj[i],
                                   .w = x->model->layers[l].w[i],
                                   .ldcopy = c->proj[i].K + x->room,
                                   .T_fast = p->batch.T_cached};
        piece.w.bias = NULL;
        piece.copy = lf_at(lf_exec_copy(x, l, g), copied * (size_t)piece.ldcopy, x->es);
        piece.gain = (struct lf_gain_args){.y = lf_at(y, (size_t)c->proj[i].col, x->es),
                                           .z = x->work.z,
                                           .sites = x->slots->sites,
                                           .batch = &p->batch,
                                           .n_sites = x->slots->n_sites,
                                           .site = l * c->n_proj + i,
                                           .N = c->proj[i].N,
                                           .ldy = ldy};
        for (int t = begin; x->gain[i] && t < end; t += LF_GAIN_ROWS) {
            piece.gain.begin = t;
            piece.gain.end = lf_min_int(t + LF_GAIN_ROWS, end);
            fn(&piece, lf_at(in, 0, 1), ld_in);
        }
    }
}

void lf_exec_gain(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g, void *y,
                  int ldy, const void *in, int ldx)
{
    each_piece(x, p, l, g, y, ldy, in, ldx, forward);
}

static int ld_of_dy(const struct lf_exec *x, enum lf_group_kind g)
{
    int first, n;
    return lf_config_group(&x->model->config, g, &first, &n) + x->room;
}

void lf_exec_gain_bwd(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                      void *dx, const void *dy)
{
    int first, n;
    lf_config_group(&x->model->config, g, &first, &n);
    each_piece(x, p, l, g, dy, ld_of_dy(x, g), dx, x->model->config.proj[first].K + x->room,
               backward);
}

void lf_exec_gain_grads(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                        const void *dy, const void *in, int ldx)
{
    each_piece(x, p, l, g, dy, ld_of_dy(x, g), in, ldx, gradient);
}

/* ---- Once a step ----------------------------------------------------------------------------- */

static struct lf_dora_args numbers_of(struct lf_exec *x, const struct lf_slot *t, int site,
                                      size_t at)
{
    const struct lf_adapter_shape *s = &t->shape;
    return (struct lf_dora_args){.served = lf_at(t->copy, s->b_off[site], x->es),
                                 .gain = lf_at(t->copy, s->m_off[site], x->es),
                                 .norm = t->norms + at,
                                 .row_sq = t->row_sq + at,
                                 .db = t->grad + s->b_off[site],
                                 .dm = t->grad + s->m_off[site],
                                 .b = t->master + s->b_off[site],
                                 .m = t->master + s->m_off[site],
                                 .aw = x->work.aw,
                                 .aa = x->work.aa,
                                 .N = x->model->config.proj[site % x->model->config.n_proj].N,
                                 .R = s->rank[site],
                                 .scale = s->scale[site]};
}

/* A W^T, or A A^T, where w is A. */
static void product_of_a(struct lf_exec *x, const struct lf_slot *t, int site, float *y,
                         const struct lf_weight *w)
{
    struct lf_linear_args a = {.y = y,
                               .x = lf_at(t->copy, t->shape.a_off[site], x->es),
                               .w = {w},
                               .n = 1,
                               .T = t->shape.rank[site],
                               .ldy = w->N,
                               .ldx = w->K,
                               .y_f32 = true};
    x->ops->linear(x->stream, &a);
}

void lf_exec_dora(struct lf_exec *x, int slot)
{
    const struct lf_slot *t = &x->slots->slot[slot];
    size_t at = 0;
    for (int i = 0; t->shape.dora && i < t->shape.n_sites; i++) {
        int n_proj = x->model->config.n_proj;
        if (t->shape.rank[i] == 0)
            continue;
        struct lf_weight w = x->model->layers[i / n_proj].w[i % n_proj];
        struct lf_weight a = {.kind =
                                  x->stream->dev->act == LF_F32 ? LF_WEIGHT_F32 : LF_WEIGHT_BF16,
                              .N = t->shape.rank[i],
                              .K = w.K,
                              .data = lf_at(t->copy, t->shape.a_off[i], x->es)};
        struct lf_dora_args d = numbers_of(x, t, i, at);
        w.bias = NULL;
        product_of_a(x, t, i, x->work.aw, &w);
        product_of_a(x, t, i, x->work.aa, &a);
        x->ops->dora(x->stream, &d);
        at += (size_t)d.N;
    }
}

void lf_exec_dora_grads(struct lf_exec *x, int slot)
{
    const struct lf_slot *t = &x->slots->slot[slot];
    size_t at = 0;
    for (int i = 0; t->shape.dora && i < t->shape.n_sites; i++) {
        if (t->shape.rank[i] == 0)
            continue;
        struct lf_dora_args d = numbers_of(x, t, i, at);
        x->ops->dora_grads(x->stream, &d);
        at += (size_t)d.N;
    }
}
