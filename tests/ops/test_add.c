/* add: y += x at sizes around the vector width. */
#include "tests/ops/rig.h"

static const struct rig_limits LIMITS = {.f32 = {0, 0}, .bf16 = {RIG_BF16_ROUNDING, 5e-3}};

struct add_case {
    size_t n;
    struct mirror *y, *x;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct add_case *c = arg;
    struct lf_add_args a = {.y = rig_at(c->y, side), .x = rig_at(c->x, side), .n = c->n};
    r->stream[side]->ops->add(r->stream[side], &a);
}

static void adds(void **state)
{
    struct rig *r = *state;
    static const size_t sizes[] = {1, 7, 8, 9, 31, 384, 1000, 4097, 100003};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct add_case c = {.n = sizes[i]};
        rig_begin(r, "n %zu", c.n);
        c.x = rig_act(r, "x", c.n, 1);
        c.y = rig_inout_act(r, "y", c.n, 1, LIMITS);
        rig_run(r, launch, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adds)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
