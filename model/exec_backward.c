/* The backward through the blocks, over the training rows alone. Base weights are frozen: what is
 * wanted is the adapters' gradients, and the residual stream's on the way down. What norms and the
 * activation put out is not kept: their backward makes it again, in place of its gradient. */
#include "model/exec_inside.h"

/* dx (+)= the gradient through a norm of the residual stream, or of a branch, over rows with room.
 * y: where the norm's output goes again; it may be dy. */
static void norm_bwd(struct lf_exec *x, void *dx, const void *dy, const void *in, void *y,
                     const float *w, const float *b, bool accumulate)
{
    const struct lf_config *c = &x->model->config;
    struct lf_norm_bwd_args a = {.dx = dx,
                                 .dy = dy,
                                 .x = in,
                                 .y = y,
                                 .w = w,
                                 .b = b,
                                 .layer_norm = c->layer_norm,
                                 .accumulate = accumulate,
                                 .T = x->train.batch.T,
                                 .H = 1,
                                 .C = c->C,
                                 .ldx = c->C,
                                 .ldy = c->C + x->room,
                                 .lddx = c->C + x->room,
                                 .eps = c->norm_eps};
    x->ops->norm_bwd(x->stream, &a);
}

/* The gradient of a branch's output before its norm, if it has one. */
static const void *through_post_norm(struct lf_exec *x, const void *branch, const float *w)
{
    if (!w)
        return x->work.dx;
    norm_bwd(x, x->work.dy, x->work.dx, branch, NULL, w, NULL, false);
    return x->work.dy;
}

/* d of the branch's output is work.dx; leaves d of the activation's output in work.g. The answer is
 * d of the map's output. */
static const void *mlp_out_map_bwd(struct lf_exec *x, int l, const struct lf_acts *b)
{
    const void *dy = through_post_norm(x, b->mlp_y, x->model->layers[l].post_mlp_norm);
    lf_exec_group_bwd(x, &x->train, l, LF_GROUP_MLP_OUT, x->work.g, dy, NULL, 0,
                      b->u[LF_GROUP_MLP_OUT], false);
    return dy;
}

/* The rest: leaves d of the MLP's inner in b->h. dy: what mlp_out_map_bwd answered. */
static void mlp_act_bwd(struct lf_exec *x, int l, const struct lf_acts *b, const void *dy)
{
    const struct lf_config *c = &x->model->config;
    void *dg = x->work.g; /* then the activation's output again */
    struct lf_glu_bwd_args g = {.dx = b->h,
                                .dy = dg,
                                .x = b->h,
                                .y = lf_exec_group_has_lora(x, LF_GROUP_MLP_OUT) ? dg : NULL,
                                .act = c->act,
                                .gated = c->gated,
                                .T = x->train.batch.T,
                                .F = c->F,
                                .ldy = c->F + x->room,
                                .ldx = x->h_n + x->room};
    x->ops->glu_bwd(x->stream, &g);
    lf_exec_group_grads(x, &x->train, l, LF_GROUP_MLP_OUT, dy, dg, c->F + x->room,
                        b->u[LF_GROUP_MLP_OUT]);
}

/* Back through the rotation and the norms of q and k, in place in dqkv. */
static void qk_bwd(struct lf_exec *x, int l, const struct lf_acts *b)
{
    const struct lf_config *c = &x->model->config;
    const struct lf_layer *y = &x->model->layers[l];
    struct lf_work *w = &x->work;
    int T = x->train.batch.T;
    struct lf_rope_args r = {.x = w->dqkv,
                             .pos = x->train.rope_pos,
                             .cos_ = x->model->rope[c->layer_rope[l]].cos_,
                             .sin_ = x->model->rope[c->layer_rope[l]].sin_,
                             .T = T,
                             .H = c->H + c->Hkv,
                             .D = c->D,
                             .rot = c->rot,
                             .ldx = x->qkv_n + x->room,
                             .inverse = true};
    x->ops->rope(x->stream, &r);
    for (int k = 0; k < 2 && c->qk_norm; k++) {
        size_t col = k ? (size_t)c->H * (size_t)c->D : 0;
        int heads = k ? c->Hkv : c->H;
        void *d = lf_at(w->dqkv, col, x->es);
        struct lf_norm_bwd_args a = {.dx = d,
                                     .dy = d,
                                     .x = lf_at(b->raw, col, x->es),
                                     .w = k ? y->k_norm : y->q_norm,
                                     .T = T,
                                     .H = heads * c->D / lf_config_qk_norm_n(c, k),
                                     .C = lf_config_qk_norm_n(c, k),
                                     .ldx = x->qkv_n,
                                     .ldy = x->qkv_n + x->room,
                                     .lddx = x->qkv_n + x->room,
                                     .eps = c->norm_eps};
        x->ops->norm_bwd(x->stream, &a);
    }
}

