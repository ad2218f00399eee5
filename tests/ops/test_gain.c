/* gain, gain_bwd, gain_grads: of some rows a part of another matrix, by the adapter that each row
 * has. dora, dora_grads: norms, and what follows from them. */
#include "tests/ops/rig.h"

#include <math.h>

static const struct rig_limits LIMITS = {.f32 = {1e-11, 2e-5}, .bf16 = {RIG_BF16_ROUNDING, 1e-2}};

#define SLOTS 4
#define N_SITES 3

/* Slots 1 and 3 have a gain at site 1, and at no other. */
static const struct rig_seq seqs[] = {
    {.n = 1, .past = 9, .slot = 1, .cached = true},
    {.n = 1, .past = 2, .slot = -1, .cached = true},
    {.n = 1, .past = 3, .slot = 0, .cached = true},
    {.n = 9, .past = 4, .slot = 3, .cached = true},
    {.n = 40, .slot = 3, .trains = true},
    {.n = 13, .slot = 2, .trains = true},
    {.n = 5, .slot = 1, .trains = true},
};

struct gain_case {
    int N, ld, site, begin, end;
    struct mirror *y, *z, *sites;
    struct rig_batch batch;
    int which;
};

static const struct gain_case cases[] = {
    {384, 384, 1, 0, 70},    {64, 200, 1, 0, 70},  {100, 101, 1, 3, 40}, {3000, 3008, 1, 11, 12},
    {8192, 16384, 1, 0, 12}, {384, 384, 0, 0, 70}, {7, 16, 1, 64, 70},
};
#define N_CASES (sizeof cases / sizeof *cases)

enum { FORWARD, BACKWARD, GRADIENT };

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct gain_case *c = arg;
    const struct lf_ops *ops = r->stream[side]->ops;
    struct lf_gain_args a = {.y = rig_at(c->y, side),
                             .z = rig_at(c->z, side),
                             .sites = rig_at(c->sites, side),
                             .batch = &c->batch.side[side],
                             .n_sites = N_SITES,
                             .site = c->site,
                             .N = c->N,
                             .ldy = c->ld,
                             .begin = c->begin,
                             .end = c->end};
    (c->which == FORWARD    ? ops->gain
     : c->which == BACKWARD ? ops->gain_bwd
                            : ops->gain_grads)(r->stream[side], &a);
}

static void begin(struct rig *r, struct gain_case *c, int which)
{
    static const char *const names[] = {"forward", "backward", "gradient"};
    c->which = which;
    rig_begin(r, "%s N %d ld %d rows %d to %d", names[which], c->N, c->ld, c->begin, c->end);
    rig_batch(r, &c->batch, seqs, sizeof seqs / sizeof *seqs, 8);
    struct lf_lora_site *table = rig_host(r, (size_t)2 * SLOTS * N_SITES, sizeof *table);
    for (int slot = 1; slot < SLOTS; slot += 2) {
        const struct mirror *gain = rig_act(r, "gain", (size_t)c->N, 0.3);
        const struct mirror *dgain =
            which == GRADIENT ? rig_inout_f32(r, "dgain", (size_t)c->N, 1, LIMITS) : NULL;
        for (int side = 0; side < 2; side++) {
            struct lf_lora_site *site = &table[(side * SLOTS + slot) * N_SITES + 1];
            site->gain = rig_at(gain, side);
            site->dgain = rig_at(dgain, side);
        }
    }
    c->sites = rig_bytes(r, "sites", LF_U8, table, table + SLOTS * N_SITES,
                         (size_t)SLOTS * N_SITES * sizeof *table);
}

static void adds_a_part_of_the_product(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct gain_case c = cases[i];
        begin(r, &c, FORWARD);
        c.y = rig_inout_act(r, "y", (size_t)(c.batch.side[0].T * c.ld), 1, LIMITS);
        c.z = rig_act(r, "z", (size_t)((c.end - c.begin) * c.N), 1);
        rig_run(r, launch, &c);
    }
}

static void carries_gradients_back(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < 2 * N_CASES; i++) {
        struct gain_case c = cases[i / 2];
        size_t n = (size_t)((c.end - c.begin) * c.N);
        begin(r, &c, i % 2 ? GRADIENT : BACKWARD);
        c.y = rig_act(r, "dy", (size_t)(c.batch.side[0].T * c.ld), 1);
        c.z = i % 2 ? rig_act(r, "z", n, 1) : rig_out_act(r, "z", n, LIMITS);
        rig_run(r, launch, &c);
    }
}

