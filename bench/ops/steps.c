/* Whole steps: the operations of all layers in the order in which a model runs them, recorded as
 * one graph where the device can. Decoding with and without adapters; training forward and
 * backward. */
#include "bench/ops/bench_ops.h"

#include <stdio.h>
#include <stdlib.h>

/* Activations; decoding uses one set for all layers, so does this training (its values do not
 * matter to its time). */
struct step_arg {
    struct lf_ragged *batch;
    bool lora, trains;
    unsigned mask; /* projections with adapters */
    void *x, *n, *qkv, *o, *h, *g, *u, *du, *dx, *dn, *dh, *dqkv, *d_o;
    void *k_pages, *v_pages, *dlogits;
    size_t layer_pages;
    float *lse, *delta, *logits, *loss, *weight;
    int32_t *ids, *labels, *rows;
    struct lf_sample_params *params, *h_params;
};

static struct lf_norm_args norm_args(const struct bench *b, const struct step_arg *a, void *y,
                                     const void *x)
{
    return (struct lf_norm_args){.y = y,
                                 .x = x,
                                 .w = b->norm_w,
                                 .T = a->batch->T,
                                 .H = 1,
                                 .C = C,
                                 .ldx = C,
                                 .ldy = C,
                                 .eps = 1e-5f};
}

static void norm(struct bench *b, struct step_arg *a, void *y, const void *x)
{
    struct lf_norm_args n = norm_args(b, a, y, x);
    b->ops->norm(b->s, &n);
}

static bool has_lora(const struct step_arg *a, int group)
{
    const struct bench_group *g = &bench_groups[group];
    return a->lora && (a->mask >> g->first & ((1u << g->n) - 1)) != 0;
}

/* A map as the model calls it; n: before it, g: behind it, or NULL. */
static void linear(struct bench *b, struct step_arg *a, int layer, int group, void *y,
                   const void *x, bool accumulate, const struct lf_norm_args *n,
                   const struct lf_glu_args *g)
{
    struct lf_linear_args l = linear_args(b, layer, group, a->batch->T, y, x, accumulate);
    struct lf_lora_args r = lora_args(b, layer, group, a->batch, y, a->u, x);
    lf_map(b->s, &(struct lf_map_args){
                     .norm = n, .linear = &l, .lora = has_lora(a, group) ? &r : NULL, .glu = g});
}

static struct lf_rope_args rope_args(const struct bench *b, const struct step_arg *a, void *qkv,
                                     bool inverse)
{
    return (struct lf_rope_args){.x = qkv,
                                 .pos = a->batch->pos,
                                 .cos_ = b->cos_,
                                 .sin_ = b->sin_,
                                 .T = a->batch->T,
                                 .H = H + HKV,
                                 .D = D,
                                 .rot = D,
                                 .ldx = QKV,
                                 .inverse = inverse};
}

static void attention(struct bench *b, struct step_arg *a, int layer)
{
    size_t at = (size_t)layer * a->layer_pages * b->es;
    char *k = (char *)a->qkv + (size_t)H * D * b->es, *v = k + (size_t)HKV * D * b->es;
    struct lf_attn_args t = {.o = a->o,
                             .lse = a->trains ? a->lse : NULL,
                             .q = a->qkv,
                             .k = k,
                             .v = v,
                             .k_pages = (char *)a->k_pages + at,
                             .v_pages = (char *)a->v_pages + at,
                             .batch = a->batch,
                             .H = H,
                             .Hkv = HKV,
                             .D = D,
                             .ldo = H * D,
                             .ldq = QKV,
                             .ldkv = QKV,
                             .scale = 0.08838835f};
    struct lf_kv_write_args w = {.k_pages = (char *)a->k_pages + at,
                                 .v_pages = (char *)a->v_pages + at,
                                 .k = k,
                                 .v = v,
                                 .batch = a->batch,
                                 .Hkv = HKV,
                                 .D = D,
                                 .ldkv = QKV};
    struct lf_rope_args r = rope_args(b, a, a->qkv, false);
    if (a->batch->n_cached) {
        lf_attn_cached(b->s, &r, &w, &t);
        return;
    }
    b->ops->rope(b->s, &r);
    b->ops->attn(b->s, &t);
}

