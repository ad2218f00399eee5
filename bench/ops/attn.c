/* Attention by itself. */
#include "bench/ops/bench_ops.h"

#include <stdio.h>

struct attn_arg {
    const struct lf_ragged *batch;
    void *qkv, *o, *d_o, *dqkv, *k_pages, *v_pages;
    float *lse, *delta;
    size_t layer_pages; /* elements of a layer's pages */
    int layers;
};

static struct lf_attn_args attn_args(struct bench *b, const struct attn_arg *t, int i)
{
    size_t at = (size_t)(i % t->layers) * t->layer_pages * b->es;
    return (struct lf_attn_args){.o = t->o,
                                 .lse = t->lse,
                                 .q = t->qkv,
                                 .k = (char *)t->qkv + (size_t)H * D * b->es,
                                 .v = (char *)t->qkv + (size_t)(H + HKV) * D * b->es,
                                 .k_pages = t->k_pages ? (char *)t->k_pages + at : NULL,
                                 .v_pages = t->v_pages ? (char *)t->v_pages + at : NULL,
                                 .batch = t->batch,
                                 .H = H,
                                 .Hkv = HKV,
                                 .D = D,
                                 .ldo = H * D,
                                 .ldq = QKV,
                                 .ldkv = QKV,
                                 .scale = 0.08838835f};
}

static void launch_attn(struct bench *b, void *arg, int i)
{
    struct lf_attn_args a = attn_args(b, arg, i);
    b->ops->attn(b->s, &a);
}

static void launch_attn_bwd(struct bench *b, void *arg, int i)
{
    struct attn_arg *t = arg;
    struct lf_attn_args f = attn_args(b, t, i);
    struct lf_attn_bwd_args a = {.dq = t->dqkv,
                                 .dk = (char *)t->dqkv + (size_t)H * D * b->es,
                                 .dv = (char *)t->dqkv + (size_t)(H + HKV) * D * b->es,
                                 .delta = t->delta,
                                 .d_o = t->d_o,
                                 .o = t->o,
                                 .q = f.q,
                                 .k = f.k,
                                 .v = f.v,
                                 .lse = t->lse,
                                 .batch = t->batch,
                                 .H = H,
                                 .Hkv = HKV,
                                 .D = D,
                                 .ldo = H * D,
                                 .ldq = QKV,
                                 .ldkv = QKV,
                                 .lddq = QKV,
                                 .lddkv = QKV,
                                 .scale = f.scale};
    b->ops->attn_bwd(b->s, &a);
}

static void attn_memory(struct bench *b, struct attn_arg *t, const struct lf_ragged *batch,
                        int layers, bool backward)
{
    size_t T = (size_t)batch->T;
    int pages = batch->S * ((batch->kv_max + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS);
    *t = (struct attn_arg){.batch = batch, .layers = layers};
    t->qkv = acts(b, T * QKV);
    t->o = acts(b, T * H * D);
    if (batch->n_cached) {
        t->layer_pages = (size_t)pages * HKV * LF_KV_PAGE_TOKENS * D;
        t->k_pages = acts(b, (size_t)layers * t->layer_pages);
        t->v_pages = acts(b, (size_t)layers * t->layer_pages);
    }
    if (backward) {
        t->d_o = acts(b, T * H * D);
        t->dqkv = acts(b, T * QKV);
        t->lse = floats(b, T * H, 8, 1);
        t->delta = floats(b, T * H, 0, 1);
    }
}

static void attn_free(struct bench *b, struct attn_arg *t)
{
    drop(b,
         (void *const[]){t->qkv, t->o, t->d_o, t->dqkv, t->k_pages, t->v_pages, t->lse, t->delta},
         8);
}

static void bench_attn_at(struct bench *b, int S, int n, int past, bool cached, bool backward)
{
    struct lf_ragged *batch = make_batch(b, S, n, past, cached, backward, 0, 0);
    struct attn_arg t;
    char name[64];
    double pairs = (double)S * n * (past + (n + 1) / 2.0), T = batch->T;
    attn_memory(b, &t, batch, n == 1 ? LAYERS : 2, backward);
    snprintf(name, sizeof name, "attn %dx%d past %d%s", S, n, past, cached ? " paged" : "");
    report(b, name, time_of(b, launch_attn, &t, n == 1 ? LAYERS : 8),
           2.0 * (2 * T * H * D + 2.0 * S * (past + n) * HKV * D), 4.0 * pairs * H * D);
    if (backward) {
        snprintf(name, sizeof name, "attn_bwd %dx%d", S, n);
        report(b, name, time_of(b, launch_attn_bwd, &t, 4), 2.0 * T * (4 * H * D + 4 * HKV * D),
               10.0 * pairs * H * D);
    }
    attn_free(b, &t);
    free_batch(b, batch);
}

void bench_attn(struct bench *b)
{
    if (!wanted(b, "attn"))
        return;
    bench_attn_at(b, 1, 1, 511, true, false);
    bench_attn_at(b, 1, 1, 4095, true, false);
    bench_attn_at(b, 8, 1, 511, true, false);
    bench_attn_at(b, 32, 1, 511, true, false);
    bench_attn_at(b, 8, 1, 4095, true, false);
    bench_attn_at(b, 32, 1, 4095, true, false);
    bench_attn_at(b, 64, 1, 4095, true, false);
    bench_attn_at(b, 8, 128, 0, true, false);
    bench_attn_at(b, 8, 1024, 0, true, false);
    bench_attn_at(b, 1, 512, 3584, true, false);
    bench_attn_at(b, 1, 256, 0, false, true);
    bench_attn_at(b, 8, 512, 0, false, true);
    bench_attn_at(b, 4, 2048, 0, false, true);
    bench_attn_at(b, 1, 8192, 0, false, true);
    bench_attn_at(b, 1, 32768, 0, false, true);
}
