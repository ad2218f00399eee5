/* Whole steps: the operations of all layers in the order in which a model runs them, recorded as
 * one graph where the device can. Decoding with and without adapters; training forward and
 * backward. */
#include "bench/ops/bench_ops.h"

#include <stdio.h>

static bool has_lora(const struct bench_step *a, int group)
{
    const struct bench_group *g = &bench_groups[group];
    return a->lora && (a->mask >> g->first & ((1u << g->n) - 1)) != 0;
}

/* A map as the model calls it; n: before it, g: behind it, or NULL. */
static void linear(struct bench *b, struct bench_step *a, int layer, int group, void *y,
                   const void *x, bool accumulate, const struct lf_norm_args *n,
                   const struct lf_glu_args *g)
{
    struct lf_linear_args l = linear_args(b, layer, group, a->batch->T, y, x, accumulate);
    struct lf_lora_args r = lora_args(b, layer, group, a->batch, y, a->u, x);
    lf_map(b->s, &(struct lf_map_args){
                     .norm = n, .linear = &l, .lora = has_lora(a, group) ? &r : NULL, .glu = g});
}

static void norm(struct bench *b, struct bench_step *a)
{
    b->ops->norm(b->s, (struct lf_norm_args[]){norm_args(b, a)});
}

static void attention(struct bench *b, struct bench_step *a, int layer)
{
    struct lf_attn_args t = attn_args(b, a, layer);
    struct lf_kv_write_args w = {.k_pages = (void *)t.k_pages,
                                 .v_pages = (void *)t.v_pages,
                                 .k = t.k,
                                 .v = t.v,
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

static void block(struct bench *b, struct bench_step *a, int layer)
{
    struct lf_glu_args g = glu_args(a);
    struct lf_norm_args n = norm_args(b, a);
    bool trains = a->lse != NULL; /* backward needs both sides of the activation */
    linear(b, a, layer, GROUP_QKV, a->qkv, a->n, false, &n, NULL);
    attention(b, a, layer);
    linear(b, a, layer, GROUP_O, a->x, a->o, true, NULL, NULL);
    linear(b, a, layer, GROUP_GATE_UP, a->h, a->n, false, &n, trains ? NULL : &g);
    if (trains)
        b->ops->glu(b->s, &g);
    linear(b, a, layer, GROUP_DOWN, a->x, a->g, true, NULL, NULL);
}

static void head(struct bench *b, struct bench_step *a)
{
    norm(b, a);
    b->ops->linear(b->s, (struct lf_linear_args[]){head_args(b, a->batch->T, a->logits, a->n)});
}

static void embed(struct bench *b, struct bench_step *a)
{
    struct lf_embed_args e = {
        .y = a->x, .ids = a->ids, .e = &b->head, .T = a->batch->T, .C = C, .scale = 1};
    b->ops->embed(b->s, &e);
}

static void launch_decode(struct bench *b, void *arg)
{
    struct bench_step *a = arg;
    embed(b, a);
    for (int l = 0; l < LAYERS; l++)
        block(b, a, l);
    head(b, a);
    b->ops->sample(b->s, (struct lf_sample_args[]){sample_args(a)});
}

/* ---- Backward ---- */

static void linear_bwd(struct bench *b, struct bench_step *a, int layer, int group, void *dx,
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

static void norm_bwd(struct bench *b, struct bench_step *a)
{
    b->ops->norm_bwd(b->s, (struct lf_norm_bwd_args[]){norm_bwd_args(b, a)});
}

static void block_bwd(struct bench *b, struct bench_step *a, int layer)
{
    if (has_lora(a, GROUP_DOWN))
        b->ops->glu(b->s, (struct lf_glu_args[]){glu_args(a)});
    linear_bwd(b, a, layer, GROUP_DOWN, a->g, a->dx, a->g);
    b->ops->glu_bwd(b->s, (struct lf_glu_bwd_args[]){glu_bwd_args(a)});
    norm(b, a);
    linear_bwd(b, a, layer, GROUP_GATE_UP, a->dn, a->dh, a->n);
    norm_bwd(b, a);
    linear_bwd(b, a, layer, GROUP_O, a->d_o, a->dx, a->o);
    b->ops->attn_bwd(b->s, (struct lf_attn_bwd_args[]){attn_bwd_args(b, a)});
    b->ops->rope(b->s, (struct lf_rope_args[]){rope_args(b, a, a->dqkv, true)});
    norm(b, a);
    linear_bwd(b, a, layer, GROUP_QKV, a->dn, a->dqkv, a->n);
    norm_bwd(b, a);
}

static void launch_train(struct bench *b, void *arg)
{
    struct bench_step *a = arg;
    struct lf_linear_bwd_args l = {.dx = a->dn,
                                   .dy = a->dlogits,
                                   .w = {&b->head},
                                   .n = 1,
                                   .T = a->batch->T,
                                   .lddx = C,
                                   .lddy = V};
    embed(b, a);
    for (int k = 0; k < LAYERS; k++)
        block(b, a, k);
    head(b, a);
    b->ops->cross_entropy(b->s, (struct lf_cross_entropy_args[]){cross_entropy_args(a)});
    b->ops->linear_bwd(b->s, &l);
    norm_bwd(b, a);
    for (int k = LAYERS - 1; k >= 0; k--)
        block_bwd(b, a, k);
}

/* ---- Memory ---- */

void make_attention(struct bench *b, struct bench_step *a, int layers, bool backward)
{
    const struct lf_ragged *r = a->batch;
    size_t T = (size_t)r->T;
    a->qkv = acts(b, T * QKV);
    a->o = acts(b, T * H * D);
    if (r->n_cached) {
        a->layers = layers;
        a->layer_pages =
            (size_t)(r->S * ((r->kv_max + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS)) * HKV *
            LF_KV_PAGE_TOKENS * D;
        a->k_pages = acts(b, (size_t)layers * a->layer_pages);
        a->v_pages = acts(b, (size_t)layers * a->layer_pages);
    }
    if (backward) {
        a->d_o = acts(b, T * H * D);
        a->dqkv = acts(b, T * QKV);
        a->lse = floats(b, T * H, 8, 1);
        a->delta = floats(b, T * H, 0, 1);
    }
}

void make_step(struct bench *b, struct bench_step *a, int R, bool backward)
{
    size_t T = (size_t)a->batch->T;
    int32_t *labels = host(b, T, sizeof *labels);
    for (size_t t = 0; t < T; t++)
        labels[t] = (int32_t)(t * 31 % V);
    make_attention(b, a, LAYERS, backward);
    a->x = acts(b, T * C);
    a->n = acts(b, T * C);
    a->h = acts(b, T * 2 * F);
    a->g = acts(b, T * F);
    a->u = acts(b, T * (size_t)(3 * R));
    a->logits = floats(b, T * V, 0, 20);
    a->loss = floats(b, T, 0, 1);
    a->ids = upload(b, labels, T * sizeof *labels);
    a->top_ids = get(b, T * LF_TOP_LOGPROBS_MAX * sizeof *a->top_ids);
    a->top_logprob = get(b, T * LF_TOP_LOGPROBS_MAX * sizeof *a->top_logprob);
    a->h_params = host(b, T, sizeof *a->h_params);
    for (size_t t = 0; t < T; t++)
        a->h_params[t].top_p = a->h_params[t].repetition_penalty = 1;
    a->params = upload(b, a->h_params, T * sizeof *a->h_params);
    if (backward) {
        a->du = acts(b, T * (size_t)(3 * R));
        a->dx = acts(b, T * C);
        a->dn = acts(b, T * C);
        a->dh = acts(b, T * 2 * F);
        a->dlogits = acts(b, T * V);
        a->weight = floats(b, T, 1, 0.1);
        a->labels = upload(b, labels, T * sizeof *labels);
    }
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
    size_t held = b->n_held;
    struct bench_step a = {.lora = R > 0, .mask = mask};
    char name[64];
    a.batch = make_batch(b, S, 1, past, true, false, 0, R);
    make_step(b, &a, R > 0 ? R : 1, false);
    double bytes = q4_bytes(layer_weights() * LAYERS) + 2.0 * V * C +
                   4.0 * S * LAYERS * past * HKV * D + 2 * S * adapter_weights(R, mask);
    double flops = 2.0 * S * (layer_weights() * LAYERS + (double)V * C);
    snprintf(name, sizeof name, "step decode %d, %d cached%s", S, past, what);
    double s = report(b, name, time_of(b, launch_decode, &a, 4), bytes, flops);
    printf("  %.0f tokens/s\n", S / s);
    release(b, held);
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
    size_t held = b->n_held;
    struct bench_step a = {.lora = true, .mask = mask};
    char name[64];
    a.batch = make_batch(b, S, n, 0, false, true, 0, R);
    make_step(b, &a, R, true);
    double T = (double)S * n, weights = layer_weights() * LAYERS + (double)V * C;
    snprintf(name, sizeof name, "step train %dx%d, %s", S, n, what);
    double s = report(b, name, time_of(b, launch_train, &a, 1), 2 * q4_bytes(weights),
                      4 * T * weights + 14.0 * T * n / 2 * H * D * LAYERS);
    printf("  %.0f tokens/s\n", T / s);
    release(b, held);
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
