/* The operations that move bytes: norms, activation, rotation, loss, sampling, optimizer. */
#include "bench/ops/bench_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct small_arg {
    int T;
    void *x, *y, *h;
    float *logits, *loss, *weight, *p[4];
    int32_t *labels, *ids;
    size_t n;
    struct lf_sample_params *params, *h_params;
    const struct lf_ragged *batch;
};

static void launch_norm(struct bench *b, void *arg, int i)
{
    struct small_arg *m = arg;
    struct lf_norm_args a = {.y = m->y,
                             .x = m->x,
                             .w = b->norm_w,
                             .T = m->T,
                             .H = 1,
                             .C = C,
                             .ldx = C,
                             .ldy = C,
                             .eps = 1e-5f};
    (void)i;
    b->ops->norm(b->s, &a);
}

static void launch_norm_bwd(struct bench *b, void *arg, int i)
{
    struct small_arg *m = arg;
    struct lf_norm_bwd_args a = {.dx = m->h,
                                 .dy = m->y,
                                 .x = m->x,
                                 .w = b->norm_w,
                                 .accumulate = true,
                                 .T = m->T,
                                 .H = 1,
                                 .C = C,
                                 .ldx = C,
                                 .ldy = C,
                                 .lddx = C,
                                 .eps = 1e-5f};
    (void)i;
    b->ops->norm_bwd(b->s, &a);
}

static void launch_glu(struct bench *b, void *arg, int i)
{
    struct small_arg *m = arg;
    struct lf_glu_args a = {.y = m->y,
                            .x = m->h,
                            .act = LF_ACT_SILU,
                            .gated = true,
                            .T = m->T,
                            .F = F,
                            .ldy = F,
                            .ldx = 2 * F};
    (void)i;
    b->ops->glu(b->s, &a);
}

static void launch_glu_bwd(struct bench *b, void *arg, int i)
{
    struct small_arg *m = arg;
    struct lf_glu_bwd_args a = {.dx = m->h,
                                .dy = m->y,
                                .x = m->h,
                                .act = LF_ACT_SILU,
                                .gated = true,
                                .T = m->T,
                                .F = F,
                                .ldy = F,
                                .ldx = 2 * F};
    (void)i;
    b->ops->glu_bwd(b->s, &a);
}

static void launch_rope(struct bench *b, void *arg, int i)
{
    struct small_arg *m = arg;
    struct lf_rope_args a = {.x = m->y,
                             .pos = m->batch->pos,
                             .cos_ = b->cos_,
                             .sin_ = b->sin_,
                             .T = m->T,
                             .H = H + HKV,
                             .D = D,
                             .rot = D,
                             .ldx = QKV};
    (void)i;
    b->ops->rope(b->s, &a);
}

static void launch_cross_entropy(struct bench *b, void *arg, int i)
{
    struct small_arg *m = arg;
    struct lf_cross_entropy_args a = {.loss = m->loss,
                                      .dlogits = m->h,
                                      .logits = m->logits,
                                      .labels = m->labels,
                                      .weight = m->weight,
                                      .M = m->T,
                                      .V = V};
    (void)i;
    b->ops->cross_entropy(b->s, &a);
}

static void launch_sample(struct bench *b, void *arg, int i)
{
    struct small_arg *m = arg;
    struct lf_sample_args a = {.ids = m->ids,
                               .logprob = m->loss,
                               .logits = m->logits,
                               .params = m->params,
                               .h_params = m->h_params,
                               .M = m->T,
                               .V = V};
    (void)i;
    b->ops->sample(b->s, &a);
}

static void launch_adam(struct bench *b, void *arg, int i)
{
    struct small_arg *m = arg;
    struct lf_adam_args a[64];
    struct lf_sumsq_args q = {.out = m->loss, .g = m->p[3], .n = m->n};
    size_t each = m->n / 64;
    (void)i;
    b->ops->sumsq(b->s, &q, 1);
    for (size_t r = 0; r < 64; r++)
        a[r] = (struct lf_adam_args){.p = m->p[0] + r * each,
                                     .m = m->p[1] + r * each,
                                     .v = m->p[2] + r * each,
                                     .g = m->p[3] + r * each,
                                     .copy = (char *)m->h + r * each * b->es,
                                     .sumsq = m->loss,
                                     .n = each,
                                     .grad_scale = 1,
                                     .max_norm = 1,
                                     .lr = 1e-5f,
                                     .beta1 = 0.9f,
                                     .beta2 = 0.999f,
                                     .eps = 1e-8f,
                                     .step = 3};
    b->ops->adam(b->s, a, 64);
}

