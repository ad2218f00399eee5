/* lora, lora_bwd, and map with all that goes with it: adapters of different ranks in one batch,
 * empty slots, dropout, segments that share one, rows without any, segments that do not train. */
#include "tests/ops/rig.h"

#include <math.h>

static const struct rig_limits LIMITS = {.f32 = {1e-11, 5e-5}, .bf16 = {5e-5, 4e-2}};

#define SLOTS 6
#define N_SITES 4 /* of which a case uses up to three */

struct lora_case {
    int n, N[LF_GROUP_MAX], K;
    int ranks[SLOTS];
    const struct rig_seq *seqs;
    int S;
    bool no_dx, later; /* later: da and db by lora_grads */
    int rank_max, width, gap;
    int room; /* map: columns behind x's and dy's, and around the copy */
    int col[LF_GROUP_MAX], site[LF_GROUP_MAX];
    struct rig_batch batch;
    struct mirror *sites, *x, *y, *u, *du, *dy, *dx;
    struct lf_weight *w[LF_GROUP_MAX]; /* map */
    bool norm, glu;
    struct mirror *raw, *norm_w, *g, *plus;
    struct mirror *copy; /* the weights unpacked, or NULL */
};

static const struct rig_seq one_token[] = {{.n = 1, .past = 9, .slot = 0, .cached = true}};
static const struct rig_seq two_tokens[] = {{.n = 1, .past = 9, .slot = 2, .cached = true},
                                            {.n = 1, .past = 2, .slot = -1, .cached = true}};
static const struct rig_seq decode[] = {
    {.n = 1, .past = 3, .slot = 2, .cached = true}, {.n = 1, .past = 40, .slot = 0, .cached = true},
    {.n = 1, .past = 7, .slot = 2, .cached = true}, {.n = 1, .past = 1, .slot = -1, .cached = true},
    {.n = 1, .past = 5, .slot = 3, .cached = true}, {.n = 1, .past = 2, .slot = 1, .cached = true},
    {.n = 1, .past = 8, .slot = 1, .cached = true},
};
static const struct rig_seq mixed[] = {
    {.n = 5, .past = 0, .slot = 1, .cached = true},
    {.n = 1, .past = 30, .slot = 4, .cached = true},
    {.n = 70, .slot = 0, .trains = true},
    {.n = 9, .slot = 0, .trains = true},
    {.n = 33, .slot = -1},
    {.n = 64, .slot = 2, .trains = true},
};
static const struct rig_seq training[] = {
    {.n = 40, .slot = 3, .trains = true, .drop_p = 0.3f},
    {.n = 17, .slot = 1, .trains = true},
    {.n = 1, .slot = 1, .trains = true, .drop_p = 0.05f},
    {.n = 130, .slot = 3, .trains = true, .drop_p = 0.05f},
    {.n = 6, .slot = 5, .trains = true},
    {.n = 12, .slot = 0},
};
static const struct rig_seq chunk[] = {
    {.n = 11, .past = 4, .slot = 0, .cached = true},
    {.n = 3, .past = 0, .slot = 4, .cached = true},
    {.n = 1, .past = 0, .slot = -1, .cached = true},
    {.n = 9, .past = 0, .slot = 2, .cached = true},
};
static const struct rig_seq chunks[] = {
    {.n = 30, .slot = 1}, {.n = 25, .slot = 3}, {.n = 21, .slot = 3}, {.n = 14, .slot = 5}};
static const struct rig_seq whole[] = {{.n = 150, .slot = 3, .trains = true}};
#define ONE(s)                                       \
    {                                                \
        .n = 1, .past = 4, .slot = s, .cached = true \
    }
#define EIGHT ONE(0), ONE(1), ONE(2), ONE(3), ONE(4), ONE(5), ONE(-1), ONE(0)
static const struct rig_seq many[] = {EIGHT, EIGHT, EIGHT, EIGHT, EIGHT};
static const struct rig_seq many_and_a_chunk[] = {
    EIGHT, EIGHT, ONE(-1), {.n = 43, .past = 0, .slot = 3, .cached = true}, ONE(1), EIGHT};
static const struct rig_seq long_chunks[] = {
    {.n = 201, .slot = 3}, {.n = 35, .slot = -1}, {.n = 17, .slot = 4}, {.n = 3, .slot = -1}};
