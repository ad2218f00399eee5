/* The gradient of every activation, gated and plain. */
#include "tests/grad/fd.h"

enum { T = 3, F = 11 };

struct glu_case {
    enum lf_act_kind act;
    bool gated;
    struct mirror *y, *x, *dx, *dy;
};

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct glu_case *c = arg;
    struct lf_glu_args a = {.y = rig_at(c->y, side),
                            .x = rig_at(c->x, side),
                            .act = c->act,
                            .gated = c->gated,
                            .T = T,
                            .F = F,
                            .ldy = F,
                            .ldx = F * (c->gated ? 2 : 1)};
    r->stream[side]->ops->glu(r->stream[side], &a);
}

static void both(struct rig *r, enum rig_side side, void *arg)
{
    const struct glu_case *c = arg;
    forward(r, side, arg);
    struct lf_glu_bwd_args a = {.dx = rig_at(c->dx, side),
                                .dy = rig_at(c->dy, side),
                                .x = rig_at(c->x, side),
                                .act = c->act,
                                .gated = c->gated,
                                .T = T,
                                .F = F,
                                .ldy = F,
                                .ldx = F * (c->gated ? 2 : 1)};
    r->stream[side]->ops->glu_bwd(r->stream[side], &a);
}

static void is_the_slope(void **state)
{
    struct rig *r = *state;
    for (int i = 0; i < 6; i++) {
        struct glu_case c = {.act = (enum lf_act_kind)(i % 3), .gated = i >= 3};
        size_t wide = T * F * (c.gated ? 2 : 1);
        rig_begin(r, "act %d gated %d", c.act, c.gated);
        c.x = rig_f32(r, "x", wide, 1);
        c.dy = rig_f32(r, "dy", T * F, 1);
        c.y = rig_out(r, "y", LF_F32, T * F, FD_ANY);
        c.dx = rig_out(r, "dx", LF_F32, wide, FD_ANY);
        rig_run_side(r, RIG_REF, both, &c);
        fd_check(r, &(struct fd){forward, &c, c.y, c.dy}, c.x, c.dx);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_slope)};
    return rig_main_ref(tests, sizeof tests / sizeof *tests);
}
