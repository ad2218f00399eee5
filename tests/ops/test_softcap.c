/* softcap: from nearly linear to saturated. */
#include "tests/ops/rig.h"

static const struct rig_limits LIMITS = {.f32 = {1e-12, 1e-5}, .bf16 = {1e-12, 1e-5}};

struct softcap_case {
    size_t n;
    float softcap;
    struct mirror *x;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct softcap_case *c = arg;
    struct lf_softcap_args a = {.logits = rig_at(c->x, side), .n = c->n, .softcap = c->softcap};
    r->stream[side]->ops->softcap(r->stream[side], &a);
}

static void caps(void **state)
{
    struct rig *r = *state;
    static const size_t sizes[] = {1, 13, 4096, 50001};
    static const double scales[] = {0.01, 1, 20, 500};
    for (size_t i = 0; i < 16; i++) {
        struct softcap_case c = {.n = sizes[i % 4], .softcap = 30};
        rig_begin(r, "n %zu scale %g", c.n, scales[i / 4]);
        c.x = rig_inout_f32(r, "logits", c.n, scales[i / 4], LIMITS);
        rig_run(r, launch, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(caps)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