static const struct rig_seq no_adapters[] = {{.n = 4, .slot = -1}};
#define SEQS(a) .seqs = a, .S = sizeof(a) / sizeof *(a)

static const struct lora_case cases[] = {
    {1, {384}, 384, {16}, SEQS(one_token)},
    {3, {384, 128, 128}, 384, {8, 16, 3, 1, 64, 8}, SEQS(decode)},
    {2, {1024, 1024}, 384, {16, 0, 8, 16, 4, 1}, SEQS(decode)},
    {2, {64, 96}, 96, {8, 16, 0, 1, 64, 8}, SEQS(mixed)},
    {3, {256, 64, 64}, 256, {16, 8, 8, 16, 16, 16}, SEQS(mixed)},
    {1, {100}, 72, {3, 16, 8, 3, 64, 8}, SEQS(mixed)},
    {1, {384}, 1024, {16, 16, 16, 16, 16, 16}, SEQS(training), .no_dx = true},
    {3, {128, 40, 40}, 160, {8, 3, 16, 64, 1, 0}, SEQS(training)},
    {2, {32, 32}, 64, {8, 8, 8, 128, 8, 32}, SEQS(training)},
    {2, {24, 50}, 100, {8, 8, 8, 5, 8, 32}, SEQS(training)},
    {1, {24}, 1300, {8, 8, 8, 5, 8, 4}, SEQS(training)},
    {3, {512, 256, 128}, 1024, {16, 8, 8, 16, 16, 16}, SEQS(mixed)},
    {2, {640, 640}, 384, {8, 16, 24, 8, 24, 3}, SEQS(mixed)},
    {1, {256}, 640, {64, 8, 40, 8, 80, 8}, SEQS(mixed)},
    {1, {32}, 64, {8}, SEQS(no_adapters)},
    {3, {1160, 128, 136}, 1024, {16, 16, 8, 64, 0, 24}, SEQS(many)},
    {1, {72}, 4360, {8, 16, 4, 32, 2, 128}, SEQS(many_and_a_chunk)},
    {2, {136, 50}, 4500, {8, 16, 3, 32, 20, 8}, SEQS(many_and_a_chunk)},
    {2, {144, 1040}, 512, {8, 8, 8, 48, 16, 8}, SEQS(long_chunks)},
};
#define N_CASES (sizeof cases / sizeof *cases)

/* Of map, over 4-bit weights. */
static const struct lora_case fused_cases[] = {
    {1, {384}, 512, {16}, SEQS(one_token)},
    {3, {384, 128, 128}, 512, {8, 16, 3, 1, 64, 8}, SEQS(decode)},
    {2, {256, 256}, 256, {16, 0, 8, 16, 4, 1}, SEQS(decode)},
    {2, {1008, 1008}, 1536, {16, 0, 8, 16, 4, 1}, SEQS(one_token)},
    {2, {16384, 16384}, 256, {8, 0, 8, 16, 4, 1}, SEQS(two_tokens)},
    {2, {4096, 4096}, 512, {8}, SEQS(no_adapters)},
    {3, {256, 64, 64}, 1024, {8, 8, 5, 16, 32, 16}, SEQS(chunk)},
    {2, {160, 192}, 512, {16, 8, 0, 8, 3, 8}, SEQS(chunks)},
    {2, {64, 96}, 256, {16, 8, 8, 16, 16, 16}, SEQS(mixed)},
    {2, {576, 576}, 4096, {16, 0, 8, 24, 64, 5}, SEQS(many)},
    {2, {1040, 1040}, 512, {16, 16, 8, 32, 8, 16}, SEQS(many_and_a_chunk)},
    {2, {576, 576}, 512, {8, 8, 8, 48, 16, 8}, SEQS(long_chunks)},
    {1, {96}, 160, {8, 8, 8, 8, 8, 8}, SEQS(chunk)},
    {1, {96}, 512, {8}, SEQS(no_adapters)},
    {3, {256, 64, 64}, 512, {8, 3, 16, 8, 1, 0}, SEQS(training), .room = 256},
    {2, {64, 64}, 256, {16, 8, 8, 16, 16, 16}, SEQS(mixed), .room = 128},
    {2, {64, 64}, 256, {16, 8, 8, 16, 16, 16}, SEQS(mixed), .room = 120}, /* too little */
    {2, {256, 384}, 640, {16, 8, 8, 16, 16, 16}, SEQS(mixed), .room = 128},
    {3, {256, 128, 128}, 512, {0, 0, 0, 16, 0, 0}, SEQS(whole), .room = 64},
    {1, {256}, 1024, {0, 0, 0, 32, 0, 0}, SEQS(whole), .room = 64},
    {1, {96}, 512, {0, 0, 0, 40, 0, 0}, SEQS(whole), .room = 40},
    {3, {96, 32, 16}, 256, {0, 0, 0, 5, 0, 0}, SEQS(whole), .room = 16},
};
#define N_FUSED (sizeof fused_cases / sizeof *fused_cases)

