/* Linear maps and LoRA by themselves. */
#include "bench/ops/bench_ops.h"

#include <stdio.h>

struct linear_arg {
    int group, T;
    bool head;
    void *x, *y;
};

static void launch_linear(struct bench *b, void *arg)
{
    struct linear_arg *l = arg;
    struct lf_linear_args a =
        l->head ? head_args(b, l->T, l->y, l->x)
                : linear_args(b, b->i % LAYERS, l->group, l->T, l->y, l->x, false);
    b->ops->linear(b->s, &a);
}

static void launch_linear_bwd(struct bench *b, void *arg)
{
    struct linear_arg *l = arg;
    struct lf_linear_bwd_args a = linear_bwd_args(b, b->i % LAYERS, l->group, l->T, l->x, l->y);
    b->ops->linear_bwd(b->s, &a);
}

void bench_linear(struct bench *b, bool backward)
{
    static const int tokens[] = {1,  2,  4,   8,   9,   16,  24,   32,  48,
                                 64, 96, 128, 192, 256, 512, 1024, 4096};
    const char *op = backward ? "linear_bwd" : "linear";
    if (!wanted(b, op))
        return;
    size_t held = b->n_held;
    struct linear_arg l = {.x = acts(b, (size_t)T_MAX * F), .y = acts(b, (size_t)T_MAX * 2 * F)};
    for (size_t i = 0; i < sizeof tokens / sizeof *tokens; i++) {
        double layer = 0;
        l.T = tokens[i];
        if (backward && l.T != 256 && l.T != 512 && l.T != 4096)
            continue;
        for (int g = 0; g < GROUPS; g++) {
            char name[64];
            double K = proj_k[bench_groups[g].first], N = bench_groups[g].width;
            l.group = g;
            snprintf(name, sizeof name, "%s %s T=%d", op, bench_groups[g].name, l.T);
            layer += report(b, name,
                            time_of(b, backward ? launch_linear_bwd : launch_linear, &l,
                                    l.T > 512 ? 4 : LAYERS),
                            q4_bytes(N * K) + 2.0 * l.T * (N + K), 2.0 * l.T * N * K);
        }
        printf("  %s, all four: %.1f us a layer, %.3f ms for 32\n", op, layer * 1e6, layer * 32e3);
    }
    l.head = true;
    for (l.T = 1; !backward && l.T <= 32; l.T *= l.T == 1 ? 8 : 4) {
        char name[64];
        snprintf(name, sizeof name, "linear head bf16 T=%d", l.T);
        report(b, name, time_of(b, launch_linear, &l, 4), 2.0 * V * C + 4.0 * l.T * V,
               2.0 * l.T * V * C);
    }
    release(b, held);
}

/* ---- LoRA ---- */

struct lora_arg {
    int group;
    const struct lf_ragged *batch;
    void *x, *dx, *y, *u, *du;
};

static void launch_lora(struct bench *b, void *arg)
{
    struct lora_arg *l = arg;
    struct lf_lora_args a = lora_args(b, b->i % LAYERS, l->group, l->batch, l->y, l->u, l->x);
    b->ops->lora(b->s, &a);
}

static void launch_lora_bwd(struct bench *b, void *arg)
{
    struct lora_arg *l = arg;
    struct lf_lora_bwd_args a =
        lora_bwd_args(b, b->i % LAYERS, l->group, l->batch, l->dx, l->du, l->y, l->u, l->x);
    b->ops->lora_bwd(b->s, &a);
}

static void bench_lora_at(struct bench *b, int S, int n, bool trains, float drop_p, int R)
{
    size_t held = b->n_held, rows = (size_t)(S * n);
    struct lora_arg l = {
        .batch = make_batch(b, S, n, trains ? 0 : 128, !trains, trains, drop_p, R),
        .x = acts(b, rows * F),
        .dx = acts(b, rows * F),
        .y = acts(b, rows * 2 * F),
        .u = acts(b, rows * (size_t)(3 * R)),
        .du = acts(b, rows * (size_t)(3 * R)),
    };
    double T = (double)rows, layer = 0;
    for (int g = 0; g < 2 * GROUPS; g++) {
        bool backward = g >= GROUPS;
        char name[64];
        if (backward && !trains)
            break;
        const struct bench_group *w = &bench_groups[g % GROUPS];
        l.group = g % GROUPS;
        double N = w->width, K = proj_k[w->first], adapters = trains ? 1 : S;
        double bytes = adapters * R * (N + w->n * K) * 2 + T * K * 2 + T * N * 4;
        if (backward)
            bytes = T * (2 * N + 2 * K + 4 * K);
        snprintf(name, sizeof name, "lora%s %s r%d %dx%d%s", backward ? "_bwd" : "", w->name, R, S,
                 n, drop_p > 0 ? " dropout" : "");
        layer += report(
            b, name, time_of(b, backward ? launch_lora_bwd : launch_lora, &l, T > 512 ? 4 : LAYERS),
            bytes, (backward ? 3 : 1) * 2.0 * T * R * (N + w->n * K));
    }
    printf("  lora r%d %dx%d: %.1f us a layer\n", R, S, n, layer * 1e6);
    release(b, held);
}

void bench_lora(struct bench *b)
{
    if (!wanted(b, "lora"))
        return;
    make_adapters(b, 16, ALL_PROJ);
    bench_lora_at(b, 1, 1, false, 0, 16);
    bench_lora_at(b, 8, 1, false, 0, 16);
    bench_lora_at(b, 32, 1, false, 0, 16);
    bench_lora_at(b, 64, 1, false, 0, 16);
    bench_lora_at(b, 8, 32, false, 0, 16);
    bench_lora_at(b, 8, 512, true, 0, 16);
    bench_lora_at(b, 8, 512, true, 0.05f, 16);
    bench_lora_at(b, 1, 256, true, 0, 16);
}
