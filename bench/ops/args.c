/* What operations get: which weights and adapters, and which buffers of a step. */
#include "bench/ops/bench_ops.h"

static void take_weights(struct bench *b, int layer, const struct bench_group *g,
                         const struct lf_weight **w, int *col)
{
    for (int p = 0; p < g->n; p++) {
        w[p] = &b->w[layer][g->first + p];
        col[p] = proj_col[g->first + p];
    }
}

static void take_sites(int layer, const struct bench_group *g, int *site, int *col, int *N)
{
    for (int p = 0; p < g->n; p++) {
        site[p] = layer * PROJ + g->first + p;
        col[p] = proj_col[g->first + p];
        N[p] = proj_n[g->first + p];
    }
}

struct lf_linear_args linear_args(struct bench *b, int layer, int group, int T, void *y,
                                  const void *x, bool accumulate)
{
    const struct bench_group *g = &bench_groups[group];
    struct lf_linear_args a = {.y = y,
                               .x = x,
                               .n = g->n,
                               .T = T,
                               .ldy = g->width,
                               .ldx = proj_k[g->first],
                               .accumulate = accumulate};
    take_weights(b, layer, g, a.w, a.col);
    return a;
}

struct lf_linear_bwd_args linear_bwd_args(struct bench *b, int layer, int group, int T, void *dx,
                                          const void *dy)
{
    const struct bench_group *g = &bench_groups[group];
    struct lf_linear_bwd_args a = {
        .dx = dx, .dy = dy, .n = g->n, .T = T, .lddx = proj_k[g->first], .lddy = g->width};
    take_weights(b, layer, g, a.w, a.col);
    return a;
}

struct lf_lora_args lora_args(struct bench *b, int layer, int group, const struct lf_ragged *batch,
                              void *y, void *u, const void *x)
{
    const struct bench_group *g = &bench_groups[group];
    struct lf_lora_args a = {.y = y,
                             .u = u,
                             .x = x,
                             .sites = b->sites,
                             .batch = batch,
                             .n_sites = LAYERS * PROJ,
                             .n = g->n,
                             .K = proj_k[g->first],
                             .ldy = g->width,
                             .ldx = proj_k[g->first]};
    take_sites(layer, g, a.site, a.col, a.N);
    return a;
}

struct lf_lora_bwd_args lora_bwd_args(struct bench *b, int layer, int group,
                                      const struct lf_ragged *batch, void *dx, void *du,
                                      const void *dy, const void *u, const void *x)
{
    const struct bench_group *g = &bench_groups[group];
    struct lf_lora_bwd_args a = {.dx = dx,
                                 .du = du,
                                 .dy = dy,
                                 .u = u,
                                 .x = x,
                                 .sites = b->sites,
                                 .batch = batch,
                                 .n_sites = LAYERS * PROJ,
                                 .n = g->n,
                                 .K = proj_k[g->first],
                                 .lddx = proj_k[g->first],
                                 .lddy = g->width,
                                 .ldx = proj_k[g->first]};
    take_sites(layer, g, a.site, a.col, a.N);
    return a;
}

struct lf_linear_args head_args(struct bench *b, int T, void *y, const void *x)
{
    return (struct lf_linear_args){
        .y = y, .x = x, .n = 1, .T = T, .ldy = V, .ldx = C, .y_f32 = true, .w = {&b->head}};
}

struct lf_norm_args norm_args(struct bench *b, const struct bench_step *a)
{
    return (struct lf_norm_args){.y = a->n,
                                 .x = a->x,
                                 .w = b->norm_w,
                                 .T = a->batch->T,
                                 .H = 1,
                                 .C = C,
                                 .ldx = C,
                                 .ldy = C,
                                 .eps = 1e-5f};
}

struct lf_norm_bwd_args norm_bwd_args(struct bench *b, const struct bench_step *a)
{
    return (struct lf_norm_bwd_args){.dx = a->dx,
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
}

struct lf_glu_args glu_args(const struct bench_step *a)
{
    return (struct lf_glu_args){.y = a->g,
                                .x = a->h,
                                .act = LF_ACT_SILU,
                                .gated = true,
                                .T = a->batch->T,
                                .F = F,
                                .ldy = F,
                                .ldx = 2 * F};
}

struct lf_glu_bwd_args glu_bwd_args(const struct bench_step *a)
{
    return (struct lf_glu_bwd_args){.dx = a->dh,
                                    .dy = a->g,
                                    .x = a->h,
                                    .act = LF_ACT_SILU,
                                    .gated = true,
                                    .T = a->batch->T,
                                    .F = F,
                                    .ldy = F,
                                    .ldx = 2 * F};
}

struct lf_rope_args rope_args(struct bench *b, const struct bench_step *a, void *qkv, bool inverse)
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

/* Keys and values of rows (T, QKV). */
static void *keys_of(const struct bench *b, void *qkv)
{
    return (char *)qkv + (size_t)H * D * b->es;
}

static void *values_of(const struct bench *b, void *qkv)
{
    return (char *)qkv + (size_t)(H + HKV) * D * b->es;
}

struct lf_attn_args attn_args(struct bench *b, const struct bench_step *a, int layer)
{
    size_t at = a->layers ? (size_t)(layer % a->layers) * a->layer_pages * b->es : 0;
    return (struct lf_attn_args){.o = a->o,
                                 .lse = a->lse,
                                 .q = a->qkv,
                                 .k = keys_of(b, a->qkv),
                                 .v = values_of(b, a->qkv),
                                 .k_pages = a->k_pages ? (char *)a->k_pages + at : NULL,
                                 .v_pages = a->v_pages ? (char *)a->v_pages + at : NULL,
                                 .batch = a->batch,
                                 .H = H,
                                 .Hkv = HKV,
                                 .D = D,
                                 .ldo = H * D,
                                 .ldq = QKV,
                                 .ldkv = QKV,
                                 .scale = 0.08838835f};
}

struct lf_attn_bwd_args attn_bwd_args(struct bench *b, const struct bench_step *a)
{
    return (struct lf_attn_bwd_args){.dq = a->dqkv,
                                     .dk = keys_of(b, a->dqkv),
                                     .dv = values_of(b, a->dqkv),
                                     .delta = a->delta,
                                     .d_o = a->d_o,
                                     .o = a->o,
                                     .q = a->qkv,
                                     .k = keys_of(b, a->qkv),
                                     .v = values_of(b, a->qkv),
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
}

struct lf_cross_entropy_args cross_entropy_args(const struct bench_step *a)
{
    return (struct lf_cross_entropy_args){.loss = a->loss,
                                          .dlogits = a->dlogits,
                                          .logits = a->logits,
                                          .labels = a->labels,
                                          .weight = a->weight,
                                          .M = a->batch->T,
                                          .V = V};
}

struct lf_sample_args sample_args(const struct bench_step *a)
{
    return (struct lf_sample_args){.ids = a->ids,
                                   .logprob = a->loss,
                                   .top_ids = a->top_ids,
                                   .top_logprob = a->top_logprob,
                                   .top_ld = LF_TOP_LOGPROBS_MAX,
                                   .logits = a->logits,
                                   .params = a->params,
                                   .h_params = a->h_params,
                                   .M = a->batch->T,
                                   .V = V};
}
