/* rope: whole and partial rotation, forth and back. */
#include "tests/ops/rig.h"

#include <math.h>

#define POSITIONS 4096

static const struct rig_limits LIMITS = {.f32 = {1e-13, 1e-6}, .bf16 = {RIG_BF16_ROUNDING, 1e-2}};

struct rope_case {
    int T, H, D, rot, gap;
    bool inverse;
    struct mirror *x, *pos, *cos_, *sin_;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct rope_case *c = arg;
    struct lf_rope_args a = {.x = rig_at(c->x, side),
                             .pos = rig_at(c->pos, side),
                             .cos_ = rig_at(c->cos_, side),
                             .sin_ = rig_at(c->sin_, side),
                             .T = c->T,
                             .H = c->H,
                             .D = c->D,
                             .rot = c->rot,
                             .ldx = c->H * c->D + c->gap,
                             .inverse = c->inverse};
    r->stream[side]->ops->rope(r->stream[side], &a);
}

static void make_tables(struct rig *r, struct rope_case *c)
{
    int half = c->rot / 2;
    float *table[2];
    for (int k = 0; k < 2; k++) {
        table[k] = rig_host(r, (size_t)POSITIONS * (size_t)half, sizeof(float));
        for (int p = 0; p < POSITIONS; p++)
            for (int i = 0; i < half; i++) {
                double angle = p * pow(10000, -2.0 * i / c->rot);
                table[k][(size_t)p * half + i] = (float)(k ? sin(angle) : cos(angle));
            }
    }
    size_t n = (size_t)POSITIONS * (size_t)half;
    c->cos_ = rig_bytes(r, "cos", LF_F32, table[0], table[0], n);
    c->sin_ = rig_bytes(r, "sin", LF_F32, table[1], table[1], n);
}

static void rotates_halves(void **state)
{
    struct rig *r = *state;
    static const struct rope_case cases[] = {
        {1, 1, 32, 32, 0},         {5, 6, 64, 64, 256},    {33, 2, 80, 32, 0},
        {7, 8, 128, 128, 0, true}, {130, 1, 256, 256, 64}, {9, 32, 96, 96, 192},
        {3, 4, 64, 24, 1, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct rope_case c = cases[i];
        rig_begin(r, "T %d H %d D %d rot %d", c.T, c.H, c.D, c.rot);
        make_tables(r, &c);
        int32_t *pos = rig_host(r, (size_t)c.T, sizeof *pos);
        for (int t = 0; t < c.T; t++)
            pos[t] = t == 0 ? POSITIONS - 1 : rig_int(r, 0, POSITIONS - 1);
        c.pos = rig_bytes(r, "pos", LF_I32, pos, pos, (size_t)c.T);
        c.x = rig_inout_act(r, "x", (size_t)c.T * (size_t)(c.H * c.D + c.gap), 1, LIMITS);
        rig_run(r, launch, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rotates_halves)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
