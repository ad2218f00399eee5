/* kv_write: exact copies into scattered pages; other pages and rows stay. */
#include "tests/ops/rig.h"

static const struct rig_limits EXACT = {{0, 0}, {0, 0}};

static const struct rig_seq seqs[] = {
    {.n = 1, .slot = -1, .cached = true},
    {.n = 1, .past = 15, .slot = 0, .cached = true},
    {.n = 20, .past = 12, .slot = -1, .cached = true},
    {.n = 64, .slot = -1, .cached = true},
    {.n = 1, .past = 160, .slot = 1, .cached = true},
    {.n = 7, .slot = -1},
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
                                 .v_pages = rig_at(c->v_pages, side),
                                 .k = rig_at(c->k, side),
                                 .v = rig_at(c->v, side),
                                 .batch = &c->batch.side[side],
                                 .Hkv = c->Hkv,
                                 .D = c->D,
                                 .ldkv = c->ldkv};
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
                    if (rig_got(c->k_pages, RIG_DUT, to + d) != rig_got(c->k, RIG_DUT, from + d))
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

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(fills_pages)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
