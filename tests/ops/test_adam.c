/* adam: Adam and AdamW, clipped or not, early and late steps, several runs in one call. */
#include "tests/ops/rig.h"

static const struct rig_limits LIMITS = {.f32 = {1e-11, 1e-5}, .bf16 = {1e-11, 1e-5}};
static const struct rig_limits COPY = {.f32 = {1e-11, 1e-5}, .bf16 = {RIG_BF16_ROUNDING, 5e-3}};
static const struct rig_limits EXACT = {{0, 0}, {0, 0}};

#define RUNS 4

struct run {
    size_t n;
    bool clipped, decoupled, copied;
    int step;
    struct mirror *p, *m, *v, *g, *copy, *sumsq;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct run *runs = arg;
    struct lf_adam_args a[RUNS];
    for (int i = 0; i < RUNS; i++) {
        const struct run *u = &runs[i];
        a[i] = (struct lf_adam_args){.p = rig_at(u->p, side),
                                     .m = rig_at(u->m, side),
                                     .v = rig_at(u->v, side),
                                     .g = rig_at(u->g, side),
                                     .copy = rig_at(u->copy, side),
                                     .sumsq = rig_at(u->sumsq, side),
                                     .n = u->n,
                                     .grad_scale = 0.25f,
                                     .max_norm = 1,
                                     .lr = 1e-2f,
                                     .beta1 = 0.9f,
                                     .beta2 = 0.999f,
                                     .eps = 1e-8f,
                                     .weight_decay = 0.1f,
                                     .decoupled = u->decoupled,
                                     .step = u->step};
    }
    r->stream[side]->ops->adam(r->stream[side], a, RUNS);
}

static struct mirror *second_moments(struct rig *r, size_t n)
{
    float *v = rig_host(r, n, sizeof *v);
    for (size_t i = 0; i < n; i++)
        v[i] = (float)rig_unit(r);
    struct mirror *m = rig_bytes(r, "v", LF_F32, v, v, n);
    m->output = true;
    m->limits = LIMITS;
    return m;
}

static void takes_a_step(void **state)
{
    struct rig *r = *state;
    static const float small = 0.5f, large = 400;
    struct run runs[RUNS] = {
        {.n = 1, .step = 1, .decoupled = true},
        {.n = 1000, .step = 2, .decoupled = true, .clipped = true, .copied = true},
        {.n = 8191, .step = 1000, .clipped = true, .copied = true},
        {.n = 30000, .step = 40000, .decoupled = true, .copied = true},
    };
    rig_begin(r, "runs");
    for (int i = 0; i < RUNS; i++) {
        struct run *u = &runs[i];
        const float *sumsq = i == 1 ? &small : &large;
        u->p = rig_inout_f32(r, "p", u->n, 1, LIMITS);
        u->m = rig_inout_f32(r, "m", u->n, 1, LIMITS);
        u->v = second_moments(r, u->n);
        u->g = rig_inout_f32(r, "g", u->n, 1, EXACT);
        u->copy = u->copied ? rig_out_act(r, "copy", u->n, COPY) : NULL;
        u->sumsq = u->clipped ? rig_bytes(r, "sumsq", LF_F32, sumsq, sumsq, 1) : NULL;
    }
    rig_run(r, launch, runs);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(takes_a_step)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