static struct lf_lora_args args_of(const struct lora_case *c, enum rig_side side)
{
    struct lf_lora_args a = {.y = rig_at(c->y, side),
                             .u = rig_at(c->u, side),
                             .x = rig_at(c->x, side),
                             .sites = rig_at(c->sites, side),
                             .batch = &c->batch.side[side],
                             .n_sites = N_SITES,
                             .n = c->n,
                             .K = c->K,
                             .ldy = c->width,
                             .ldx = c->K + c->gap};
    for (int p = 0; p < c->n; p++) {
        a.site[p] = c->site[p];
        a.col[p] = c->col[p];
        a.N[p] = c->N[p];
    }
    return a;
}

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    struct lf_lora_args a = args_of(arg, side);
    r->stream[side]->ops->lora(r->stream[side], &a);
}

/* The case's weights into its copy; NULL: without one, or on a side that makes none. */
static void *unpack(struct rig *r, enum rig_side side, const struct lora_case *c)
{
    const struct lf_weight *w[LF_GROUP_MAX];
    struct lf_stream *s = r->stream[side];
    if (!c->copy || !s->ops->copy_weights)
        return NULL;
    for (int p = 0; p < c->n; p++)
        w[p] = &c->w[p][side];
    s->ops->copy_weights(s, rig_at(c->copy, side), c->K + c->room, w, c->n);
    return rig_at(c->copy, side);
}

static void forward_fused(struct rig *r, enum rig_side side, void *arg)
{
    const struct lora_case *c = arg;
    struct lf_lora_args a = args_of(c, side);
    int T = c->batch.side[side].T;
    struct lf_linear_args l = {.y = a.y,
                               .x = a.x,
                               .n = c->n,
                               .T = T,
                               .ldy = a.ldy,
                               .ldx = a.ldx,
                               .accumulate = c->plus != NULL,
                               .copy = unpack(r, side, c),
                               .ldcopy = c->K + c->room,
                               .room = c->room};
    struct lf_norm_args norm = {.y = rig_at(c->x, side),
                                .x = rig_at(c->raw, side),
                                .w = rig_at(c->norm_w, side),
                                .T = T,
                                .H = 1,
                                .C = c->K,
                                .ldx = c->K,
                                .ldy = a.ldx,
                                .eps = 1e-5f};
    struct lf_glu_args glu = {.y = rig_at(c->g, side),
                              .x = a.y,
                              .act = (enum lf_act_kind)(T % 3),
                              .gated = true,
                              .T = T,
                              .F = c->N[0],
                              .ldy = c->N[0],
                              .ldx = c->width};
    struct lf_map_args m = {.norm = c->norm ? &norm : NULL,
                            .linear = &l,
                            .lora = &a,
                            .glu = c->glu ? &glu : NULL,
                            .plus = rig_at(c->plus, side)};
    for (int p = 0; p < c->n; p++) {
        l.w[p] = &c->w[p][side];
        l.col[p] = c->col[p];
    }
    lf_map(r->stream[side], &m);
}

static void map_backward(struct rig *r, enum rig_side side, const struct lora_case *c,
                         const struct lf_lora_bwd_args *a)
{
    struct lf_linear_bwd_args l = {.dx = a->dx,
                                   .dy = a->dy,
                                   .n = c->n,
                                   .T = a->batch->T,
                                   .lddx = a->lddx,
                                   .lddy = a->lddy,
                                   .copy = unpack(r, side, c),
                                   .ldcopy = c->K + c->room,
                                   .room = c->room};
    struct lf_map_bwd_args m = {.linear = &l, .lora = a};
    for (int p = 0; p < c->n; p++) {
        l.w[p] = &c->w[p][side];
        l.col[p] = c->col[p];
    }
    lf_map_bwd(r->stream[side], &m);
}

