/* The operations that move bytes: norms, activation, rotation, loss, sampling, optimizer. */
#include "bench/ops/bench_ops.h"

#include <stdio.h>

/* launch_OP(): one run of it over a step's buffers. */
#define LAUNCH(op, arguments)                                   \
    static void launch_##op(struct bench *b, void *arg)         \
    {                                                           \
        struct bench_step *a = arg;                             \
        b->ops->op(b->s, (struct lf_##op##_args[]){arguments}); \
    }
LAUNCH(norm, norm_args(b, a))
LAUNCH(norm_bwd, norm_bwd_args(b, a))
LAUNCH(glu, glu_args(a))
LAUNCH(glu_bwd, glu_bwd_args(a))
LAUNCH(rope, rope_args(b, a, a->qkv, false))
LAUNCH(cross_entropy, cross_entropy_args(a))
LAUNCH(sample, sample_args(a))

static void row(struct bench *b, struct bench_step *a, const char *op, launch_fn fn, double bytes)
{
    char name[64];
    int T = a->batch->T;
    snprintf(name, sizeof name, "%s T=%d", op, T);
    report(b, name, time_of(b, fn, a, T > 64 ? 4 : 64), bytes, 0);
}

static void bench_rows(struct bench *b, int T)
{
    size_t held = b->n_held;
    struct bench_step a = {.batch = make_batch(b, T, 1, 128, false, false, 0, 0)};
    make_step(b, &a, 1, true);
    row(b, &a, "norm", launch_norm, 4.0 * T * C);
    row(b, &a, "norm_bwd", launch_norm_bwd, 8.0 * T * C);
    row(b, &a, "glu", launch_glu, 6.0 * T * F);
    row(b, &a, "glu_bwd", launch_glu_bwd, 10.0 * T * F);
    row(b, &a, "rope", launch_rope, 4.0 * T * (H + HKV) * D);
    row(b, &a, "cross_entropy", launch_cross_entropy, 6.0 * T * V);
    if (T <= 32) {
        row(b, &a, "sample greedy", launch_sample, 4.0 * T * V);
        for (int i = 0; i < T; i++)
            a.h_params[i] = (struct lf_sample_params){.temperature = 0.8f,
                                                      .top_p = 0.9f,
                                                      .top_k = 50,
                                                      .repetition_penalty = 1,
                                                      .seed = 3,
                                                      .counter = (uint64_t)i};
        lf_stream_upload(b->s, a.params, a.h_params, (size_t)T * sizeof *a.h_params);
        row(b, &a, "sample top-k top-p", launch_sample, 4.0 * T * V);
        for (int i = 0; i < T; i++)
            a.h_params[i] = (struct lf_sample_params){
                .top_p = 1, .repetition_penalty = 1, .top_n = LF_TOP_LOGPROBS_MAX};
        lf_stream_upload(b->s, a.params, a.h_params, (size_t)T * sizeof *a.h_params);
        row(b, &a, "sample greedy, 20 listed", launch_sample, 4.0 * T * V);
    }
    release(b, held);
}

/* ---- The optimizer ---- */

enum { RUNS = 64 };

struct adam_arg {
    size_t n; /* parameters */
    float *p[4], *sumsq;
    char *copy;
};

static void launch_adam(struct bench *b, void *arg)
{
    struct adam_arg *m = arg;
    struct lf_adam_args a[RUNS];
    struct lf_sumsq_args q = {.out = m->sumsq, .g = m->p[3], .n = m->n};
    size_t each = m->n / RUNS;
    b->ops->sumsq(b->s, &q, 1);
    for (size_t r = 0; r < RUNS; r++)
        a[r] = (struct lf_adam_args){.p = m->p[0] + r * each,
                                     .m = m->p[1] + r * each,
                                     .v = m->p[2] + r * each,
                                     .g = m->p[3] + r * each,
                                     .copy = m->copy + r * each * b->es,
                                     .sumsq = m->sumsq,
                                     .n = each,
                                     .grad_scale = 1,
                                     .max_norm = 1,
                                     .lr = 1e-5f,
                                     .beta1 = 0.9f,
                                     .beta2 = 0.999f,
                                     .eps = 1e-8f,
                                     .step = 3};
    b->ops->adam(b->s, a, RUNS);
}

void bench_small(struct bench *b)
{
    size_t held = b->n_held;
    struct adam_arg m = {.n = (size_t)40 << 20};
    if (!wanted(b, "small"))
        return;
    bench_rows(b, 1);
    bench_rows(b, 32);
    bench_rows(b, 4096);
    for (int i = 0; i < 4; i++)
        m.p[i] = floats(b, m.n, 1, 0.2);
    m.sumsq = floats(b, 1, 1, 0.2);
    m.copy = acts(b, m.n);
    report(b, "adam and sumsq, 42M parameters", time_of(b, launch_adam, &m, 4), 38.0 * (double)m.n,
           0);
    release(b, held);
}