static void block(struct bench *b, struct step_arg *a, int layer)
{
    struct lf_glu_args g = {.y = a->g,
                            .x = a->h,
                            .act = LF_ACT_SILU,
                            .gated = true,
                            .T = a->batch->T,
                            .F = F,
                            .ldy = F,
                            .ldx = 2 * F};
    struct lf_norm_args n = norm_args(b, a, a->n, a->x);
    linear(b, a, layer, GROUP_QKV, a->qkv, a->n, false, &n, NULL);
    attention(b, a, layer);
    linear(b, a, layer, GROUP_O, a->x, a->o, true, NULL, NULL);
    linear(b, a, layer, GROUP_GATE_UP, a->h, a->n, false, &n, a->trains ? NULL : &g);
    if (a->trains) /* backward needs both */
        b->ops->glu(b->s, &g);
    linear(b, a, layer, GROUP_DOWN, a->x, a->g, true, NULL, NULL);
}

static void head(struct bench *b, struct step_arg *a)
{
    struct lf_linear_args l = {.y = a->logits,
                               .x = a->n,
                               .n = 1,
                               .T = a->batch->T,
                               .ldy = V,
                               .ldx = C,
                               .y_f32 = true,
                               .w = {&b->head}};
    norm(b, a, a->n, a->x);
    b->ops->linear(b->s, &l);
}

static void embed(struct bench *b, struct step_arg *a)
{
    struct lf_embed_args e = {
        .y = a->x, .ids = a->ids, .e = &b->head, .T = a->batch->T, .C = C, .scale = 1};
    b->ops->embed(b->s, &e);
}

static void launch_decode(struct bench *b, void *arg, int i)
{
    struct step_arg *a = arg;
    struct lf_sample_args p = {.ids = a->ids,
                               .logprob = a->loss,
                               .logits = a->logits,
                               .params = a->params,
                               .h_params = a->h_params,
                               .M = a->batch->T,
                               .V = V};
    (void)i;
    embed(b, a);
    for (int l = 0; l < LAYERS; l++)
        block(b, a, l);
    head(b, a);
    b->ops->sample(b->s, &p);
}

/* ---- Backward ---- */

static void linear_bwd(struct bench *b, struct step_arg *a, int layer, int group, void *dx,
                       const void *dy, const void *x)
{
    struct lf_linear_bwd_args l = linear_bwd_args(b, layer, group, a->batch->T, dx, dy);
    b->ops->linear_bwd(b->s, &l);
    if (has_lora(a, group)) {
        struct lf_lora_bwd_args r =
            lora_bwd_args(b, layer, group, a->batch, dx, a->du, dy, a->u, x);
        b->ops->lora_bwd(b->s, &r);
    }
}

static void norm_bwd(struct bench *b, struct step_arg *a)
{
    struct lf_norm_bwd_args n = {.dx = a->dx,
                                 .dy = a->dn,
                                 .x = a->x,
                                 .w = b->norm_w,
                                 .accumulate = true,
                                 .T = a->batch->T,
                                 .H = 1,
                                 .C = C,
                                 .ldx = C,
                                 .ldy = C,
                                 .lddx = C,
                                 .eps = 1e-5f};
    b->ops->norm_bwd(b->s, &n);
}

static void attention_bwd(struct bench *b, struct step_arg *a)
{
    size_t k = (size_t)H * D * b->es, v = k + (size_t)HKV * D * b->es;
    struct lf_attn_bwd_args t = {.dq = a->dqkv,
                                 .dk = (char *)a->dqkv + k,
                                 .dv = (char *)a->dqkv + v,
                                 .delta = a->delta,
                                 .d_o = a->d_o,
                                 .o = a->o,
                                 .q = a->qkv,
                                 .k = (char *)a->qkv + k,
                                 .v = (char *)a->qkv + v,
                                 .lse = a->lse,
                                 .batch = a->batch,
                                 .H = H,
                                 .Hkv = HKV,
                                 .D = D,
                                 .ldo = H * D,
                                 .ldq = QKV,
                                 .ldkv = QKV,
                                 .lddq = QKV,
                                 .lddkv = QKV,
                                 .scale = 0.08838835f};
    b->ops->attn_bwd(b->s, &t);
    struct lf_rope_args r = rope_args(b, a, a->dqkv, true);
    b->ops->rope(b->s, &r);
}

