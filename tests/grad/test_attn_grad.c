/* Attention's gradients with respect to queries, keys and values: grouped heads, windows, capped
 * scores. */
#include "tests/grad/fd.h"

#include <math.h>

enum { H = 4, HKV = 2, D = 8 };

static const struct rig_seq seqs[] = {
    {.n = 7, .slot = -1}, {.n = 1, .slot = -1}, {.n = 5, .slot = -1}};
enum { S = 3 };

struct attn_case {
    int window;
    float softcap;
    struct rig_batch batch;
    struct mirror *o, *lse, *q, *k, *v, *dq, *dk, *dv, *delta, *d_o;
};

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct attn_case *c = arg;
    struct lf_attn_args a = {.o = rig_at(c->o, side),
                             .lse = rig_at(c->lse, side),
                             .q = rig_at(c->q, side),
                             .k = rig_at(c->k, side),
                             .v = rig_at(c->v, side),
                             .batch = &c->batch.side[side],
                             .H = H,
                             .Hkv = HKV,
                             .D = D,
                             .ldo = H * D,
                             .ldq = H * D,
                             .ldkv = HKV * D,
                             .window = c->window,
                             .scale = (float)(1 / sqrt(D)),
                             .softcap = c->softcap};
    r->stream[side]->ops->attn(r->stream[side], &a);
}

static void both(struct rig *r, enum rig_side side, void *arg)
{
    const struct attn_case *c = arg;
    forward(r, side, arg);
    struct lf_attn_bwd_args a = {.dq = rig_at(c->dq, side),
                                 .dk = rig_at(c->dk, side),
                                 .dv = rig_at(c->dv, side),
                                 .delta = rig_at(c->delta, side),
                                 .d_o = rig_at(c->d_o, side),
                                 .o = rig_at(c->o, side),
                                 .q = rig_at(c->q, side),
                                 .k = rig_at(c->k, side),
                                 .v = rig_at(c->v, side),
                                 .lse = rig_at(c->lse, side),
                                 .batch = &c->batch.side[side],
                                 .H = H,
                                 .Hkv = HKV,
                                 .D = D,
                                 .ldo = H * D,
                                 .ldq = H * D,
                                 .ldkv = HKV * D,
                                 .lddq = H * D,
                                 .lddkv = HKV * D,
                                 .window = c->window,
                                 .scale = (float)(1 / sqrt(D)),
                                 .softcap = c->softcap};
    r->stream[side]->ops->attn_bwd(r->stream[side], &a);
}

static void is_the_slope(void **state)
{
    struct rig *r = *state;
    static const struct attn_case cases[] = {
        {.window = 0}, {.window = 3}, {.softcap = 1.5f}, {.window = 2, .softcap = 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct attn_case c = cases[i];
        rig_begin(r, "window %d softcap %g", c.window, (double)c.softcap);
        rig_batch(r, &c.batch, seqs, S, 0);
        size_t T = (size_t)c.batch.side[0].T;
        c.q = rig_f32(r, "q", T * H * D, 1);
        c.k = rig_f32(r, "k", T * HKV * D, 1);
        c.v = rig_f32(r, "v", T * HKV * D, 1);
        c.d_o = rig_f32(r, "d_o", T * H * D, 1);
        c.o = rig_out(r, "o", LF_F32, T * H * D, FD_ANY);
        c.lse = rig_out(r, "lse", LF_F32, T * H, FD_ANY);
        c.delta = rig_out(r, "delta", LF_F32, T * H, FD_ANY);
        c.dq = rig_out(r, "dq", LF_F32, T * H * D, FD_ANY);
        c.dk = rig_out(r, "dk", LF_F32, T * HKV * D, FD_ANY);
        c.dv = rig_out(r, "dv", LF_F32, T * HKV * D, FD_ANY);
        struct fd f = {forward, &c, c.o, c.d_o};
        rig_run_side(r, RIG_REF, both, &c);
        fd_check(r, &f, c.q, c.dq);
        rig_run_side(r, RIG_REF, both, &c);
        fd_check(r, &f, c.k, c.dk);
        rig_run_side(r, RIG_REF, both, &c);
        fd_check(r, &f, c.v, c.dv);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(is_the_slope)};
    return rig_main_ref(tests, sizeof tests / sizeof *tests);
}
