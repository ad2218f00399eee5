/* Which weights and adapters an operation gets. */
#include "bench/ops/bench_ops.h"

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
    for (int p = 0; p < g->n; p++) {
        a.w[p] = &b->w[layer][g->first + p];
        a.col[p] = proj_col[g->first + p];
    }
    return a;
}

struct lf_linear_bwd_args linear_bwd_args(struct bench *b, int layer, int group, int T, void *dx,
                                          const void *dy)
{
    const struct bench_group *g = &bench_groups[group];
    struct lf_linear_bwd_args a = {
        .dx = dx, .dy = dy, .n = g->n, .T = T, .lddx = proj_k[g->first], .lddy = g->width};
    for (int p = 0; p < g->n; p++) {
        a.w[p] = &b->w[layer][g->first + p];
        a.col[p] = proj_col[g->first + p];
    }
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
    for (int p = 0; p < g->n; p++) {
        a.site[p] = layer * PROJ + g->first + p;
        a.col[p] = proj_col[g->first + p];
        a.N[p] = proj_n[g->first + p];
    }
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
    for (int p = 0; p < g->n; p++) {
        a.site[p] = layer * PROJ + g->first + p;
        a.col[p] = proj_col[g->first + p];
        a.N[p] = proj_n[g->first + p];
    }
    return a;
}
