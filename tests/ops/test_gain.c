/* gain: of some rows a part of another matrix, by the adapter that each row has. */
#include "tests/ops/rig.h"

static const struct rig_limits LIMITS = {.f32 = {1e-12, 1e-6}, .bf16 = {RIG_BF16_ROUNDING, 5e-3}};

#define SLOTS 4
#define N_SITES 3

/* Slots 1 and 3 have a gain at site 1, and at no other. */
static const struct rig_seq seqs[] = {
    {.n = 1, .past = 9, .slot = 1, .cached = true},
    {.n = 1, .past = 2, .slot = -1, .cached = true},
    {.n = 1, .past = 3, .slot = 0, .cached = true},
    {.n = 9, .past = 4, .slot = 3, .cached = true},
    {.n = 40, .slot = 3, .trains = true},
    {.n = 13, .slot = 2},
    {.n = 5, .slot = 1},
};

struct gain_case {
    int N, ldy, site, begin, end;
    struct mirror *y, *z, *sites;
    struct rig_batch batch;
};

static const struct gain_case cases[] = {
    {384, 384, 1, 0, 70},    {64, 200, 1, 0, 70},  {100, 101, 1, 3, 40}, {3000, 3008, 1, 11, 12},
    {8192, 16384, 1, 0, 12}, {384, 384, 0, 0, 70}, {7, 16, 1, 64, 70},
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct gain_case *c = arg;
    struct lf_gain_args a = {.y = rig_at(c->y, side),
                             .z = rig_at(c->z, side),
                             .sites = rig_at(c->sites, side),
                             .batch = &c->batch.side[side],
                             .n_sites = N_SITES,
                             .site = c->site,
                             .N = c->N,
                             .ldy = c->ldy,
                             .begin = c->begin,
                             .end = c->end};
    r->stream[side]->ops->gain(r->stream[side], &a);
}

static void adds_a_part_of_the_product(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gain_case c = cases[i];
        rig_begin(r, "N %d ldy %d rows %d to %d", c.N, c.ldy, c.begin, c.end);
        rig_batch(r, &c.batch, seqs, sizeof seqs / sizeof *seqs, 8);
        struct lf_lora_site *table = rig_host(r, (size_t)2 * SLOTS * N_SITES, sizeof *table);
        for (int slot = 1; slot < SLOTS; slot += 2) {
            const struct mirror *gain = rig_act(r, "gain", (size_t)c.N, 0.3);
            for (int side = 0; side < 2; side++)
                table[(side * SLOTS + slot) * N_SITES + 1].gain = rig_at(gain, side);
        }
        c.sites = rig_bytes(r, "sites", LF_U8, table, table + SLOTS * N_SITES,
                            (size_t)SLOTS * N_SITES * sizeof *table);
        c.y = rig_inout_act(r, "y", (size_t)(c.batch.side[0].T * c.ldy), 1, LIMITS);
        c.z = rig_act(r, "z", (size_t)((c.end - c.begin) * c.N), 1);
        rig_run(r, launch, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adds_a_part_of_the_product)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
