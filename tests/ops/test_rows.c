/* gather and scatter: exact copies; scatter clears the rows nobody sends to. */
#include "tests/ops/rig.h"

static const struct rig_limits EXACT = {{0, 0}, {0, 0}};

struct rows_case {
    int M, T, C;
    bool scatter;
    int ldy;
    struct mirror *y, *x, *rows;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct rows_case *c = arg;
    struct lf_rows_args a = {.y = rig_at(c->y, side),
                             .x = rig_at(c->x, side),
                             .rows = rig_at(c->rows, side),
                             .M = c->M,
                             .T = c->T,
                             .C = c->C,
                             .ldy = c->ldy};
    if (c->scatter)
        r->stream[side]->ops->scatter(r->stream[side], &a);
    else
        r->stream[side]->ops->gather(r->stream[side], &a);
}

static void moves_rows(void **state)
{
    struct rig *r = *state;
    static const int shapes[][3] = {{1, 1, 8},     {1, 9, 384}, {3, 100, 33},
                                    {64, 64, 256}, {0, 5, 16},  {100, 333, 2048}};
    for (size_t i = 0; i < 2 * sizeof shapes / sizeof *shapes; i++) {
        struct rows_case c = {shapes[i / 2][0], shapes[i / 2][1], shapes[i / 2][2], i % 2};
        c.ldy = c.C + (i % 3 ? 0 : 8);
        rig_begin(r, "%s M %d T %d C %d", c.scatter ? "scatter" : "gather", c.M, c.T, c.C);
        int32_t *rows = rig_host(r, (size_t)c.M, sizeof *rows);
        for (int t = 0, m = 0; t < c.T && m < c.M; t++) /* ascending, each subset as likely */
            if (rig_unit(r) * (c.T - t) < c.M - m)
                rows[m++] = t;
        c.rows = rig_bytes(r, "rows", LF_I32, rows, rows, (size_t)c.M);
        int from = c.scatter ? c.M : c.T, to = c.scatter ? c.T : c.M;
        c.x = rig_act(r, "x", (size_t)from * (size_t)c.C, 1);
        c.y = rig_out_act(r, "y", (size_t)to * (size_t)c.ldy, EXACT);
        rig_run(r, launch, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(moves_rows)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