static void block_bwd(struct bench *b, struct step_arg *a, int layer)
{
    struct lf_glu_args g = {.y = a->g,
                            .x = a->h,
                            .act = LF_ACT_SILU,
                            .gated = true,
                            .T = a->batch->T,
                            .F = F,
                            .ldy = F,
                            .ldx = 2 * F};
    struct lf_glu_bwd_args d = {.dx = a->dh,
                                .dy = a->g,
                                .x = a->h,
                                .act = LF_ACT_SILU,
                                .gated = true,
                                .T = a->batch->T,
                                .F = F,
                                .ldy = F,
                                .ldx = 2 * F};
    if (has_lora(a, GROUP_DOWN))
        b->ops->glu(b->s, &g);
    linear_bwd(b, a, layer, GROUP_DOWN, a->g, a->dx, a->g);
    b->ops->glu_bwd(b->s, &d);
    norm(b, a, a->n, a->x);
    linear_bwd(b, a, layer, GROUP_GATE_UP, a->dn, a->dh, a->n);
    norm_bwd(b, a);
    linear_bwd(b, a, layer, GROUP_O, a->d_o, a->dx, a->o);
    attention_bwd(b, a);
    norm(b, a, a->n, a->x);
    linear_bwd(b, a, layer, GROUP_QKV, a->dn, a->dqkv, a->n);
    norm_bwd(b, a);
}

static void launch_train(struct bench *b, void *arg, int i)
{
    struct step_arg *a = arg;
    struct lf_cross_entropy_args e = {.loss = a->loss,
                                      .dlogits = a->dlogits,
                                      .logits = a->logits,
                                      .labels = a->labels,
                                      .weight = a->weight,
                                      .M = a->batch->T,
                                      .V = V};
    struct lf_linear_bwd_args l = {.dx = a->dn,
                                   .dy = a->dlogits,
                                   .w = {&b->head},
                                   .n = 1,
                                   .T = a->batch->T,
                                   .lddx = C,
                                   .lddy = V};
    (void)i;
    embed(b, a);
    for (int k = 0; k < LAYERS; k++)
        block(b, a, k);
    head(b, a);
    b->ops->cross_entropy(b->s, &e);
    b->ops->linear_bwd(b->s, &l);
    norm_bwd(b, a);
    for (int k = LAYERS - 1; k >= 0; k--)
        block_bwd(b, a, k);
}

/* ---- Memory ---- */

static void make_step(struct bench *b, struct step_arg *a, int S, int n, int past, int R)
{
    a->batch = make_batch(b, S, n, past, !a->trains, a->trains, 0, a->lora ? R : 0);
    size_t T = (size_t)a->batch->T, pages = (size_t)(S * ((past + n + 15) / 16));
    int32_t *labels = calloc(T, sizeof *labels);
    for (size_t t = 0; labels && t < T; t++)
        labels[t] = (int32_t)(t * 31 % V);
    a->x = acts(b, T * C);
    a->n = acts(b, T * C);
    a->qkv = acts(b, T * QKV);
    a->o = acts(b, T * H * D);
    a->h = acts(b, T * 2 * F);
    a->g = acts(b, T * F);
    a->u = acts(b, T * (size_t)(3 * R));
    a->logits = floats(b, T * V, 0, 20);
    a->loss = floats(b, T, 0, 1);
    a->ids = upload(b, labels, T * sizeof *labels);
    if (a->trains) {
        a->du = acts(b, T * (size_t)(3 * R));
        a->dx = acts(b, T * C);
        a->dn = acts(b, T * C);
        a->dh = acts(b, T * 2 * F);
        a->dqkv = acts(b, T * QKV);
        a->d_o = acts(b, T * H * D);
        a->dlogits = acts(b, T * V);
        a->lse = floats(b, T * H, 8, 1);
        a->delta = floats(b, T * H, 0, 1);
        a->weight = floats(b, T, 1, 0.1);
        a->labels = upload(b, labels, T * sizeof *labels);
    } else {
        a->layer_pages = pages * HKV * LF_KV_PAGE_TOKENS * D;
        a->k_pages = acts(b, LAYERS * a->layer_pages);
        a->v_pages = acts(b, LAYERS * a->layer_pages);
        a->h_params = calloc(T, sizeof *a->h_params);
        for (size_t t = 0; t < T; t++)
            a->h_params[t].top_p = a->h_params[t].repetition_penalty = 1;
        a->params = upload(b, a->h_params, T * sizeof *a->h_params);
    }
    free(labels);
}

