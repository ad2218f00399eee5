/* The forward: embedding, then each block over the whole batch. Serving, evaluation and training
 * come through here; they differ only in where the activations go (struct lf_acts). */
#include "model/exec_inside.h"

#include "core/num.h"

static struct lf_norm_args norm_args(struct lf_exec *x, void *y, int ldy, const void *in,
                                     const float *w, const float *b, int T)
{
    const struct lf_config *c = &x->model->config;
    return (struct lf_norm_args){.y = y,
                                 .x = in,
                                 .w = w,
                                 .b = b,
                                 .layer_norm = c->layer_norm,
                                 .T = T,
                                 .H = 1,
                                 .C = c->C,
                                 .ldx = c->C,
                                 .ldy = ldy,
                                 .eps = c->norm_eps};
}

void lf_exec_norm(struct lf_exec *x, void *y, int ldy, const void *in, const float *w,
                  const float *b, int T)
{
    struct lf_norm_args a = norm_args(x, y, ldy, in, w, b, T);
    x->ops->norm(x->stream, &a);
}

/* heads `k` (else q) of raw into qkv; of each head, or of all of them as one row. */
static void qk_norm(struct lf_exec *x, const struct lf_pass *p, int l, const struct lf_acts *b,
                    bool k)
{
    const struct lf_config *c = &x->model->config;
    const struct lf_layer *y = &x->model->layers[l];
    size_t col = k ? (size_t)c->H * (size_t)c->D : 0;
    int heads = k ? c->Hkv : c->H;
    struct lf_norm_args a = {.y = lf_at(b->qkv, col, x->es),
                             .x = lf_at(b->raw, col, x->es),
                             .w = k ? y->k_norm : y->q_norm,
                             .T = p->batch.T,
                             .H = heads * c->D / lf_config_qk_norm_n(c, k),
                             .C = lf_config_qk_norm_n(c, k),
                             .ldx = x->qkv_n,
                             .ldy = x->qkv_n,
                             .eps = c->norm_eps};
    x->ops->norm(x->stream, &a);
}

static void attention(struct lf_exec *x, const struct lf_pass *p, int l, const struct lf_acts *b)
{
    const struct lf_config *c = &x->model->config;
    size_t k = (size_t)c->H * (size_t)c->D, v = k + (size_t)c->Hkv * (size_t)c->D;
    bool cached = p->batch.n_cached > 0;
    void *k_pages = cached ? lf_exec_kv_layer(x, l, false) : NULL;
    void *v_pages = cached ? lf_exec_kv_layer(x, l, true) : NULL;
    struct lf_attn_args a = {.o = b->o,
                             .lse = b->lse,
                             .q = b->qkv,
                             .k = lf_at(b->qkv, k, x->es),
                             .v = lf_at(b->raw, v, x->es),
                             .batch = &p->batch,
                             .H = c->H,
                             .Hkv = c->Hkv,
                             .D = c->D,
                             .k_pages = k_pages,
                             .v_pages = v_pages,
                             .ldo = c->H * c->D + x->room,
                             .ldq = x->qkv_n,
                             .ldkv = x->qkv_n,
                             .window = c->window[l],
                             .scale = c->attn_scale,
                             .softcap = c->attn_softcap};
    if (c->qk_norm) {
        qk_norm(x, p, l, b, false);
        qk_norm(x, p, l, b, true);
    }
    /* q and k stand side by side: one call turns the heads of both. */
    struct lf_rope_args r = {.x = b->qkv,
                             .pos = p->rope_pos,
                             .cos_ = x->model->rope[c->layer_rope[l]].cos_,
                             .sin_ = x->model->rope[c->layer_rope[l]].sin_,
                             .T = p->batch.T,
                             .H = c->H + c->Hkv,
                             .D = c->D,
                             .rot = c->rot,
                             .ldx = x->qkv_n};
    struct lf_kv_write_args w = {.k_pages = k_pages,
                                 .v_pages = v_pages,
                                 .k = a.k,
                                 .v = a.v,
                                 .batch = &p->batch,
                                 .Hkv = c->Hkv,
                                 .D = c->D,
                                 .ldkv = x->qkv_n};
    if (cached) {
        lf_attn_cached(x->stream, &r, &w, &a);
        return;
    }
    x->ops->rope(x->stream, &r);
    x->ops->attn(x->stream, &a);
}