/* ---- Norms ----------------------------------------------------------------------------------- */

struct dora_case {
    int N, R;
    bool grads;
    struct mirror *served, *gain, *norm, *db, *dm, *b, *m, *row_sq, *aw, *aa;
};

static void launch_dora(struct rig *r, enum rig_side side, void *arg)
{
    const struct dora_case *c = arg;
    const struct lf_ops *ops = r->stream[side]->ops;
    struct lf_dora_args a = {.served = rig_at(c->served, side),
                             .gain = rig_at(c->gain, side),
                             .norm = rig_at(c->norm, side),
                             .db = rig_at(c->db, side),
                             .dm = rig_at(c->dm, side),
                             .b = rig_at(c->b, side),
                             .m = rig_at(c->m, side),
                             .row_sq = rig_at(c->row_sq, side),
                             .aw = rig_at(c->aw, side),
                             .aa = rig_at(c->aa, side),
                             .N = c->N,
                             .R = c->R,
                             .scale = 0.7f};
    (c->grads ? ops->dora_grads : ops->dora)(r->stream[side], &a);
}

/* Sums of squares of rows W, and their products with A, of K columns, so that norms are norms. */
static void make_products(struct rig *r, struct dora_case *c)
{
    enum { K = 24 };
    size_t N = (size_t)c->N, R = (size_t)c->R;
    float *w = rig_host(r, (N + R) * K, sizeof *w), *a = w + N * K;
    float *row_sq = rig_host(r, N + R * N + R * R, sizeof *row_sq);
    float *aw = row_sq + N, *aa = aw + R * N;
    for (size_t i = 0; i < (N + R) * K; i++)
        w[i] = (float)rig_normal(r);
    for (size_t k = 0; k < K; k++) {
        for (size_t n = 0; n < N; n++)
            row_sq[n] += w[n * K + k] * w[n * K + k];
        for (size_t q = 0; q < R; q++) {
            for (size_t n = 0; n < N; n++)
                aw[q * N + n] += a[q * K + k] * w[n * K + k];
            for (size_t p = 0; p < R; p++)
                aa[q * R + p] += a[q * K + k] * a[p * K + k];
        }
    }
    c->row_sq = rig_bytes(r, "row_sq", LF_F32, row_sq, row_sq, N);
    c->aw = rig_bytes(r, "aw", LF_F32, aw, aw, R * N);
    c->aa = rig_bytes(r, "aa", LF_F32, aa, aa, R * R);
}

static void finds_norms_and_what_follows(void **state)
{
    struct rig *r = *state;
    static const int sizes[][2] = {{64, 1}, {100, 3}, {300, 16}, {33, 64}, {7, 8}};
    for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        struct dora_case c = {.N = sizes[i / 2][0], .R = sizes[i / 2][1], .grads = i % 2};
        size_t N = (size_t)c.N, R = (size_t)c.R;
        rig_begin(r, "%s N %d R %d", c.grads ? "gradients" : "norms", c.N, c.R);
        c.b = rig_f32(r, "b", N * R, 0.3);
        c.m = rig_f32(r, "m", N, 4);
        if (c.grads) {
            float *norm = rig_host(r, N, sizeof *norm);
            for (size_t n = 0; n < N; n++)
                norm[n] = (float)(n % 5 ? 2 + rig_unit(r) : 0);
            c.norm = rig_bytes(r, "norm", LF_F32, norm, norm, N);
            c.db = rig_inout_f32(r, "db", N * R, 1, LIMITS);
            c.dm = rig_inout_f32(r, "dm", N, 1, LIMITS);
        } else {
            make_products(r, &c);
            c.norm = rig_out(r, "norm", LF_F32, N, LIMITS);
            c.gain = rig_out_act(r, "gain", N, LIMITS);
            c.served = rig_out_act(r, "served", N * R, LIMITS);
        }
        rig_run(r, launch_dora, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adds_a_part_of_the_product),
                                       cmocka_unit_test(carries_gradients_back),
                                       cmocka_unit_test(finds_norms_and_what_follows)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
