/* LoRA's gradients with respect to A, B and the input, through dropout, for two adapters in one
 * batch of which one has two segments. */
#include "tests/grad/fd.h"

#include <math.h>

enum { SLOTS = 2, SITES = 2, K = 12, R_MAX = 4 };

static const int N[SITES] = {5, 6};
static const int ranks[SLOTS] = {3, R_MAX};
enum { WIDTH = 11 };

static const struct rig_seq seqs[] = {
    {.n = 4, .slot = 0, .trains = true, .drop_p = 0.3f},
    {.n = 3, .slot = 1, .trains = true},
    {.n = 2, .slot = -1},
    {.n = 3, .slot = 0, .trains = true, .drop_p = 0.1f},
};
enum { S = 4 };

struct lora_case {
    struct rig_batch batch;
    struct mirror *a[SLOTS][SITES], *b[SLOTS][SITES], *da[SLOTS][SITES], *db[SLOTS][SITES];
    struct mirror *sites, *x, *y, *u, *du, *dy, *dx;
};

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct lora_case *c = arg;
    struct lf_lora_args a = {.y = rig_at(c->y, side),
                             .u = rig_at(c->u, side),
                             .x = rig_at(c->x, side),
                             .sites = rig_at(c->sites, side),
                             .batch = &c->batch.side[side],
                             .n_sites = SITES,
                             .site = {0, 1},
                             .col = {0, N[0]},
                             .N = {N[0], N[1]},
                             .n = 2,
                             .K = K,
                             .ldy = WIDTH,
                             .ldx = K};
    r->stream[side]->ops->lora(r->stream[side], &a);
}

static void both(struct rig *r, enum rig_side side, void *arg)
{
    const struct lora_case *c = arg;
    forward(r, side, arg);
    struct lf_lora_bwd_args a = {.dx = rig_at(c->dx, side),
                                 .du = rig_at(c->du, side),
                                 .dy = rig_at(c->dy, side),
                                 .u = rig_at(c->u, side),
                                 .x = rig_at(c->x, side),
                                 .sites = rig_at(c->sites, side),
                                 .batch = &c->batch.side[side],
                                 .n_sites = SITES,
                                 .site = {0, 1},
                                 .col = {0, N[0]},
                                 .N = {N[0], N[1]},
                                 .n = 2,
                                 .K = K,
                                 .lddx = K,
                                 .lddy = WIDTH,
                                 .ldx = K};
    r->stream[side]->ops->lora_bwd(r->stream[side], &a);
}

/* An accumulated gradient that starts at 0. */
static struct mirror *zeros(struct rig *r, const char *name, size_t n)
{
    return rig_inout_f32(r, name, n, 0, FD_ANY);
}

static void make_sites(struct rig *r, struct lora_case *c)
{
    struct lf_lora_site table[SLOTS * SITES] = {0};
    for (int i = 0; i < SLOTS * SITES; i++) {
        int slot = i / SITES, p = i % SITES, R = ranks[slot];
        size_t n_a = (size_t)(R * K), n_b = (size_t)(N[p] * R);
        c->a[slot][p] = rig_f32(r, "A", n_a, 0.5);
        c->b[slot][p] = rig_f32(r, "B", n_b, 0.5);
        c->da[slot][p] = zeros(r, "da", n_a);
        c->db[slot][p] = zeros(r, "db", n_b);
        table[i] = (struct lf_lora_site){.a = rig_at(c->a[slot][p], RIG_REF),
                                         .b = rig_at(c->b[slot][p], RIG_REF),
                                         .da = rig_at(c->da[slot][p], RIG_REF),
                                         .db = rig_at(c->db[slot][p], RIG_REF),
                                         .scale = 0.5f + (float)slot,
                                         .rank = R,
                                         .trained = R};
    }
    c->sites = rig_bytes(r, "sites", LF_U8, table, table, sizeof table);
}

static void is_the_slope(void **state)
{
    struct rig *r = *state;
    struct lora_case c;
    rig_begin(r, "two adapters");
    rig_batch(r, &c.batch, seqs, S, R_MAX);
    make_sites(r, &c);
    size_t T = (size_t)c.batch.side[0].T;
    c.x = rig_f32(r, "x", T * K, 1);
    c.dy = rig_f32(r, "dy", T * WIDTH, 1);
    c.y = zeros(r, "y", T * WIDTH);
    c.u = rig_out(r, "u", LF_F32, T * SITES * R_MAX, FD_ANY);
    c.du = rig_out(r, "du", LF_F32, T * SITES * R_MAX, FD_ANY);
    c.dx = zeros(r, "dx", T * K);
    struct fd f = {forward, &c, c.y, c.dy};
    rig_run_side(r, RIG_REF, both, &c);
    fd_check(r, &f, c.x, c.dx);
    for (int i = 0; i < SLOTS * SITES; i++) {
        int slot = i / SITES, p = i % SITES;
        rig_run_side(r, RIG_REF, both, &c);
        fd_check(r, &f, c.a[slot][p], c.da[slot][p]);
        rig_run_side(r, RIG_REF, both, &c);
        fd_check(r, &f, c.b[slot][p], c.db[slot][p]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_slope)};
    return rig_main_ref(tests, sizeof tests / sizeof *tests);
}
