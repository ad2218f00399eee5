/* norm and norm_bwd: RMSNorm and LayerNorm, over hidden states and over heads, in place or not. */
#include "tests/ops/rig.h"

static const struct rig_limits FORWARD = {.f32 = {1e-12, 1e-5}, .bf16 = {RIG_BF16_ROUNDING, 1e-2}};
static const struct rig_limits BACKWARD = {.f32 = {1e-11, 1e-4}, .bf16 = {1e-5, 2e-2}};

struct norm_case {
    int T, H, C, gap; /* gap: columns between the rows of H * C */
    bool layer_norm, bias, in_place, accumulate;
    bool again; /* backward: y again, in place of dy */
    struct mirror *y, *x, *w, *b, *dx, *dy;
};

static int width(const struct norm_case *c)
{
    return c->H * c->C + c->gap;
}

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct norm_case *c = arg;
    struct lf_norm_args a = {.y = rig_at(c->y, side),
                             .x = rig_at(c->in_place ? c->y : c->x, side),
                             .w = rig_at(c->w, side),
                             .b = rig_at(c->b, side),
                             .layer_norm = c->layer_norm,
                             .T = c->T,
                             .H = c->H,
                             .C = c->C,
                             .ldx = width(c),
                             .ldy = width(c),
                             .eps = 1e-5f};
    r->stream[side]->ops->norm(r->stream[side], &a);
}

static void backward(struct rig *r, enum rig_side side, void *arg)
{
    const struct norm_case *c = arg;
    struct lf_norm_bwd_args a = {.dx = rig_at(c->dx, side),
                                 .dy = rig_at(c->in_place ? c->dx : c->dy, side),
                                 .x = rig_at(c->x, side),
                                 .y = c->again ? rig_at(c->dy, side) : NULL,
                                 .w = rig_at(c->w, side),
                                 .b = rig_at(c->b, side),
                                 .layer_norm = c->layer_norm,
                                 .accumulate = c->accumulate,
                                 .T = c->T,
                                 .H = c->H,
                                 .C = c->C,
                                 .ldx = width(c),
                                 .ldy = width(c),
                                 .lddx = width(c),
                                 .eps = 1e-5f};
    r->stream[side]->ops->norm_bwd(r->stream[side], &a);
}

static const struct norm_case cases[] = {
    {.T = 1, .H = 1, .C = 384},
    {.T = 3, .H = 1, .C = 33, .gap = 5},
    {.T = 65, .H = 1, .C = 2048},
    {.T = 2, .H = 1, .C = 8192},
    {.T = 17, .H = 6, .C = 64, .gap = 256},
    {.T = 5, .H = 2, .C = 256, .in_place = true},
    {.T = 7, .H = 1, .C = 4096, .gap = 2048, .in_place = true}, /* all heads of q at once */
    {.T = 3, .H = 1, .C = 5120, .gap = 2048, .in_place = true},
    {.T = 9, .H = 1, .C = 256, .layer_norm = true, .bias = true},
    {.T = 4, .H = 1, .C = 2560, .layer_norm = true, .bias = true, .gap = 8},
    {.T = 33, .H = 1, .C = 100, .layer_norm = true},
};
#define N_CASES (sizeof cases / sizeof *cases)

static void begin(struct rig *r, struct norm_case *c, const char *what)
{
    rig_begin(r, "%s T %d H %d C %d%s", what, c->T, c->H, c->C, c->layer_norm ? " layer" : "");
    c->w = rig_f32(r, "w", (size_t)c->C, 1);
    c->b = c->bias ? rig_f32(r, "b", (size_t)c->C, 1) : NULL;
}

static void normalizes_rows(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct norm_case c = cases[i];
        size_t n = (size_t)c.T * (size_t)width(&c);
        begin(r, &c, "forward");
        if (c.in_place) {
            c.y = rig_inout_act(r, "y", n, 2, FORWARD);
        } else {
            c.x = rig_act(r, "x", n, 2);
            c.y = rig_out_act(r, "y", n, FORWARD);
        }
        rig_run(r, forward, &c);
    }
}

static void carries_gradients_back(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < 4 * N_CASES; i++) {
        struct norm_case c = cases[i / 4];
        size_t n = (size_t)c.T * (size_t)width(&c);
        c.accumulate = i % 2 && !c.in_place;
        c.again = i % 4 >= 2 && !c.in_place;
        begin(r, &c, "backward");
        c.x = rig_act(r, "x", n, 2);
        c.dy = c.again ? rig_inout_act(r, "dy", n, 1, FORWARD) : rig_act(r, "dy", n, 1);
        c.dx = c.in_place || c.accumulate ? rig_inout_act(r, "dx", n, 1, BACKWARD)
                                          : rig_out_act(r, "dx", n, BACKWARD);
        rig_run(r, backward, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(normalizes_rows),
                                       cmocka_unit_test(carries_gradients_back)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