static void attention_bwd(struct lf_exec *x, int l, const struct lf_acts *b)
{
    const struct lf_config *c = &x->model->config;
    struct lf_work *w = &x->work;
    size_t k = (size_t)c->H * (size_t)c->D, v = k + (size_t)c->Hkv * (size_t)c->D;
    const void *dy = through_post_norm(x, b->attn_y, x->model->layers[l].post_attn_norm);
    lf_exec_group_bwd(x, &x->train, l, LF_GROUP_ATTN_OUT, w->d_o, dy, b->o, c->H * c->D + x->room,
                      b->u[LF_GROUP_ATTN_OUT], false);
    struct lf_attn_bwd_args a = {.dq = w->dqkv,
                                 .dk = lf_at(w->dqkv, k, x->es),
                                 .dv = lf_at(w->dqkv, v, x->es),
                                 .delta = w->delta,
                                 .d_o = w->d_o,
                                 .o = b->o,
                                 .q = b->qkv,
                                 .k = lf_at(b->qkv, k, x->es),
                                 .v = lf_at(b->raw, v, x->es),
                                 .lse = b->lse,
                                 .batch = &x->train.batch,
                                 .H = c->H,
                                 .Hkv = c->Hkv,
                                 .D = c->D,
                                 .ldo = c->H * c->D + x->room,
                                 .ldq = x->qkv_n,
                                 .ldkv = x->qkv_n,
                                 .lddq = x->qkv_n + x->room,
                                 .lddkv = x->qkv_n + x->room,
                                 .window = c->window[l],
                                 .scale = c->attn_scale,
                                 .softcap = c->attn_softcap};
    x->ops->attn_bwd(x->stream, &a);
    qk_bwd(x, l, b);
}

/* Through the maps that read the residual stream, and the norm between (w NULL: there is none):
 * dx += in's gradient. */
static void in_maps_bwd(struct lf_exec *x, int l, enum lf_group_kind g, const void *dy,
                        const void *in, const void *u, const float *w, const float *b)
{
    int C = x->model->config.C;
    void *dn = x->work.dn, *n = lf_exec_group_has_lora(x, g) ? dn : NULL;
    if (!w) {
        lf_exec_group_bwd(x, &x->train, l, g, x->work.dx, dy, in, C, u, true);
        return;
    }
    lf_exec_group_bwd(x, &x->train, l, g, dn, dy, NULL, 0, u, false);
    norm_bwd(x, x->work.dx, dn, in, n, w, b, true);
    lf_exec_group_grads(x, &x->train, l, g, dy, n, C + x->room, u);
}

/* Both branches read one normed input, of which dx NULL wants no gradient. */
static void parallel_bwd(struct lf_exec *x, int l, const struct lf_acts *b, const void *dy,
                         void *dn)
{
    const struct lf_layer *y = &x->model->layers[l];
    struct lf_work *w = &x->work;
    int ld = x->model->config.C + x->room;
    lf_exec_norm(x, w->n, ld, b->x_in, y->attn_norm, y->attn_norm_b, x->train.batch.T);
    mlp_act_bwd(x, l, b, dy);
    lf_exec_group_bwd(x, &x->train, l, LF_GROUP_MLP_IN, dn, b->h, w->n, ld, b->u[LF_GROUP_MLP_IN],
                      false);
    attention_bwd(x, l, b);
    lf_exec_group_bwd(x, &x->train, l, LF_GROUP_ATTN_IN, dn, w->dqkv, w->n, ld,
                      b->u[LF_GROUP_ATTN_IN], true);
    if (dn)
        norm_bwd(x, w->dx, dn, b->x_in, NULL, y->attn_norm, NULL, true);
}

