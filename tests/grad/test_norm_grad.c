/* The norms' gradient with respect to their input. */
#include "tests/grad/fd.h"

struct norm_case {
    int T, H, C;
    bool layer_norm;
    struct mirror *y, *x, *w, *b, *dx, *dy;
};

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct norm_case *c = arg;
    struct lf_norm_args a = {.y = rig_at(c->y, side),
                             .x = rig_at(c->x, side),
                             .w = rig_at(c->w, side),
                             .b = rig_at(c->b, side),
                             .layer_norm = c->layer_norm,
                             .T = c->T,
                             .H = c->H,
                             .C = c->C,
                             .ldx = c->H * c->C,
                             .ldy = c->H * c->C,
                             .eps = 1e-5f};
    r->stream[side]->ops->norm(r->stream[side], &a);
}

static void both(struct rig *r, enum rig_side side, void *arg)
{
    const struct norm_case *c = arg;
    forward(r, side, arg);
    struct lf_norm_bwd_args a = {.dx = rig_at(c->dx, side),
                                 .dy = rig_at(c->dy, side),
                                 .x = rig_at(c->x, side),
                                 .w = rig_at(c->w, side),
                                 .b = rig_at(c->b, side),
                                 .layer_norm = c->layer_norm,
                                 .T = c->T,
                                 .H = c->H,
                                 .C = c->C,
                                 .ldx = c->H * c->C,
                                 .ldy = c->H * c->C,
                                 .lddx = c->H * c->C,
                                 .eps = 1e-5f};
    r->stream[side]->ops->norm_bwd(r->stream[side], &a);
}

static void is_the_slope(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 4; i++) {
        struct norm_case c = {.T = 3, .H = i < 2 ? 1 : 2, .C = 20, .layer_norm = i % 2};
        size_t n = (size_t)(c.T * c.H * c.C);
        rig_begin(r, "H %d layer %d", c.H, c.layer_norm);
        c.x = rig_f32(r, "x", n, 1);
        c.dy = rig_f32(r, "dy", n, 1);
        c.w = rig_f32(r, "w", (size_t)c.C, 1);
        c.b = c.layer_norm ? rig_f32(r, "b", (size_t)c.C, 1) : NULL;
        c.y = rig_out(r, "y", LF_F32, n, FD_ANY);
        c.dx = rig_out(r, "dx", LF_F32, n, FD_ANY);
        rig_run_side(r, RIG_REF, both, &c);
        fd_check(r, &(struct fd){forward, &c, c.y, c.dy}, c.x, c.dx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_slope)};
    return rig_main_ref(tests, sizeof tests / sizeof *tests);
}
