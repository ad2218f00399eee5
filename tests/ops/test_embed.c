/* embed: table rows in fp32 and bf16, scaled or not, by ids and by tokens drawn before. */
#include "tests/ops/rig.h"

static const struct rig_limits LIMITS = {.f32 = {1e-13, 1e-6}, .bf16 = {RIG_BF16_ROUNDING, 5e-3}};

struct embed_case {
    int T, C, V;
    enum lf_weight_kind kind;
    float scale;
    struct mirror *y, *ids, *drawn;
    struct lf_weight *e;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct embed_case *c = arg;
    struct lf_embed_args a = {.y = rig_at(c->y, side),
                              .ids = rig_at(c->ids, side),
                              .drawn = rig_at(c->drawn, side),
                              .e = &c->e[side],
                              .T = c->T,
                              .C = c->C,
                              .scale = c->scale};
    r->stream[side]->ops->embed(r->stream[side], &a);
}

static void rows_are_the_tables(void **state)
{
    struct rig *r = *state;
    static const struct embed_case cases[] = {
        {1, 8, 3, LF_WEIGHT_BF16, 1},          {7, 33, 50, LF_WEIGHT_BF16, 5.65685425f},
        {130, 384, 400, LF_WEIGHT_BF16, 1},    {19, 64, 100, LF_WEIGHT_F32, 1},
        {64, 2048, 77, LF_WEIGHT_F32, 45.25f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct embed_case c = cases[i];
        rig_begin(r, "T %d C %d V %d kind %d", c.T, c.C, c.V, c.kind);
        size_t n = (size_t)c.T;
        int32_t *ids = rig_host(r, n, sizeof *ids), *drawn = rig_host(r, n, sizeof *drawn);
        for (int t = 0; t < c.T; t++) {
            ids[t] = t == 0 ? c.V - 1 : rig_int(r, 0, c.V - 1);
            drawn[t] = rig_int(r, 0, c.V - 1);
            if (t % 3 == 1)
                ids[t] = -1 - rig_int(r, 0, c.T - 1);
        }
        c.ids = rig_bytes(r, "ids", LF_I32, ids, ids, n);
        c.drawn = rig_bytes(r, "drawn", LF_I32, drawn, drawn, n);
        c.e = rig_weight(r, &(struct rig_weight_shape){.kind = c.kind, .N = c.V, .K = c.C});
        c.y = rig_out_act(r, "y", (size_t)c.T * (size_t)c.C, LIMITS);
        rig_run(r, launch, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_the_tables)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
