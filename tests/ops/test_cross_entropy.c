/* cross_entropy: losses and gradients, rows without a label, capped logits, in place. */
#include "tests/ops/rig.h"

static const struct rig_limits LOSS = {.f32 = {1e-11, 1e-5}, .bf16 = {1e-11, 1e-5}};
static const struct rig_limits GRADIENT = {.f32 = {1e-11, 3e-5}, .bf16 = {RIG_BF16_ROUNDING, 1e-2}};

struct entropy_case {
    int M, V;
    double scale;
    float softcap;
    bool gradient, in_place;
    struct mirror *loss, *dlogits, *logits, *labels, *weight;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct entropy_case *c = arg;
    void *logits = rig_at(c->in_place ? c->dlogits : c->logits, side);
    struct lf_cross_entropy_args a = {.loss = rig_at(c->loss, side),
                                      .dlogits = rig_at(c->dlogits, side),
                                      .logits = logits,
                                      .labels = rig_at(c->labels, side),
                                      .weight = rig_at(c->weight, side),
                                      .M = c->M,
                                      .V = c->V,
                                      .softcap = c->softcap};
    r->stream[side]->ops->cross_entropy(r->stream[side], &a);
}

static void one_case(struct rig *r, struct entropy_case c)
{
    size_t n = (size_t)c.M * (size_t)c.V;
    rig_begin(r, "M %d V %d scale %g softcap %g%s", c.M, c.V, c.scale, (double)c.softcap,
              c.in_place ? " in place" : "");
    int32_t *labels = rig_host(r, (size_t)c.M, sizeof *labels);
    for (int m = 0; m < c.M; m++)
        labels[m] = m % 5 == 3 ? -1 : rig_int(r, 0, c.V - 1);
    c.labels = rig_bytes(r, "labels", LF_I32, labels, labels, (size_t)c.M);
    c.loss = rig_out(r, "loss", LF_F32, (size_t)c.M, LOSS);
    if (c.in_place)
        c.dlogits = rig_inout_f32(r, "dlogits", n, c.scale, GRADIENT);
    else
        c.logits = rig_f32(r, "logits", n, c.scale);
    if (c.gradient && !c.in_place)
        c.dlogits = rig_out_act(r, "dlogits", n, GRADIENT);
    if (c.gradient)
        c.weight = rig_f32(r, "weight", (size_t)c.M, 1);
    rig_run(r, launch, &c);
}

static void scores_and_differentiates(void **state)
{
    struct rig *r = *state;
    static const struct entropy_case cases[] = {
        {.M = 1, .V = 10, .scale = 1},
        {.M = 6, .V = 257, .scale = 3, .gradient = true},
        {.M = 33, .V = 4096, .scale = 1, .gradient = true},
        {.M = 5, .V = 32000, .scale = 10, .gradient = true},
        {.M = 4, .V = 1000, .scale = 100, .gradient = true},
        {.M = 9, .V = 600, .scale = 8, .softcap = 30, .gradient = true},
        {.M = 2, .V = 128256, .scale = 2},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct entropy_case c = cases[i];
        one_case(r, c);
        c.in_place = c.gradient && r->act == LF_F32;
        if (c.in_place)
            one_case(r, c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scores_and_differentiates)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
