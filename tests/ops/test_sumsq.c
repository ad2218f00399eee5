/* sumsq: several runs of very different lengths in one call. */
#include "tests/ops/rig.h"

static const struct rig_limits LIMITS = {.f32 = {1e-11, 3e-6}, .bf16 = {1e-11, 3e-6}};

#define RUNS 7

struct sumsq_case {
    struct mirror *g[RUNS], *out;
    size_t n[RUNS];
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct sumsq_case *c = arg;
    struct lf_sumsq_args a[RUNS];
    for (int i = 0; i < RUNS; i++)
        a[i] = (struct lf_sumsq_args){
            .out = (float *)rig_at(c->out, side) + i, .g = rig_at(c->g[i], side), .n = c->n[i]};
    r->stream[side]->ops->sumsq(r->stream[side], a, RUNS);
}

static void sums_each_run(void **state)
{
    struct rig *r = *state;
    struct sumsq_case c = {.n = {1, 0, 33, 8192, 100003, 7, 300000}};
    rig_begin(r, "runs");
    for (int i = 0; i < RUNS; i++)
        c.g[i] = rig_f32(r, "g", c.n[i], i == 3 ? 1e-6 : 1);
    c.out = rig_out(r, "out", LF_F32, RUNS, LIMITS);
    rig_run(r, launch, &c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_each_run)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