/* y = x + a group's output, which goes through its own norm where the model has one. */
static void residual(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                     void *y, const void *x_before, const void *in, int ld_in, void *u,
                     void *branch, const float *post_norm)
{
    int C = x->model->config.C;
    size_t n = (size_t)p->batch.T * (size_t)C;
    bool last = g == LF_GROUP_MLP_OUT || x->model->config.parallel_block;
    if (p->again && last && !post_norm)
        return; /* backward reads u alone, which is kept */
    struct lf_group_io io = {
        .y = y, .x = in, .u = u, .ldy = C, .ldx = ld_in, .accumulate = true, .plus = x_before};
    if (!post_norm) {
        lf_exec_group(x, p, l, g, &io);
        return;
    }
    if (y != x_before)
        lf_stream_copy(x->stream, y, x_before, n * x->es);
    io.y = branch;
    io.accumulate = false;
    lf_exec_group(x, p, l, g, &io);
    lf_exec_norm(x, x->work.y, C, branch, post_norm, NULL, p->batch.T);
    struct lf_add_args a = {.y = y, .x = x->work.y, .n = n};
    x->ops->add(x->stream, &a);
}

/* Row stride of the activation's output. Where backward has no use for what is before it, both may
 * be one kernel, which writes tight rows. */
static int inner_ld(const struct lf_exec *x)
{
    return x->model->config.F + (x->plan.S_train > 0 ? x->room : 0);
}

/* A norm and where its output is; without the norm (w NULL) the maps read the residual stream. */
struct input {
    const struct lf_norm_args *norm; /* NULL: the input is there */
    const void *x;
    int ld;
};

static struct input input_of(struct lf_norm_args *norm)
{
    return norm->w ? (struct input){norm, norm->y, norm->ldy}
                   : (struct input){NULL, norm->x, norm->ldx};
}

static void mlp_inner(struct lf_exec *x, const struct lf_pass *p, int l, const struct lf_acts *b,
                      struct input in)
{
    const struct lf_config *c = &x->model->config;
    bool keep = x->plan.S_train > 0; /* backward reads h */
    struct lf_glu_args g = {.y = x->work.g,
                            .x = b->h,
                            .act = c->act,
                            .gated = c->gated,
                            .T = p->batch.T,
                            .F = c->F,
                            .ldy = inner_ld(x),
                            .ldx = x->h_n + x->room};
    struct lf_group_io io = {.y = b->h,
                             .x = in.x,
                             .u = b->u[LF_GROUP_MLP_IN],
                             .ldy = g.ldx,
                             .ldx = in.ld,
                             .norm = in.norm,
                             .glu = keep ? NULL : &g};
    lf_exec_group(x, p, l, LF_GROUP_MLP_IN, &io);
    if (keep && !(p->again && !c->norms.post_mlp)) /* see residual */
        x->ops->glu(x->stream, &g);
}

/* A part of what the block leaves for backward may wait in host memory. */
static void put_away(struct lf_exec *x, int l, enum lf_offload_part part)
{
    if (l >= x->offload.n)
        return;
    struct lf_acts b = lf_exec_training_rows(x, l, false);
    lf_exec_offload_out(x, l, part, &b);
}

/* A block up to attention's output. */
static void attention_branch(struct lf_exec *x, const struct lf_pass *p, int l,
                             const struct lf_acts *b)
{
    const struct lf_config *c = &x->model->config;
    const struct lf_layer *y = &x->model->layers[l];
    struct lf_norm_args norm =
        norm_args(x, x->work.n, c->C + x->room, b->x_in, y->attn_norm, y->attn_norm_b, p->batch.T);
    struct input in = input_of(&norm);
    if (c->parallel_block) { /* both branches read n */
        x->ops->norm(x->stream, &norm);
        in.norm = NULL;
    }
    struct lf_group_io io = {.y = b->raw,
                             .x = in.x,
                             .u = b->u[LF_GROUP_ATTN_IN],
                             .ldy = x->qkv_n,
                             .ldx = in.ld,
                             .norm = in.norm};
    lf_exec_offload_await_out(x, LF_OFFLOAD_ATTN);
    lf_exec_group(x, p, l, LF_GROUP_ATTN_IN, &io);
    attention(x, p, l, b);
    put_away(x, l, LF_OFFLOAD_ATTN);
    if (c->parallel_block)
        mlp_inner(x, p, l, b, in);
}

