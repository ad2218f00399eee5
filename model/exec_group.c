/* Linear maps that share an input (q, k, v; gate, up), so that it is read once: the frozen base,
 * and each row's own adapter beside it. */
#include "model/exec_inside.h"

static int group_range(const struct lf_exec *x, enum lf_group_kind g, int *first, int *ld)
{
    int n;
    *ld = lf_config_group(&x->model->config, g, first, &n);
    return n;
}

bool lf_exec_group_has_lora(const struct lf_exec *x, enum lf_group_kind g)
{
    int first, ld, n = group_range(x, g, &first, &ld);
    bool any = false;
    for (int i = 0; i < n; i++)
        any = any || x->lora[first + i];
    return any;
}

void lf_exec_group(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                   const struct lf_group_io *io)
{
    const struct lf_config *c = &x->model->config;
    int first, ld, n = group_range(x, g, &first, &ld), K = c->proj[first].K;
    struct lf_linear_args a = {.y = io->y,
                               .x = io->x,
                               .n = n,
                               .T = p->batch.T,
                               .T_fast = p->batch.T_cached,
                               .ldy = io->ldy,
                               .ldx = io->ldx,
                               .accumulate = io->accumulate,
                               .copy = lf_exec_copy(x, l, g),
                               .ldcopy = K + x->room,
                               .room = io->ldx - K};
    struct lf_lora_args r = {.y = io->y,
                             .u = io->u,
                             .x = io->x,
                             .sites = x->slots->sites,
                             .batch = &p->batch,
                             .n_sites = x->slots->n_sites,
                             .n = n,
                             .K = K,
                             .ldy = io->ldy,
                             .ldx = io->ldx};
    for (int i = 0; i < n; i++) {
        a.w[i] = &x->model->layers[l].w[first + i];
        a.col[i] = r.col[i] = c->proj[first + i].col;
        r.site[i] = l * c->n_proj + first + i;
        r.N[i] = c->proj[first + i].N;
    }
    bool gains = io->glu && lf_exec_group_has_gain(x, g);
    struct lf_map_args m = {.norm = io->norm,
                            .linear = &a,
                            .glu = gains ? NULL : io->glu,
                            .plus = io->plus,
                            .lora = lf_exec_group_has_lora(x, g) ? &r : NULL};
    lf_map(x->stream, &m);
    lf_exec_gain(x, p, l, g, io->y, io->ldy, io->x, io->ldx);
    if (gains)
        x->ops->glu(x->stream, io->glu);
}

static struct lf_lora_bwd_args lora_bwd_args(struct lf_exec *x, const struct lf_pass *p, int l,
                                             enum lf_group_kind g, const void *dy, const void *in,
                                             int ld_in, const void *u)
{
    const struct lf_config *c = &x->model->config;
    int first, ld, n = group_range(x, g, &first, &ld), K = c->proj[first].K;
    struct lf_lora_bwd_args r = {.du = x->work.du,
                                 .dy = dy,
                                 .u = u,
                                 .x = in,
                                 .sites = x->slots->sites,
                                 .batch = &p->batch,
                                 .n_sites = x->slots->n_sites,
                                 .n = n,
                                 .K = K,
                                 .lddx = K + x->room,
                                 .lddy = ld + x->room,
                                 .ldx = ld_in};
    for (int i = 0; i < n; i++) {
        r.col[i] = c->proj[first + i].col;
        r.site[i] = l * c->n_proj + first + i;
        r.N[i] = c->proj[first + i].N;
    }
    return r;
}

void lf_exec_group_bwd(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                       void *dx, const void *dy, const void *in, int ld_in, const void *u,
                       bool accumulate)
{
    const struct lf_config *c = &x->model->config;
    int first, ld, n = group_range(x, g, &first, &ld), K = c->proj[first].K;
    struct lf_lora_bwd_args r = lora_bwd_args(x, p, l, g, dy, in, ld_in, u);
    struct lf_linear_bwd_args a = {.dx = dx,
                                   .dy = dy,
                                   .n = n,
                                   .T = p->batch.T,
                                   .lddx = K + x->room,
                                   .lddy = ld + x->room,
                                   .accumulate = accumulate,
                                   .copy = lf_exec_copy(x, l, g),
                                   .ldcopy = K + x->room,
                                   .room = x->room};
    for (int i = 0; i < n; i++) {
        a.w[i] = &x->model->layers[l].w[first + i];
        a.col[i] = c->proj[first + i].col;
    }
    r.dx = dx;
    struct lf_map_bwd_args m = {.linear = dx ? &a : NULL,
                                .lora = lf_exec_group_has_lora(x, g) ? &r : NULL};
    lf_map_bwd(x->stream, &m);
    if (dx)
        lf_exec_gain_bwd(x, p, l, g, dx, dy);
    if (in)
        lf_exec_gain_grads(x, p, l, g, dy, in, ld_in);
}

void lf_exec_group_grads(struct lf_exec *x, const struct lf_pass *p, int l, enum lf_group_kind g,
                         const void *dy, const void *in, int ld_in, const void *u)
{
    struct lf_lora_bwd_args r = lora_bwd_args(x, p, l, g, dy, in, ld_in, u);
    if (lf_exec_group_has_lora(x, g))
        x->ops->lora_grads(x->stream, &r);
    lf_exec_gain_grads(x, p, l, g, dy, in, ld_in);
}
