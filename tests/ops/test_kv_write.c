/* kv_write: exact copies into scattered pages; other pages and rows stay. rope_kv_write: the same
 * of rotated keys. */
#include "tests/ops/rig.h"

#include <math.h>

static const struct rig_limits EXACT = {{0, 0}, {0, 0}};

static const struct rig_seq seqs[] = {
    {.n = 1, .slot = -1, .cached = true}, {.n = 1, .past = 15, .slot = 0, .cached = true},
    {.n = 20, .past = 12, .slot = -1, .cached = true}, {.n = 64, .slot = -1, .cached = true},
    {.n = 1, .past = 160, .slot = 1, .cached = true},  {.n = 7, .slot = -1},
};
#define S (int)(sizeof seqs / sizeof *seqs)

struct kv_case {
    int Hkv, D, ldkv;
    struct rig_batch batch;
    struct mirror *k, *v, *k_pages, *v_pages;
};

static void launch(struct rig *r, enum rig_side side, void *arg)
{
    const struct kv_case *c = arg;
    struct lf_kv_write_args a = {.k_pages = rig_at(c->k_pages, side),
                                 .v_pages = rig_at(c->v_pages, side), .k = rig_at(c->k, side),
                                 .v = rig_at(c->v, side), .batch = &c->batch.side[side],
                                 .Hkv = c->Hkv, .D = c->D, .ldkv = c->ldkv};
    r->stream[side]->ops->kv_write(r->stream[side], &a);
}

/* The layout of ops.h, spelled out: the definition and the cpu share the code that finds a row. */
static void check_layout(struct rig *r, const struct kv_case *c, const int32_t *pages)
{
    int page_off = 0;
    for (int i = 0, start = 0; i < S && seqs[i].cached; start += seqs[i].n, i++) {
        for (int j = 0; j < seqs[i].n; j++)
            for (int h = 0; h < c->Hkv; h++) {
                int at = seqs[i].past + j, page = pages[page_off + at / 16];
                size_t to = (size_t)(((page * c->Hkv + h) * 16 + at % 16) * c->D);
                size_t from = (size_t)((start + j) * c->ldkv + h * c->D);
                for (size_t d = 0; d < (size_t)c->D; d++)
                    if (rig_got(c->k_pages, RIG_DUT, to + d) !=
                        rig_got(c->k, RIG_DUT, from + d))
                        fail_msg("%s: key %d of sequence %d is elsewhere", r->label, at, i);
            }
        page_off += (seqs[i].past + seqs[i].n + 15) / 16;
    }
}

static void fills_pages(void **state)
{
    struct rig *r = *state;
    static const int shapes[][2] = {{1, 64}, {2, 80}, {8, 128}, {1, 256}, {4, 32}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        struct kv_case c = {.Hkv = shapes[i][0], .D = shapes[i][1]};
        rig_begin(r, "Hkv %d D %d", c.Hkv, c.D);
        rig_batch(r, &c.batch, seqs, S, 0);
        c.ldkv = c.Hkv * c.D + 16 * (int)(i % 2);
        size_t rows = (size_t)c.batch.side[0].T * (size_t)c.ldkv;
        size_t cache = (size_t)(c.batch.n_pages * c.Hkv * LF_KV_PAGE_TOKENS * c.D);
        c.k = rig_act(r, "k", rows, 1);
        c.v = rig_act(r, "v", rows, 1);
        c.k_pages = rig_out_act(r, "k_pages", cache, EXACT);
        c.v_pages = rig_out_act(r, "v_pages", cache, EXACT);
        rig_run(r, launch, &c);
        check_layout(r, &c, rig_init_of(r, "pages"));
    }
}

/* ---- With the rotation ------------------------------------------------------------------------
 */

#define POSITIONS 256

static const struct rig_limits ROTATED = {.f32 = {1e-13, 1e-6}, .bf16 = {RIG_BF16_ROUNDING, 1e-2}};

struct turn_case {
    int H, Hkv, D, rot;
    int n_seqs;
    struct rig_batch batch;
    struct mirror *x, *cos_, *sin_, *k_pages, *v_pages;
};

static void launch_turned(struct rig *r, enum rig_side side, void *arg)
{
    const struct turn_case *c = arg;
    const struct lf_ragged *b = &c->batch.side[side];
    int ld = (c->H + 2 * c->Hkv) * c->D;
    size_t es = lf_dtype_bytes(r->stream[side]->dev->act);
    char *x = rig_at(c->x, side), *k = x + (size_t)(c->H * c->D) * es;
    struct lf_rope_args a = {.x = x, .pos = b->pos, .cos_ = rig_at(c->cos_, side),
                             .sin_ = rig_at(c->sin_, side), .T = b->T, .H = c->H + c->Hkv,
                             .D = c->D, .rot = c->rot, .ldx = ld};
    struct lf_kv_write_args w = {.k_pages = rig_at(c->k_pages, side),
                                 .v_pages = rig_at(c->v_pages, side), .k = k,
                                 .v = k + (size_t)(c->Hkv * c->D) * es, .batch = b,
                                 .Hkv = c->Hkv, .D = c->D, .ldkv = ld};
    lf_rope_kv_write(r->stream[side], &a, &w);
}

static struct mirror *table(struct rig *r, const char *name, int half, double (*of)(double))
{
    size_t n = (size_t)POSITIONS * (size_t)half;
    float *t = rig_host(r, n, sizeof *t);
    for (int p = 0; p < POSITIONS; p++)
        for (int i = 0; i < half; i++)
            t[p * half + i] = (float)of(p * pow(10000, -1.0 * i / half));
    return rig_bytes(r, name, LF_F32, t, t, n);
}

/* Whole heads and parts of them; every token cached, or (the last of seqs) not. */
static void turns_and_fills_pages(void **state)
{
    struct rig *r = *state;
    static const struct turn_case cases[] = {
        {4, 2, 64, 64, S - 1}, {8, 8, 128, 128, S - 1}, {3, 1, 256, 256, S - 1},
        {4, 4, 80, 32, S - 1}, {4, 2, 64, 64, S},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct turn_case c = cases[i];
        rig_begin(r, "H %d Hkv %d D %d rot %d", c.H, c.Hkv, c.D, c.rot);
        rig_batch(r, &c.batch, seqs, c.n_seqs, 0);
        c.cos_ = table(r, "cos", c.rot / 2, cos);
        c.sin_ = table(r, "sin", c.rot / 2, sin);
        size_t row = (size_t)((c.H + 2 * c.Hkv) * c.D);
        size_t cache = (size_t)(c.batch.n_pages * c.Hkv * LF_KV_PAGE_TOKENS * c.D);
        c.x = rig_inout_act(r, "x", (size_t)c.batch.side[0].T * row, 1, ROTATED);
        c.k_pages = rig_out_act(r, "k_pages", cache, ROTATED);
        c.v_pages = rig_out_act(r, "v_pages", cache, EXACT);
        rig_run(r, launch_turned, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fills_pages),
                                       cmocka_unit_test(turns_and_fills_pages)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
