/* The gradient of a group of linear maps with respect to their common input. */
#include "tests/grad/fd.h"

enum { T = 3, K = 64 };

static const int N[] = {10, 7};
enum { WIDTH = 17 };

struct linear_case {
    const struct lf_weight *w[2];
    struct mirror *y, *x, *dx, *dy;
};

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct linear_case *c = arg;
    struct lf_linear_args a = {.y = rig_at(c->y, side),
                               .x = rig_at(c->x, side),
                               .w = {&c->w[0][side], &c->w[1][side]},
                               .col = {0, N[0]},
                               .n = 2,
                               .T = T,
                               .ldy = WIDTH,
                               .ldx = K};
    r->stream[side]->ops->linear(r->stream[side], &a);
}

static void both(struct rig *r, enum rig_side side, void *arg)
{
    const struct linear_case *c = arg;
    forward(r, side, arg);
    struct lf_linear_bwd_args a = {.dx = rig_at(c->dx, side),
                                   .dy = rig_at(c->dy, side),
                                   .w = {&c->w[0][side], &c->w[1][side]},
                                   .col = {0, N[0]},
                                   .n = 2,
                                   .T = T,
                                   .lddx = K,
                                   .lddy = WIDTH};
    r->stream[side]->ops->linear_bwd(r->stream[side], &a);
}

static void is_the_slope(void **state)
{
    struct rig *r = *state;
    static const enum lf_weight_kind kinds[] = {LF_WEIGHT_F32, LF_WEIGHT_BF16, LF_WEIGHT_Q4};
    for (int i = 0; i < 3; i++) {
        struct linear_case c;
        rig_begin(r, "kind %d", kinds[i]);
        for (int p = 0; p < 2; p++)
            c.w[p] = rig_weight(r, &(struct rig_weight_shape){kinds[i], N[p], K, true, true, 64});
        c.x = rig_f32(r, "x", T * K, 1);
        c.dy = rig_f32(r, "dy", T * WIDTH, 1);
        c.y = rig_out(r, "y", LF_F32, T * WIDTH, FD_ANY);
        c.dx = rig_out(r, "dx", LF_F32, T * K, FD_ANY);
        rig_run_side(r, RIG_REF, both, &c);
        fd_check(r, &(struct fd){forward, &c, c.y, c.dy}, c.x, c.dx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_slope)};
    return rig_main_ref(tests, sizeof tests / sizeof *tests);
}
