/* Attention by itself. */
#include "bench/ops/bench_ops.h"

#include <stdio.h>

static void launch_attn(struct bench *b, void *arg)
{
    b->ops->attn(b->s, (struct lf_attn_args[]){attn_args(b, arg, b->i)});
}

static void launch_attn_bwd(struct bench *b, void *arg)
{
    b->ops->attn_bwd(b->s, (struct lf_attn_bwd_args[]){attn_bwd_args(b, arg)});
}

static void bench_attn_at(struct bench *b, int S, int n, int past, bool cached, bool backward)
{
    size_t held = b->n_held;
    struct bench_step a = {.batch = make_batch(b, S, n, past, cached, backward, 0, 0)};
    char name[64];
    double pairs = (double)S * n * (past + (n + 1) / 2.0), T = a.batch->T;
    make_attention(b, &a, n == 1 ? LAYERS : 2, backward);
    snprintf(name, sizeof name, "attn %dx%d past %d%s", S, n, past, cached ? " paged" : "");
    report(b, name, time_of(b, launch_attn, &a, n == 1 ? LAYERS : 8),
           2.0 * (2 * T * H * D + 2.0 * S * (past + n) * HKV * D), 4.0 * pairs * H * D);
    if (backward) {
        snprintf(name, sizeof name, "attn_bwd %dx%d", S, n);
        report(b, name, time_of(b, launch_attn_bwd, &a, 4), 2.0 * T * (4 * H * D + 4 * HKV * D),
               10.0 * pairs * H * D);
    }
    release(b, held);
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
