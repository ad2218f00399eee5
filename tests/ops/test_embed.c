/* embed: table rows in fp32 and bf16, scaled or not, by ids and by tokens drawn before. */
#include "tests/ops/rig.h"

#include "gpu/ops/embed/noise.h"

#include <math.h>

static const struct rig_limits LIMITS = {.f32 = {1e-13, 1e-6}, .bf16 = {RIG_BF16_ROUNDING, 5e-3}};

struct embed_case {
    int T, C, V;
    enum lf_weight_kind kind;
    float scale;
    struct mirror *y, *ids, *drawn;
    struct lf_weight *e;
    struct rig_batch *batch;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct embed_case *c = arg;
    struct lf_embed_args a = {.y = rig_at(c->y, side),
                              .ids = rig_at(c->ids, side),
                              .drawn = rig_at(c->drawn, side),
                              .e = &c->e[side],
                              .batch = c->batch ? &c->batch->side[side] : NULL,
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

/* NEFTune's noise is in the sequences that have it, and of the size that they say. */
static void noise_is_the_sequences(void **state)
{
    struct rig *r = *state;
    static const struct rig_seq seqs[] = {{.n = 5, .slot = -1, .noise = 0.5f},
                                          {.n = 70, .slot = -1},
                                          {.n = 1, .slot = -1, .noise = 2}};
    for (int C = 8; C <= 2056; C = C * 16 + 5) {
        struct embed_case c = {76, C, 9, LF_WEIGHT_BF16, 3, .drawn = NULL};
        struct rig_batch batch;
        rig_begin(r, "noise, C %d", C);
        rig_batch(r, &batch, seqs, 3, 0);
        int32_t *ids = rig_host(r, 76, sizeof *ids);
        for (int t = 0; t < 76; t++)
            ids[t] = rig_int(r, 0, c.V - 1);
        c.batch = &batch;
        c.ids = rig_bytes(r, "ids", LF_I32, ids, ids, 76);
        c.drawn = rig_bytes(r, "drawn", LF_I32, ids, ids, 76);
        c.e = rig_weight(r, &(struct rig_weight_shape){.kind = c.kind, .N = c.V, .K = C});
        c.y = rig_out_act(r, "y", (size_t)76 * (size_t)C, LIMITS);
        rig_run(r, launch, &c);
    }
}

static void noise_is_uniform_and_by_its_key(void **state)
{
    (void)state;
    struct lf_seq a = {.noise = 0.25f, .drop_key = 7}, b = {.noise = 0.25f, .drop_key = 8};
    double sum = 0, squares = 0;
    int n = 0, same = 0;
    for (int pos = 0; pos < 40; pos++)
        for (int c = 0; c < 100; c++, n++) {
            float x = lf_embed_noise(&a, pos, 100, c);
            assert_true(fabsf(x) <= 0.25f);
            assert_true(x == lf_embed_noise(&a, pos, 100, c));
            same += x == lf_embed_noise(&b, pos, 100, c);
            sum += x;
            squares += x * x;
        }
    assert_true(same < 5);
    /* Of a uniform variable in +-1/4: mean 0, variance 1/48; 4,000 draws, four standard errors. */
    assert_true(fabs(sum / n) < 4 * sqrt(1.0 / 48 / n));
    assert_true(fabs(squares / n - 1.0 / 48) < 4 * sqrt((1.0 / 1280 - 1.0 / 2304) / n));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(rows_are_the_tables),
                                       cmocka_unit_test(noise_is_the_sequences),
                                       cmocka_unit_test(noise_is_uniform_and_by_its_key)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