/* What forward put away. There may be no block l. */
static void bring_back(struct lf_exec *x, int l, enum lf_offload_part part)
{
    if (l < 0 || l >= x->offload.n)
        return;
    struct lf_acts b = lf_exec_training_rows(x, l, true);
    lf_exec_offload_in(x, l, part, &b);
}

/* What follows in_maps_bwd of the MLP: its norm's input comes back for two blocks below, whose
 * buffer this one's is. */
static void attention_half_bwd(struct lf_exec *x, int l, const struct lf_acts *b)
{
    if (l <= x->offload.n)
        bring_back(x, l - 2, LF_OFFLOAD_MID);
    lf_exec_offload_await_in(x, l, LF_OFFLOAD_ATTN);
    attention_bwd(x, l, b);
    if (l <= x->offload.n)
        bring_back(x, l - 1, LF_OFFLOAD_ATTN);
}

/* What follows mlp_out_map_bwd, whose answer dy is. lowest: nothing below has an adapter, so the
 * block's own input needs no gradient. */
static void block_bwd(struct lf_exec *x, int l, const struct lf_acts *b, const void *dy,
                      bool lowest)
{
    const struct lf_config *c = &x->model->config;
    const struct lf_layer *y = &x->model->layers[l];
    struct lf_work *w = &x->work;
    if (c->parallel_block) {
        parallel_bwd(x, l, b, dy, lowest ? NULL : w->dn);
        return;
    }
    mlp_act_bwd(x, l, b, dy);
    in_maps_bwd(x, l, LF_GROUP_MLP_IN, b->h, b->x_mid, b->u[LF_GROUP_MLP_IN], y->mlp_norm,
                y->mlp_norm_b);
    attention_half_bwd(x, l, b);
    if (!lowest) {
        in_maps_bwd(x, l, LF_GROUP_ATTN_IN, w->dqkv, b->x_in, b->u[LF_GROUP_ATTN_IN], y->attn_norm,
                    y->attn_norm_b);
        return;
    }
    const void *n = b->x_in;
    int ld = c->C;
    if (y->attn_norm) {
        n = w->n;
        ld += x->room;
        lf_exec_norm(x, w->n, ld, b->x_in, y->attn_norm, y->attn_norm_b, x->train.batch.T);
    }
    lf_exec_group_bwd(x, &x->train, l, LF_GROUP_ATTN_IN, NULL, w->dqkv, n, ld,
                      b->u[LF_GROUP_ATTN_IN], false);
}

/* What backward reads of a block, made again. */
static void block_again(struct lf_exec *x, int l, const struct lf_acts *b)
{
    if (l >= x->offload.n) {
        lf_exec_block(x, &x->train, l, b);
        return;
    }
    lf_exec_offload_await_in(x, l, LF_OFFLOAD_MID);
    lf_exec_mlp_inner(x, &x->train, l, b);
}

void lf_exec_backward(struct lf_exec *x)
{
    bring_back(x, x->offload.n - 1, LF_OFFLOAD_MID);
    for (int l = x->model->config.L - 1; l >= x->layer_first; l--) {
        bool again = l < x->n_again - 1; /* the last of them has left its activations there */
        struct lf_acts b = lf_exec_training_rows(x, l, again);
        /* The last map's backward needs nothing of a block that is run again, unless a norm follows
         * that map; before the block, the maps that come last in it are the first whose weights
         * backward needs next, and lie unpacked. */
        bool early = again && !x->model->config.norms.post_mlp;
        const void *dy = early ? mlp_out_map_bwd(x, l, &b) : NULL;
        if (again)
            block_again(x, l, &b);
        if (!early)
            dy = mlp_out_map_bwd(x, l, &b);
        block_bwd(x, l, &b, dy, l == x->layer_first);
    }
}
