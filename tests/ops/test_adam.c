/* adam: Adam and AdamW, clipped or not, early and late steps, several runs in one call, moments of
 * 32 and of 8 bits. */
#include "tests/ops/rig.h"

#include "gpu/dynamic.h"

static const struct rig_limits LIMITS = {.f32 = {1e-11, 1e-5}, .bf16 = {1e-11, 1e-5}};
static const struct rig_limits COPY = {.f32 = {1e-11, 1e-5}, .bf16 = {RIG_BF16_ROUNDING, 5e-3}};
static const struct rig_limits EXACT = {{0, 0}, {0, 0}};

/* Codes: a moment that a rounding takes over a midpoint has a neighbour's, one in 140 or so of what
 * codes are; roundings are to 1e-6, midpoints 2^-8 apart, so that this is one in some thousands. */
static const struct rig_limits CODES = {.f32 = {1e-7, 1e-2}, .bf16 = {1e-7, 1e-2}};

#define RUNS 4

struct run {
    size_t n;
    bool clipped, decoupled, copied;
    int step;
    struct mirror *p, *m, *v, *g, *copy, *sumsq;
    struct mirror *codes[2], *scales[2]; /* of moments of 8 bits, in the place of m and v */
};

static struct lf_moment8 moment8_at(const struct run *u, int k, enum rig_side side)
{
    return (struct lf_moment8){rig_at(u->codes[k], side), rig_at(u->scales[k], side)};
}

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct run *runs = arg;
    struct lf_adam_args a[RUNS];
    for (int i = 0; i < RUNS; i++) {
        const struct run *u = &runs[i];
        a[i] = (struct lf_adam_args){.p = rig_at(u->p, side),
                                     .m = rig_at(u->m, side),
                                     .v = rig_at(u->v, side),
                                     .m8 = moment8_at(u, 0, side),
                                     .v8 = moment8_at(u, 1, side),
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

/* Codes of every kind; of first steps, scales of 0. */
static void make_moments8(struct rig *r, struct run *u)
{
    size_t blocks = (u->n + LF_DYNAMIC_BLOCK - 1) / LF_DYNAMIC_BLOCK;
    for (int k = 0; k < 2; k++) {
        uint8_t *codes = rig_host(r, u->n, 1);
        float *scales = rig_host(r, blocks, sizeof *scales);
        for (size_t i = 0; i < u->n; i++)
            codes[i] = (uint8_t)rig_int(r, 0, 255);
        for (size_t b = 0; u->step > 1 && b < blocks; b++)
            scales[b] = (float)rig_unit(r);
        u->codes[k] = rig_bytes(r, k ? "v codes" : "m codes", LF_U8, codes, codes, u->n);
        u->scales[k] = rig_bytes(r, k ? "v scales" : "m scales", LF_F32, scales, scales, blocks);
        u->codes[k]->output = u->scales[k]->output = true;
        u->codes[k]->loose = true; /* the code of the largest is what outputs are poisoned with */
        u->codes[k]->limits = CODES;
        u->scales[k]->limits = LIMITS;
    }
}

static void takes_a_step_with_moments_of_8_bits(void **state)
{
    struct rig *r = *state;
    struct run runs[RUNS] = {
        {.n = 4096, .step = 1, .decoupled = true},
        {.n = 5000, .step = 2, .decoupled = true, .copied = true},
        {.n = 8191, .step = 1000, .decoupled = true, .copied = true},
        {.n = 1000, .step = 30, .decoupled = true}, /* of 32 bits, in one list with others */
    };
    rig_begin(r, "runs");
    for (int i = 0; i < RUNS; i++) {
        struct run *u = &runs[i];
        u->p = rig_inout_f32(r, "p", u->n, 1, LIMITS);
        u->g = rig_inout_f32(r, "g", u->n, 1, EXACT);
        u->copy = u->copied ? rig_out_act(r, "copy", u->n, COPY) : NULL;
        u->m = i == RUNS - 1 ? rig_inout_f32(r, "m", u->n, 1, LIMITS) : NULL;
        u->v = i == RUNS - 1 ? second_moments(r, u->n) : NULL;
        if (!u->m)
            make_moments8(r, u);
    }
    rig_run(r, launch, runs);
}

/* What no gradient ever reached stays at 0, and so do its moments. */
static void nothing_comes_of_nothing(void **state)
{
    struct rig *r = *state;
    struct run runs[RUNS] = {{.n = 300, .step = 1, .decoupled = true},
                             {.n = 256, .step = 1},
                             {.n = 1, .step = 1},
                             {.n = 257, .step = 1, .decoupled = true}};
    rig_begin(r, "zeros");
    for (int i = 0; i < RUNS; i++) {
        struct run *u = &runs[i];
        u->p = rig_inout_f32(r, "p", u->n, 0, EXACT);
        u->g = rig_inout_f32(r, "g", u->n, 0, EXACT);
        make_moments8(r, u);
    }
    rig_run(r, launch, runs);
    for (int i = 0; i < RUNS; i++)
        for (size_t k = 0; k < runs[i].n; k++) {
            assert_true(rig_got(runs[i].p, RIG_DUT, k) == 0);
            assert_true(rig_got(runs[i].scales[k % 2], RIG_DUT, k / LF_DYNAMIC_BLOCK) == 0);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(takes_a_step),
                                       cmocka_unit_test(takes_a_step_with_moments_of_8_bits),
                                       cmocka_unit_test(nothing_comes_of_nothing)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
