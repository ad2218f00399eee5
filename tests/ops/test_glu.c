/* glu and glu_bwd: SiLU and both GELUs, gated and plain. */
#include "tests/ops/rig.h"

static const struct rig_limits LIMITS = {.f32 = {1e-11, 1e-5}, .bf16 = {RIG_BF16_ROUNDING, 1e-2}};

struct glu_case {
    enum lf_act_kind act;
    bool gated, in_place, again; /* again: y too, in place of dy */
    int T, F, ldx, ldy;
    struct mirror *y, *x, *dx, *dy;
};

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct glu_case *c = arg;
    struct lf_glu_args a = {.y = rig_at(c->y, side),
                            .x = rig_at(c->x, side),
                            .act = c->act,
                            .gated = c->gated,
                            .T = c->T,
                            .F = c->F,
                            .ldy = c->ldy,
                            .ldx = c->ldx};
    r->stream[side]->ops->glu(r->stream[side], &a);
}

static void backward(struct rig *r, enum rig_side side, void *arg)
{
    const struct glu_case *c = arg;
    struct lf_glu_bwd_args a = {.dx = rig_at(c->dx, side),
                                .dy = rig_at(c->dy, side),
                                .x = rig_at(c->in_place ? c->dx : c->x, side),
                                .y = c->again ? rig_at(c->dy, side) : NULL,
                                .act = c->act,
                                .gated = c->gated,
                                .T = c->T,
                                .F = c->F,
                                .ldy = c->ldy,
                                .ldx = c->ldx};
    r->stream[side]->ops->glu_bwd(r->stream[side], &a);
}

static const int sizes[][2] = {{1, 1}, {1, 1024}, {5, 37}, {33, 512}, {3, 5504}};
static const double scales[] = {1, 5, 60}; /* 60: both tails */
#define N_CASES (3u * 2 * 5 * 3)

static double begin(struct rig *r, struct glu_case *c, unsigned i, const char *what)
{
    c->act = (enum lf_act_kind)(i % 3);
    c->gated = i / 3 % 2;
    c->T = sizes[i / 6 % 5][0];
    c->F = sizes[i / 6 % 5][1];
    c->ldx = c->F * (c->gated ? 2 : 1) + (i % 5 ? 0 : 16);
    c->ldy = c->F + (i % 7 ? 0 : 8);
    double scale = scales[i / 30];
    rig_begin(r, "%s act %d gated %d T %d F %d scale %g", what, c->act, c->gated, c->T, c->F,
              scale);
    return scale;
}

static void activates(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < N_CASES; i++) {
        struct glu_case c = {0};
        double scale = begin(r, &c, i, "forward");
        c.x = rig_act(r, "x", (size_t)c.T * (size_t)c.ldx, scale);
        c.y = rig_out_act(r, "y", (size_t)c.T * (size_t)c.ldy, LIMITS);
        c.y->floor = 0.1; /* the negative tail is tiny */
        rig_run(r, forward, &c);
    }
}

static void carries_gradients_back(void **state)
{
    struct rig *r = *state;
    for (unsigned i = 0; i < N_CASES; i++) {
        struct glu_case c = {.in_place = i % 4 == 0, .again = i % 4 < 2};
        double scale = begin(r, &c, i, "backward");
        size_t wide = (size_t)c.T * (size_t)c.ldx;
        size_t narrow = (size_t)c.T * (size_t)c.ldy;
        c.dy = c.again ? rig_inout_act(r, "dy", narrow, 1, LIMITS) : rig_act(r, "dy", narrow, 1);
        c.dy->floor = 0.1;
        c.x = rig_act(r, "x", wide, scale);
        c.dx = c.in_place ? rig_inout_act(r, "dx", wide, scale, LIMITS)
                          : rig_out_act(r, "dx", wide, LIMITS);
        c.dx->floor = 0.1; /* the slope crosses 0 */
        rig_run(r, backward, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(activates),
                                       cmocka_unit_test(carries_gradients_back)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