static void row(struct bench *b, struct small_arg *m, const char *op, launch_fn fn, double bytes)
{
    char name[64];
    snprintf(name, sizeof name, "%s T=%d", op, m->T);
    report(b, name, time_of(b, fn, m, m->T > 64 ? 4 : 64), bytes, 0);
}

static void bench_rows(struct bench *b, struct small_arg *m, int T)
{
    struct lf_ragged *batch = make_batch(b, T, 1, 128, false, false, 0, 0);
    m->batch = batch;
    m->T = T;
    row(b, m, "norm", launch_norm, 4.0 * T * C);
    row(b, m, "norm_bwd", launch_norm_bwd, 8.0 * T * C);
    row(b, m, "glu", launch_glu, 6.0 * T * F);
    row(b, m, "glu_bwd", launch_glu_bwd, 10.0 * T * F);
    row(b, m, "rope", launch_rope, 4.0 * T * (H + HKV) * D);
    row(b, m, "cross_entropy", launch_cross_entropy, 6.0 * T * V);
    if (T <= 32)
        row(b, m, "sample greedy", launch_sample, 4.0 * T * V);
    for (int i = 0; i < T && i < 32; i++)
        m->h_params[i] = (struct lf_sample_params){.temperature = 0.8f,
                                                   .top_p = 0.9f,
                                                   .top_k = 50,
                                                   .repetition_penalty = 1,
                                                   .seed = 3,
                                                   .counter = (uint64_t)i};
    lf_stream_upload(b->s, m->params, m->h_params, 32 * sizeof *m->h_params);
    if (T <= 32)
        row(b, m, "sample top-k top-p", launch_sample, 4.0 * T * V);
    memset(m->h_params, 0, 32 * sizeof *m->h_params);
    for (int i = 0; i < 32; i++)
        m->h_params[i].top_p = m->h_params[i].repetition_penalty = 1;
    lf_stream_upload(b->s, m->params, m->h_params, 32 * sizeof *m->h_params);
    free_batch(b, batch);
}

void bench_small(struct bench *b)
{
    struct small_arg m = {.n = (size_t)40 << 20};
    if (!wanted(b, "small"))
        return;
    m.x = acts(b, (size_t)T_MAX * F);
    m.y = acts(b, (size_t)T_MAX * F);
    m.h = acts(b, (size_t)T_MAX * V);
    m.logits = floats(b, (size_t)T_MAX * V, 0, 20);
    m.loss = floats(b, T_MAX, 1, 0.2);
    m.weight = floats(b, T_MAX, 1, 0.2);
    for (int i = 0; i < 4; i++)
        m.p[i] = floats(b, m.n, 1, 0.2);
    int32_t labels[T_MAX];
    for (int i = 0; i < T_MAX; i++)
        labels[i] = i * 7 % V;
    m.labels = upload(b, labels, sizeof labels);
    m.ids = get(b, sizeof labels);
    m.h_params = calloc(32, sizeof *m.h_params);
    for (int i = 0; i < 32; i++)
        m.h_params[i].top_p = m.h_params[i].repetition_penalty = 1;
    m.params = upload(b, m.h_params, 32 * sizeof *m.h_params);
    bench_rows(b, &m, 1);
    bench_rows(b, &m, 32);
    bench_rows(b, &m, 4096);
    report(b, "adam and sumsq, 42M parameters", time_of(b, launch_adam, &m, 4), 38.0 * (double)m.n,
           0);
    void *const all[] = {m.x,    m.y,    m.h,    m.logits, m.loss, m.weight, m.p[0],
                         m.p[1], m.p[2], m.p[3], m.labels, m.ids,  m.params};
    drop(b, all, sizeof all / sizeof *all);
    free(m.h_params);
}