static void backward(struct rig *r, enum rig_side side, void *arg)
{
    const struct lora_case *c = arg;
    struct lf_lora_bwd_args a = {.dx = rig_at(c->dx, side),
                                 .du = rig_at(c->du, side),
                                 .dy = rig_at(c->dy, side),
                                 .u = rig_at(c->u, side),
                                 .x = rig_at(c->x, side),
                                 .sites = rig_at(c->sites, side),
                                 .batch = &c->batch.side[side],
                                 .n_sites = N_SITES,
                                 .n = c->n,
                                 .K = c->K,
                                 .lddx = c->K + c->gap,
                                 .lddy = c->width,
                                 .ldx = c->K + c->gap};
    for (int p = 0; p < c->n; p++) {
        a.site[p] = c->site[p];
        a.col[p] = c->col[p];
        a.N[p] = c->N[p];
    }
    const void *x = a.x;
    if (c->later)
        a.x = NULL;
    if (!c->w[0])
        r->stream[side]->ops->lora_bwd(r->stream[side], &a);
    else
        map_backward(r, side, c, &a);
    a.x = x;
    if (c->later)
        r->stream[side]->ops->lora_grads(r->stream[side], &a);
}

static bool slot_trains(const struct lora_case *c, int slot)
{
    for (int i = 0; i < c->S; i++)
        if (c->seqs[i].slot == slot && c->seqs[i].trains)
            return true;
    return false;
}

/* One entry of the device tables, with its matrices. */
static void make_site(struct rig *r, const struct lora_case *c, struct lf_lora_site *pair, int slot,
                      int p, bool gradients)
{
    size_t R = (size_t)c->ranks[slot], K = (size_t)c->K, N = (size_t)c->N[p];
    if (R == 0)
        return;
    struct mirror *a = rig_act(r, "A", R * K, 1 / sqrt((double)K));
    struct mirror *b = rig_act(r, "B", N * R, 1 / sqrt((double)R));
    bool trains = gradients && slot_trains(c, slot);
    struct mirror *da = trains ? rig_inout_f32(r, "da", R * K, 1, LIMITS) : NULL;
    struct mirror *db = trains ? rig_inout_f32(r, "db", N * R, 1, LIMITS) : NULL;
    float scale = (float)(0.5 + rig_unit(r));
    int trained = p % 2 ? (c->ranks[slot] + 1) / 2 : c->ranks[slot];
    for (int side = 0; side < 2; side++)
        pair[side * SLOTS * N_SITES] = (struct lf_lora_site){.a = rig_at(a, side),
                                                             .b = rig_at(b, side),
                                                             .da = rig_at(da, side),
                                                             .db = rig_at(db, side),
                                                             .scale = scale,
                                                             .rank = c->ranks[slot],
                                                             .trained = trained};
}

static void begin(struct rig *r, struct lora_case *c, const char *what, bool gradients)
{
    rig_begin(r, "%s n %d N %d K %d S %d first %d", what, c->n, c->N[0], c->K, c->S, c->seqs[0].n);
    for (int slot = 0; slot < SLOTS; slot++)
        for (int i = 0; i < c->S; i++)
            if (c->seqs[i].slot == slot && c->ranks[slot] > c->rank_max)
                c->rank_max = c->ranks[slot];
    rig_batch(r, &c->batch, c->seqs, c->S, c->rank_max);
    struct lf_lora_site *table = rig_host(r, (size_t)2 * SLOTS * N_SITES, sizeof *table);
    c->gap = c->room ? c->room : gradients ? 8 : 0;
    for (int p = 0; p < c->n; p++) {
        c->site[p] = N_SITES - 1 - p;
        c->col[p] = c->width;
        c->width += c->N[p];
        for (int slot = 0; slot < SLOTS; slot++)
            make_site(r, c, &table[slot * N_SITES + c->site[p]], slot, p, gradients);
    }
    c->width += gradients ? c->gap : 0;
    c->sites = rig_bytes(r, "sites", LF_U8, table, table + SLOTS * N_SITES,
                         (size_t)SLOTS * N_SITES * sizeof *table);
    size_t n_x = (size_t)c->batch.side[0].T * (size_t)(c->K + c->gap);
    if (!c->norm) {
        c->x = rig_act(r, "x", n_x, 1);
        c->x->taken = c->room > 0;
        return;
    }
    c->x = rig_out_act(r, "x", n_x, LIMITS);
    c->x->loose = c->room > 0;
    c->raw = rig_act(r, "raw", n_x, 3);
    c->norm_w = rig_f32(r, "norm_w", (size_t)c->K, 1);
}

