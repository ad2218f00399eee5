/* bench_ops [cuda|cpu] [only cases whose name contains this]: see bench_ops.h. */
#include "bench/ops/bench_ops.h"

#include "core/clock.h"
#include "core/num.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Time ---- */

static double seconds_of(struct bench *b, struct lf_graph *g, launch_fn fn, void *arg, int n)
{
    struct lf_diag diag;
    uint64_t begin = lf_clock_ns();
    if (g)
        lf_graph_launch(g);
    for (b->i = 0; !g && b->i < n; b->i++)
        fn(b, arg);
    if (lf_stream_wait(b->s, &diag))
        die(&diag);
    return (double)(lf_clock_ns() - begin) * 1e-9 / n;
}

double time_of(struct bench *b, launch_fn fn, void *arg, int n)
{
    struct lf_diag diag;
    struct lf_graph *g = NULL;
    double t[10];
    b->i = 0;
    fn(b, arg); /* loads what is loaded late */
    if (lf_stream_wait(b->s, &diag))
        die(&diag);
    if (lf_stream_record_begin(b->s, &diag) == LF_OK) {
        for (; b->i < n; b->i++)
            fn(b, arg);
        if (lf_stream_record_end(b->s, &g, &diag))
            die(&diag);
    }
    seconds_of(b, g, fn, arg, n);
    for (int i = 0; i < 10; i++)
        t[i] = seconds_of(b, g, fn, arg, n);
    lf_graph_free(g);
    qsort(t, 10, sizeof *t, lf_order_double);
    return t[5];
}

bool wanted(const struct bench *b, const char *name)
{
    return !b->only || strstr(name, b->only);
}

double report(const struct bench *b, const char *name, double s, double bytes, double flops)
{
    double memory = bytes / b->bytes_per_second, work = flops / b->flops_per_second;
    double floor = memory > work ? memory : work;
    printf("%-44s %10.2f us %8.0f GB/s %7.1f TF/s  floor %9.2f us (%s)  %5.1f%%\n", name, s * 1e6,
           bytes / s * 1e-9, flops / s * 1e-12, floor * 1e6, memory > work ? "bytes" : "flops",
           100 * floor / s);
    fflush(stdout);
    return s;
}

/* ---- Ceilings ---- */

struct copy_arg {
    char *from, *to;
    size_t n;
};

static void launch_copy(struct bench *b, void *arg)
{
    struct copy_arg *c = arg;
    lf_stream_copy(b->s, c->to, c->from, c->n);
}

static void launch_dense(struct bench *b, void *arg)
{
    b->ops->linear(b->s, arg);
}

static void measure_ceilings(struct bench *b)
{
    bool cpu = lf_device_on_host(b->dev);
    size_t held = b->n_held;
    struct copy_arg c = {.n = (size_t)(cpu ? 64 : 2048) << 20};
    c.from = acts(b, c.n / b->es);
    c.to = get(b, c.n);
    int n = cpu ? 512 : 8192;
    b->bytes_per_second = 2 * (double)c.n / time_of(b, launch_copy, &c, 3);
    struct lf_weight w = {.kind = b->head.kind, .N = n, .K = n};
    w.data = acts(b, (size_t)n * (size_t)n);
    struct lf_linear_args a = {
        .y = c.to, .x = c.from, .w = {&w}, .n = 1, .T = n, .ldy = n, .ldx = n};
    b->flops_per_second = 2.0 * n * n * n / time_of(b, launch_dense, &a, 5);
    printf("ceilings: %.0f GB/s copy, %.0f TFLOP/s dense %d^3\n", b->bytes_per_second * 1e-9,
           b->flops_per_second * 1e-12, n);
    release(b, held);
}

int main(int argc, char **argv)
{
    static struct bench b;
    struct lf_diag diag;
    struct lf_device_info info;
    enum lf_device_kind kind;
    if (lf_device_kind_parse(&kind, argc > 1 ? argv[1] : "cuda", &diag))
        die(&diag);
    b.only = argc > 2 ? argv[2] : NULL;
    bench_open(&b, kind);
    measure_ceilings(&b);
    bench_decode(&b);
    bench_train(&b);
    bench_linear(&b, false);
    bench_linear(&b, true);
    bench_attn(&b);
    bench_small(&b);
    bench_lora(&b);
    lf_device_info(b.dev, &info);
    printf("%s: %.1f GB at most\n", info.name, (double)info.memory_peak * 1e-9);
    bench_close(&b);
    return EXIT_SUCCESS;
}