static void free_step(struct bench *b, struct step_arg *a)
{
    void *const all[] = {a->x,      a->n,       a->qkv,     a->o,       a->h,      a->g,
                         a->u,      a->du,      a->dx,      a->dn,      a->dh,     a->dqkv,
                         a->d_o,    a->k_pages, a->v_pages, a->dlogits, a->lse,    a->delta,
                         a->logits, a->loss,    a->weight,  a->ids,     a->labels, a->params};
    drop(b, all, sizeof all / sizeof *all);
    free(a->h_params);
    free_batch(b, a->batch);
}

/* ---- Cases ---- */

static double layer_weights(void)
{
    double n = 0;
    for (int p = 0; p < PROJ; p++)
        n += (double)proj_n[p] * proj_k[p];
    return n;
}

static double adapter_weights(int R, unsigned mask)
{
    double n = 0;
    for (int p = 0; p < PROJ; p++)
        n += mask >> p & 1 ? (double)R * (proj_n[p] + proj_k[p]) * LAYERS : 0;
    return n;
}

static void decode_at(struct bench *b, int S, int past, int R, unsigned mask, const char *what)
{
    struct step_arg a = {.lora = R > 0, .mask = mask};
    char name[64];
    make_step(b, &a, S, 1, past, R > 0 ? R : 1);
    double bytes = q4_bytes(layer_weights() * LAYERS) + 2.0 * V * C +
                   4.0 * S * LAYERS * past * HKV * D + 2 * S * adapter_weights(R, mask);
    double flops = 2.0 * S * (layer_weights() * LAYERS + (double)V * C);
    snprintf(name, sizeof name, "step decode %d, %d cached%s", S, past, what);
    double s = report(b, name, time_of(b, launch_decode, &a, 4), bytes, flops);
    printf("  %.0f tokens/s\n", S / s);
    free_step(b, &a);
}

void bench_decode(struct bench *b)
{
    static const int seqs[] = {1, 8, 32, 64};
    if (!wanted(b, "step decode"))
        return;
    for (int i = 0; i < 4; i++)
        decode_at(b, seqs[i], 256, 0, 0, "");
    make_adapters(b, 8, QV_PROJ);
    for (int i = 0; i < 4; i++)
        decode_at(b, seqs[i], 256, 8, QV_PROJ, ", r8 on q v");
    make_adapters(b, 16, ALL_PROJ);
    for (int i = 0; i < 4; i++)
        decode_at(b, seqs[i], 256, 16, ALL_PROJ, ", r16 on all");
}

static void train_at(struct bench *b, int S, int n, int R, unsigned mask, const char *what)
{
    struct step_arg a = {.lora = true, .trains = true, .mask = mask};
    char name[64];
    make_step(b, &a, S, n, 0, R);
    double T = (double)S * n, weights = layer_weights() * LAYERS + (double)V * C;
    snprintf(name, sizeof name, "step train %dx%d, %s", S, n, what);
    double s = report(b, name, time_of(b, launch_train, &a, 1), 2 * q4_bytes(weights),
                      4 * T * weights + 14.0 * T * n / 2 * H * D * LAYERS);
    printf("  %.0f tokens/s\n", T / s);
    free_step(b, &a);
}

void bench_train(struct bench *b)
{
    if (!wanted(b, "step train"))
        return;
    make_adapters(b, 8, QV_PROJ);
    train_at(b, 8, 512, 8, QV_PROJ, "r8 on q v");
    train_at(b, 1, 256, 8, QV_PROJ, "r8 on q v");
    make_adapters(b, 16, ALL_PROJ);
    train_at(b, 8, 512, 16, ALL_PROJ, "r16 on all");
}