/* The weights of a map, with a copy of them in every third case of those with room. */
static void begin_weights(struct rig *r, struct lora_case *c, size_t i)
{
    for (int p = 0; p < c->n; p++)
        c->w[p] = rig_weight(
            r, &(struct rig_weight_shape){LF_WEIGHT_Q4, c->N[p], c->K, i % 2, i % 3 != 0, 64});
    if (!c->room || i % 3)
        return;
    c->copy =
        rig_out_act(r, "copy", (size_t)(c->width + c->room) * (size_t)(c->K + c->room), LIMITS);
    c->copy->scratch = true;
}

static void adds_each_segments_adapter(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct lora_case c = cases[i];
        begin(r, &c, "forward", false);
        size_t T = (size_t)c.batch.side[0].T;
        c.u = rig_out_act(r, "u", T * (size_t)(c.n * c.rank_max), LIMITS);
        c.u->loose = true;
        c.y = rig_inout_act(r, "y", T * (size_t)c.width, 1, LIMITS);
        rig_run(r, forward, &c);
    }
}

/* Each case alone, with a norm before it, with an activation behind it where two matrices are
 * alike, with both. */
static void makes_a_map_with_what_stands_around_it(void **state)
{
    struct rig *r = *state;
    for (size_t k = 0; k < 4 * N_FUSED; k++) {
        size_t i = k / 4;
        struct lora_case c = fused_cases[i];
        c.norm = k & 1;
        c.glu = k & 2;
        if (c.glu && (c.n != 2 || c.N[0] != c.N[1]))
            continue;
        begin(r, &c,
              c.norm  ? c.glu ? "norm, map, glu" : "norm, map"
              : c.glu ? "map, glu"
                      : "map",
              false);
        begin_weights(r, &c, k);
        size_t T = (size_t)c.batch.side[0].T;
        c.u = rig_out_act(r, "u", T * (size_t)(c.n * c.rank_max), LIMITS);
        c.u->loose = true;
        c.y = rig_out_act(r, "y", T * (size_t)c.width, LIMITS);
        c.y->scratch = c.glu;
        if (c.room && !c.glu)
            c.plus = rig_act(r, "plus", T * (size_t)c.width, 1);
        if (c.glu)
            c.g = rig_out_act(r, "g", T * (size_t)c.N[0], LIMITS);
        rig_run(r, forward_fused, &c);
    }
}

static void carries_gradients_back(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct lora_case c = cases[i];
        c.later = i % 2;
        begin(r, &c, "backward", true);
        size_t T = (size_t)c.batch.side[0].T;
        c.u = rig_act(r, "u", T * (size_t)(c.n * c.rank_max), 1);
        c.dy = rig_act(r, "dy", T * (size_t)c.width, 1);
        c.du = rig_out_act(r, "du", T * (size_t)(c.n * c.rank_max), LIMITS);
        c.du->loose = true;
        if (!c.no_dx)
            c.dx = rig_inout_act(r, "dx", T * (size_t)(c.K + c.gap), 1, LIMITS);
        rig_run(r, backward, &c);
    }
}

static void carries_gradients_back_through_a_map(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < 2 * N_FUSED; i++) {
        struct lora_case c = fused_cases[i / 2];
        c.later = i % 2;
        begin(r, &c, "map backward", true);
        begin_weights(r, &c, i);
        size_t T = (size_t)c.batch.side[0].T;
        c.u = rig_act(r, "u", T * (size_t)(c.n * c.rank_max), 1);
        c.dy = rig_act(r, "dy", T * (size_t)c.width, 1);
        c.dy->taken = c.room > 0;
        c.du = rig_out_act(r, "du", T * (size_t)(c.n * c.rank_max), LIMITS);
        c.du->loose = true;
        c.dx = rig_out_act(r, "dx", T * (size_t)(c.K + c.gap), LIMITS);
        rig_run(r, backward, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(adds_each_segments_adapter),
                                       cmocka_unit_test(makes_a_map_with_what_stands_around_it),
                                       cmocka_unit_test(carries_gradients_back),
                                       cmocka_unit_test(carries_gradients_back_through_a_map)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
