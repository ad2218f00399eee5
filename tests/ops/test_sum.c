/* sum: one array, two and all of them, of lengths that leave a rest; into one of its own. */
#include "tests/ops/rig.h"

#include "core/limits.h"
#include "gpu/sum.h"

/* To the byte: the order is the definition's. */
static const struct rig_limits LIMITS = {{0, 0}, {0, 0}};

struct sum_case {
    struct mirror *x[LF_SEATS_MAX], *y;
    int n_x;
    size_t n;
    bool own; /* y is the last of them, too */
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct sum_case *c = arg;
    struct lf_sum_args a = {.y = rig_at(c->y, side), .n_x = c->n_x, .n = c->n};
    for (int k = 0; k < c->n_x; k++)
        a.x[k] = c->own && k == c->n_x - 1 ? a.y : rig_at(c->x[k], side);
    lf_stream_sum(r->stream[side], &a);
}

static void sums_in_order(void **state)
{
    struct rig *r = *state;
    static const struct {
        int n_x;
        size_t n;
        bool own;
    } of[] = {
        {1, 1, false}, {2, 1027, false}, {2, 4096, true}, {3, 5001, true}, {16, 70003, false}};
    for (size_t i = 0; i < sizeof of / sizeof *of; i++) {
        struct sum_case c = {.n_x = of[i].n_x, .n = of[i].n, .own = of[i].own};
        rig_begin(r, "%d of %zu", c.n_x, c.n);
        for (int k = 0; k < c.n_x - c.own; k++)
            c.x[k] = rig_f32(r, "x", c.n, k % 2 ? 1 : 1e4);
        c.y = c.own ? rig_inout_f32(r, "y", c.n, 1, LIMITS) : rig_out(r, "y", LF_F32, c.n, LIMITS);
        rig_run(r, launch, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(sums_in_order)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