void lf_exec_mlp_inner(struct lf_exec *x, const struct lf_pass *p, int l, const struct lf_acts *b)
{
    const struct lf_layer *y = &x->model->layers[l];
    int C = x->model->config.C;
    struct lf_norm_args norm =
        norm_args(x, x->work.n, C + x->room, b->x_mid, y->mlp_norm, y->mlp_norm_b, p->batch.T);
    mlp_inner(x, p, l, b, input_of(&norm));
}

/* The rest of it. */
static void block_output(struct lf_exec *x, const struct lf_pass *p, int l, const struct lf_acts *b)
{
    const struct lf_config *c = &x->model->config;
    const struct lf_layer *y = &x->model->layers[l];
    lf_exec_offload_await_out(x, LF_OFFLOAD_MID);
    residual(x, p, l, LF_GROUP_ATTN_OUT, b->x_mid, b->x_in, b->o, c->H * c->D + x->room,
             b->u[LF_GROUP_ATTN_OUT], b->attn_y, y->post_attn_norm);
    put_away(x, l, LF_OFFLOAD_MID);
    if (!c->parallel_block)
        lf_exec_mlp_inner(x, p, l, b);
    residual(x, p, l, LF_GROUP_MLP_OUT, b->x_out, b->x_mid, x->work.g, inner_ld(x),
             b->u[LF_GROUP_MLP_OUT], b->mlp_y, y->post_mlp_norm);
}

void lf_exec_block(struct lf_exec *x, const struct lf_pass *p, int l, const struct lf_acts *b)
{
    attention_branch(x, p, l, b);
    block_output(x, p, l, b);
}

/* The last block where the sequences' last rows are all that is asked for: after attention they
 * stand where q, k, v were, and before the MLP attention's output for them where its inner goes. */
static void last_block_ends(struct lf_exec *x, int l, const struct lf_acts *b)
{
    const struct lf_config *c = &x->model->config;
    struct lf_acts e = *b;
    int o = c->H * c->D + x->room;
    attention_branch(x, &x->all, l, b);
    e.x_in = e.x_mid = e.x_out = b->raw;
    e.o = b->h;
    struct lf_rows_args rows = {.y = e.x_in,
                                .x = b->x_in,
                                .rows = x->rows_ends,
                                .M = x->plan.S,
                                .T = x->plan.T,
                                .C = c->C,
                                .ldy = c->C};
    x->ops->gather(x->stream, &rows);
    rows.y = e.o;
    rows.x = b->o;
    rows.C = rows.ldy = o;
    x->ops->gather(x->stream, &rows);
    block_output(x, &x->ends, l, &e);
    x->x_last = e.x_out;
}

static void embed(struct lf_exec *x, const struct lf_acts *acts)
{
    const struct lf_config *c = &x->model->config;
    struct lf_embed_args e = {.y = acts[0].x_in,
                              .ids = x->all.batch.ids,
                              .drawn = x->work.ids,
                              .e = &x->model->embed,
                              .batch = x->plan.noisy ? &x->all.batch : NULL,
                              .T = x->all.batch.T,
                              .C = c->C,
                              .scale = c->embed_scale};
    x->ops->embed(x->stream, &e);
}

void lf_exec_forward(struct lf_exec *x, int first, int end)
{
    const struct lf_config *c = &x->model->config;
    const struct lf_acts *acts = x->plan.S_train > 0 ? x->saved : &x->serve;
    int step = x->plan.S_train > 0 ? 1 : 0; /* each layer its own, or all the same */
    int whole = lf_min_int(end, c->L - x->plan.ends);
    if (first == 0)
        embed(x, acts);
    for (int l = first; l < whole; l++)
        lf_exec_block(x, &x->all, l, &acts[l * step]);
    if (end < c->L)
        return;
    x->x_last = acts[(c->L - 1) * step].x_out;
    if (x->plan.ends)
        last_block_ends(x, c->L - 1, acts);
}
