/* Rotating a gradient back is the transpose of rotating forth. */
#include "tests/grad/fd.h"

#include <math.h>

enum { T = 3, H = 2, D = 12, ROT = 8, POSITIONS = 16 };

struct rope_case {
    struct mirror *x, *pos, *cos_, *sin_, *dx;
};

static void rotate(struct rig *r, enum rig_side side, const struct rope_case *c, struct mirror *x,
                   bool inverse)
{
    struct lf_rope_args a = {.x = rig_at(x, side),
                             .pos = rig_at(c->pos, side),
                             .cos_ = rig_at(c->cos_, side),
                             .sin_ = rig_at(c->sin_, side),
                             .T = T,
                             .H = H,
                             .D = D,
                             .rot = ROT,
                             .ldx = H * D,
                             .inverse = inverse};
    r->stream[side]->ops->rope(r->stream[side], &a);
}

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct rope_case *c = arg;
    rotate(r, side, c, c->x, false);
}

static void backward(struct rig *r, enum rig_side side, void *arg)
{
    const struct rope_case *c = arg;
    rotate(r, side, c, c->dx, true);
}

static void is_the_slope(void **state)
{
    struct rig *r = *state;
    struct rope_case c;
    float cos_[POSITIONS * ROT / 2], sin_[POSITIONS * ROT / 2];
    int32_t pos[T] = {0, 5, 15};
    rig_begin(r, "partial rotation");
    for (int i = 0; i < POSITIONS * ROT / 2; i++) {
        double angle = 2 * M_PI * rig_unit(r);
        cos_[i] = (float)cos(angle);
        sin_[i] = (float)sin(angle);
    }
    c.cos_ = rig_bytes(r, "cos", LF_F32, cos_, cos_, POSITIONS * ROT / 2);
    c.sin_ = rig_bytes(r, "sin", LF_F32, sin_, sin_, POSITIONS * ROT / 2);
    c.pos = rig_bytes(r, "pos", LF_I32, pos, pos, T);
    c.x = rig_inout_f32(r, "x", T * H * D, 1, FD_ANY);
    c.dx = rig_inout_f32(r, "dx", T * H * D, 1, FD_ANY);
    const float *start = c.dx->init[RIG_REF]; /* dx starts as the gradient that arrives */
    struct mirror *dy = rig_bytes(r, "dy", LF_F32, start, start, T * H * D);
    rig_run_side(r, RIG_REF, backward, &c);
    fd_check(r, &(struct fd){forward, &c, c.x, dy}, c.x, c.dx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_slope)};
    return rig_main_ref(tests, sizeof tests / sizeof *tests);
}
