/* attn and attn_bwd: cached and uncached sequences in one batch, grouped heads, windows, capped
 * scores, every head width of the field. lf_attn_cached: the same of what it turns and puts into
 * pages itself. */
#include "tests/ops/rig.h"

#include <math.h>

/* Scores reach 60 in the sharp cases, where an fp32 ulp is 4e-6 and goes into an exponent; and
 * delta subtracts two near things. */
static const struct rig_limits OUT = {.f32 = {3e-11, 1e-4}, .bf16 = {3e-5, 3e-2}};
static const struct rig_limits LSE = {.f32 = {1e-10, 1e-4}, .bf16 = {1e-8, 1e-3}};
static const struct rig_limits GRADIENT = {.f32 = {1e-9, 5e-4}, .bf16 = {2e-4, 6e-2}};

struct attn_case {
    const struct rig_seq *seqs;
    int S, H, Hkv, D, window;
    float softcap;
    double sharp; /* size of q */
    struct rig_batch batch;
    int ldo, ldq, ldkv;
    bool no_lse;
    struct mirror *o, *lse, *q, *k, *v, *k_pages, *v_pages;
    struct mirror *dq, *dk, *dv, *delta, *d_o;
};

static const struct rig_seq lone[] = {{.n = 1, .slot = -1}};
static const struct rig_seq first[] = {{.n = 1, .slot = -1, .cached = true}};
static const struct rig_seq prompt[] = {{.n = 130, .slot = 0}};
static const struct rig_seq decode[] = {
    {.n = 1, .past = 5, .slot = 0, .cached = true},
    {.n = 1, .past = 16, .slot = 1, .cached = true},
    {.n = 1, .past = 300, .slot = 0, .cached = true},
    {.n = 1, .slot = -1, .cached = true},
    {.n = 1, .past = 63, .slot = 2, .cached = true},
};
static const struct rig_seq mixed[] = {
    {.n = 1, .past = 77, .slot = 0, .cached = true},
    {.n = 40, .slot = 0, .cached = true},
    {.n = 19, .past = 45, .slot = 1, .cached = true},
    {.n = 33, .slot = 1},
    {.n = 1, .slot = -1},
    {.n = 65, .slot = 2},
};
static const struct rig_seq far[] = {{.n = 1, .past = 450, .slot = 0, .cached = true},
                                     {.n = 4, .past = 317, .slot = 0, .cached = true},
                                     {.n = 1, .past = 3300, .slot = 0, .cached = true}};
static const struct rig_seq training[] = {
    {.n = 7, .slot = 0}, {.n = 64, .slot = 0},  {.n = 97, .slot = 1},
    {.n = 1, .slot = 2}, {.n = 150, .slot = 3},
};
/* Several tiles of rows and keys, none of them full at the end. */
static const struct rig_seq longer[] = {
    {.n = 290, .past = 333, .slot = 0, .cached = true},
    {.n = 7, .past = 400, .slot = 0, .cached = true},
    {.n = 280, .slot = 0},
    {.n = 129, .slot = 1},
    {.n = 2, .slot = 1},
};
#define SEQS(a) .seqs = a, .S = sizeof(a) / sizeof *(a)

static const struct attn_case cases[] = {
    {SEQS(lone), .H = 1, .Hkv = 1, .D = 32},
    {SEQS(first), .H = 4, .Hkv = 2, .D = 64},
    {SEQS(prompt), .H = 6, .Hkv = 2, .D = 64},
    {SEQS(decode), .H = 6, .Hkv = 2, .D = 64},
    {SEQS(decode), .H = 8, .Hkv = 8, .D = 80},
    {SEQS(decode), .H = 4, .Hkv = 1, .D = 256, .window = 20},
    {SEQS(decode), .H = 32, .Hkv = 8, .D = 128},
    {SEQS(far), .H = 8, .Hkv = 2, .D = 128},
    {SEQS(far), .H = 4, .Hkv = 4, .D = 256, .window = 1500},
    {SEQS(mixed), .H = 4, .Hkv = 4, .D = 32, .window = 9},
    {SEQS(mixed), .H = 4, .Hkv = 2, .D = 96},
    {SEQS(mixed), .H = 2, .Hkv = 1, .D = 256, .softcap = 50, .sharp = 20},
    {SEQS(mixed), .H = 6, .Hkv = 2, .D = 64, .window = 33, .softcap = 20},
    {SEQS(training), .H = 6, .Hkv = 2, .D = 64},
    {SEQS(training), .H = 4, .Hkv = 1, .D = 128, .window = 32},
    {SEQS(training), .H = 2, .Hkv = 2, .D = 80, .softcap = 30, .sharp = 10},
    {SEQS(training), .H = 3, .Hkv = 3, .D = 40, .sharp = 8},
    {SEQS(longer), .H = 4, .Hkv = 2, .D = 128},
    {SEQS(longer), .H = 3, .Hkv = 1, .D = 128, .window = 200, .sharp = 5},
    {SEQS(longer), .H = 4, .Hkv = 2, .D = 64, .window = 65},
    {SEQS(longer), .H = 2, .Hkv = 2, .D = 96, .softcap = 30, .sharp = 10},
};
#define N_CASES (sizeof cases / sizeof *cases)

static void forward(struct rig *r, enum rig_side side, void *arg)
{
    const struct attn_case *c = arg;
    struct lf_attn_args a = {.o = rig_at(c->o, side),
                             .lse = rig_at(c->no_lse ? NULL : c->lse, side),
                             .q = rig_at(c->q, side),
                             .k = rig_at(c->k, side),
                             .v = rig_at(c->v, side),
                             .k_pages = rig_at(c->k_pages, side),
                             .v_pages = rig_at(c->v_pages, side),
                             .batch = &c->batch.side[side],
                             .H = c->H,
                             .Hkv = c->Hkv,
                             .D = c->D,
                             .ldo = c->ldo,
                             .ldq = c->ldq,
                             .ldkv = c->ldkv,
                             .window = c->window,
                             .scale = (float)(1 / sqrt(c->D)),
                             .softcap = c->softcap};
    r->stream[side]->ops->attn(r->stream[side], &a);
}

static void backward(struct rig *r, enum rig_side side, void *arg)
{
    const struct attn_case *c = arg;
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
                                 .H = c->H,
                                 .Hkv = c->Hkv,
                                 .D = c->D,
                                 .ldo = c->ldo,
                                 .ldq = c->ldq,
                                 .ldkv = c->ldkv,
                                 .lddq = c->ldq,
                                 .lddkv = c->ldkv,
                                 .window = c->window,
                                 .scale = (float)(1 / sqrt(c->D)),
                                 .softcap = c->softcap};
    r->stream[side]->ops->attn_bwd(r->stream[side], &a);
}

/* The batch, q, k, v, and the cache with keys and values of the past in it. */
static size_t begin(struct rig *r, struct attn_case *c, size_t i, const char *what)
{
    rig_begin(r, "%s case %zu S %d H %d Hkv %d D %d window %d softcap %g", what, i, c->S, c->H,
              c->Hkv, c->D, c->window, (double)c->softcap);
    rig_batch(r, &c->batch, c->seqs, c->S, 0);
    int gap = i % 2 ? 32 : 0;
    c->ldq = c->H * c->D + gap;
    c->ldkv = c->Hkv * c->D + gap;
    c->ldo = c->H * c->D;
    size_t T = (size_t)c->batch.side[0].T;
    c->q = rig_act(r, "q", T * (size_t)c->ldq, c->sharp > 0 ? c->sharp : 1);
    c->k = rig_act(r, "k", T * (size_t)c->ldkv, 1);
    c->v = rig_act(r, "v", T * (size_t)c->ldkv, 1);
    if (c->batch.side[0].n_cached) {
        size_t n = (size_t)(c->batch.n_pages * c->Hkv * LF_KV_PAGE_TOKENS * c->D);
        c->k_pages = rig_act(r, "k_pages", n, 1);
        c->v_pages = rig_act(r, "v_pages", n, 1);
    }
    return T;
}

static void attends(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct attn_case c = cases[i];
        size_t T = begin(r, &c, i, "forward");
        c.no_lse = i % 3 == 1;
        c.o = rig_out_act(r, "o", T * (size_t)c.ldo, OUT);
        c.lse = c.no_lse ? NULL : rig_out(r, "lse", LF_F32, T * (size_t)c.H, LSE);
        rig_run(r, forward, &c);
    }
}

/* What the last run left on the ref side, as an input of both sides. */
static struct mirror *given(struct rig *r, const char *name, const struct mirror *m, bool act)
{
    float *x = rig_host(r, m->n, sizeof *x);
    for (size_t i = 0; i < m->n; i++)
        x[i] = (float)rig_got(m, RIG_REF, i);
    return act ? rig_act_of(r, name, x, m->n) : rig_bytes(r, name, LF_F32, x, x, m->n);
}

static void carries_gradients_back(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < N_CASES; i++) {
        struct attn_case c = cases[i];
        size_t T = begin(r, &c, i, "backward");
        c.o = rig_out_act(r, "o", T * (size_t)c.ldo, OUT);
        c.lse = rig_out(r, "lse", LF_F32, T * (size_t)c.H, LSE);
        rig_run_side(r, RIG_REF, forward, &c);
        c.o = given(r, "o", c.o, true);
        c.lse = given(r, "lse", c.lse, false);
        c.d_o = rig_act(r, "d_o", T * (size_t)c.ldo, 1);
        c.dq = rig_out_act(r, "dq", T * (size_t)c.ldq, GRADIENT);
        c.dk = rig_out_act(r, "dk", T * (size_t)c.ldkv, GRADIENT);
        c.dv = rig_out_act(r, "dv", T * (size_t)c.ldkv, GRADIENT);
        c.dq->floor = c.dk->floor = 0.1; /* a lone token's are 0, but for rounding */
        c.delta = rig_out(r, "delta", LF_F32, T * (size_t)c.H, GRADIENT);
        c.delta->loose = true;
        rig_run(r, backward, &c);
    }
}

/* Normal numbers, with NaN in the rows of one sequence. */
static struct mirror *act_with_nan(struct rig *r, const char *name, const struct lf_ragged *b,
                                   int ld, const struct lf_seq *ill)
{
    float *x = rig_host(r, (size_t)b->T * (size_t)ld, sizeof *x);
    for (int i = 0; i < b->T * ld; i++) {
        int row = i / ld - ill->start;
        x[i] = row >= 0 && row < ill->n ? NAN : (float)rig_normal(r);
    }
    return rig_act_of(r, name, x, (size_t)b->T * (size_t)ld);
}

static void assert_only_one_is_ill(const struct rig *r, const struct mirror *m,
                                   const struct lf_ragged *b, int ld, int cols,
                                   const struct lf_seq *ill)
{
    for (int t = b->T_cached; t < b->T; t++) {
        if (t >= ill->start && t < ill->start + ill->n)
            continue;
        for (int i = 0; i < cols; i++)
            if (!isfinite(rig_got(m, RIG_DUT, (size_t)t * (size_t)ld + (size_t)i)))
                fail_msg("%s: %s: row %d has a neighbour's NaN", r->label, m->name, t);
    }
}

/* One job of a batch diverges; those before and after it in the same tiles of rows must not. */
static void keeps_nan_in_its_sequence(void **state)
{
    struct rig *r = *state;
    static const struct attn_case nan_cases[] = {{SEQS(longer), .H = 2, .Hkv = 1, .D = 128},
                                                 {SEQS(training), .H = 2, .Hkv = 1, .D = 64}};
    for (size_t i = 0; i < sizeof nan_cases / sizeof *nan_cases; i++) {
        struct attn_case c = nan_cases[i];
        size_t T = begin(r, &c, i, "NaN");
        const struct lf_ragged *b = &c.batch.side[RIG_REF];
        const struct lf_seq *ill = &b->h_seqs[b->S - 2];
        c.q = act_with_nan(r, "ill q", b, c.ldq, ill);
        c.k = act_with_nan(r, "ill k", b, c.ldkv, ill);
        c.v = act_with_nan(r, "ill v", b, c.ldkv, ill);
        c.d_o = act_with_nan(r, "ill d_o", b, c.ldo, ill);
        c.o = rig_out_act(r, "o", T * (size_t)c.ldo, OUT);
        c.lse = rig_out(r, "lse", LF_F32, T * (size_t)c.H, LSE);
        rig_run_side(r, RIG_DUT, forward, &c);
        assert_only_one_is_ill(r, c.o, b, c.ldo, c.ldo, ill);
        rig_run_side(r, RIG_REF, forward, &c);
        c.o = given(r, "given o", c.o, true);
        c.lse = given(r, "given lse", c.lse, false);
        c.dq = rig_out_act(r, "dq", T * (size_t)c.ldq, GRADIENT);
        c.dk = rig_out_act(r, "dk", T * (size_t)c.ldkv, GRADIENT);
        c.dv = rig_out_act(r, "dv", T * (size_t)c.ldkv, GRADIENT);
        c.delta = rig_out(r, "delta", LF_F32, T * (size_t)c.H, GRADIENT);
        rig_run_side(r, RIG_DUT, backward, &c);
        assert_only_one_is_ill(r, c.dq, b, c.ldq, c.H * c.D, ill);
        assert_only_one_is_ill(r, c.dk, b, c.ldkv, c.Hkv * c.D, ill);
        assert_only_one_is_ill(r, c.dv, b, c.ldkv, c.Hkv * c.D, ill);
    }
}

/* ---- With the rotation and the cache's writes ------------------------------------------------ */

#define POSITIONS 4096

static const struct rig_limits EXACT = {{0, 0}, {0, 0}};
static const struct rig_limits ROTATED = {.f32 = {1e-13, 1e-6}, .bf16 = {RIG_BF16_ROUNDING, 1e-2}};

static const struct rig_seq edges[] = {
    {.n = 3, .past = 14, .slot = 0, .cached = true},
    {.n = 4, .past = 60, .slot = 1, .cached = true},
    {.n = 1, .past = 255, .slot = 0, .cached = true},
    {.n = 2, .slot = -1, .cached = true},
    {.n = 1, .past = 240, .slot = 0, .cached = true},
};
/* Prompts from their beginning, and one that goes on. */
static const struct rig_seq prompts[] = {
    {.n = 300, .slot = 0, .cached = true},
    {.n = 20, .past = 150, .slot = 1, .cached = true},
    {.n = 128, .slot = -1, .cached = true},
};

struct turn_case {
    const struct rig_seq *seqs;
    int S, H, Hkv, D, rot, window;
    float softcap;
    struct rig_batch batch;
    struct mirror *qkv, *cos_, *sin_, *o, *k_pages, *v_pages;
};

static const struct turn_case turn_cases[] = {
    {SEQS(first), .H = 4, .Hkv = 2, .D = 64, .rot = 64},
    {SEQS(decode), .H = 32, .Hkv = 8, .D = 128, .rot = 128},
    {SEQS(edges), .H = 8, .Hkv = 2, .D = 128, .rot = 128},
    {SEQS(edges), .H = 4, .Hkv = 1, .D = 256, .rot = 256, .window = 20},
    {SEQS(edges), .H = 5, .Hkv = 5, .D = 80, .rot = 80, .softcap = 20},
    {SEQS(edges), .H = 4, .Hkv = 4, .D = 80, .rot = 32},   /* parts of heads: one after another */
    {SEQS(edges), .H = 35, .Hkv = 35, .D = 32, .rot = 32}, /* more than a large card's units */
    {SEQS(far), .H = 12, .Hkv = 3, .D = 64, .rot = 64},
    {SEQS(far), .H = 32, .Hkv = 8, .D = 128, .rot = 128},
    {SEQS(far), .H = 48, .Hkv = 48, .D = 128, .rot = 128}, /* more than a round of blocks */
    {SEQS(far), .H = 4, .Hkv = 4, .D = 96, .rot = 96, .window = 100},
    {SEQS(decode), .H = 32, .Hkv = 32, .D = 64, .rot = 64}, /* parts on a full card */
    {SEQS(mixed), .H = 4, .Hkv = 2, .D = 64, .rot = 64},
    {SEQS(mixed), .H = 32, .Hkv = 8, .D = 128, .rot = 128},
    {SEQS(mixed), .H = 4, .Hkv = 2, .D = 256, .rot = 256, .window = 60},
    {SEQS(prompts), .H = 4, .Hkv = 2, .D = 64, .rot = 64},
    {SEQS(prompts), .H = 2, .Hkv = 1, .D = 128, .rot = 128},
    {SEQS(prompts), .H = 4, .Hkv = 2, .D = 96, .rot = 96, .window = 100},
};

static void turn_and_attend(struct rig *r, enum rig_side side, void *arg)
{
    const struct turn_case *c = arg;
    const struct lf_ragged *b = &c->batch.side[side];
    int ld = (c->H + 2 * c->Hkv) * c->D;
    size_t es = lf_dtype_bytes(r->stream[side]->dev->act);
    char *q = rig_at(c->qkv, side), *k = q + (size_t)(c->H * c->D) * es;
    char *v = k + (size_t)(c->Hkv * c->D) * es;
    struct lf_rope_args a = {.x = q,
                             .pos = b->pos,
                             .cos_ = rig_at(c->cos_, side),
                             .sin_ = rig_at(c->sin_, side),
                             .T = b->T,
                             .H = c->H + c->Hkv,
                             .D = c->D,
                             .rot = c->rot,
                             .ldx = ld};
    struct lf_kv_write_args w = {.k_pages = rig_at(c->k_pages, side),
                                 .v_pages = rig_at(c->v_pages, side),
                                 .k = k,
                                 .v = v,
                                 .batch = b,
                                 .Hkv = c->Hkv,
                                 .D = c->D,
                                 .ldkv = ld};
    struct lf_attn_args t = {.o = rig_at(c->o, side),
                             .q = q,
                             .k = k,
                             .v = v,
                             .k_pages = w.k_pages,
                             .v_pages = w.v_pages,
                             .batch = b,
                             .H = c->H,
                             .Hkv = c->Hkv,
                             .D = c->D,
                             .ldo = c->H * c->D,
                             .ldq = ld,
                             .ldkv = ld,
                             .window = c->window,
                             .scale = (float)(1 / sqrt(c->D)),
                             .softcap = c->softcap};
    lf_attn_cached(r->stream[side], &a, &w, &t);
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

static void turns_fills_pages_and_attends(void **state)
{
    struct rig *r = *state;
    for (size_t i = 0; i < sizeof turn_cases / sizeof *turn_cases; i++) {
        struct turn_case c = turn_cases[i];
        rig_begin(r, "turned case %zu S %d H %d Hkv %d D %d rot %d window %d softcap %g", i, c.S,
                  c.H, c.Hkv, c.D, c.rot, c.window, (double)c.softcap);
        rig_batch(r, &c.batch, c.seqs, c.S, 0);
        c.cos_ = table(r, "cos", c.rot / 2, cos);
        c.sin_ = table(r, "sin", c.rot / 2, sin);
        size_t T = (size_t)c.batch.side[0].T;
        size_t cache = (size_t)(c.batch.n_pages * c.Hkv * LF_KV_PAGE_TOKENS * c.D);
        c.qkv = rig_inout_act(r, "qkv", T * (size_t)((c.H + 2 * c.Hkv) * c.D), 1, ROTATED);
        c.qkv->scratch = true;
        c.o = rig_out_act(r, "o", T * (size_t)(c.H * c.D), OUT);
        c.k_pages = rig_inout_act(r, "k_pages", cache, 1, ROTATED);
        c.v_pages = rig_inout_act(r, "v_pages", cache, 1, EXACT);
        rig_run(r, turn_and_attend, &c);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(attends),
                                       cmocka_unit_test(carries_gradients_back),
                                       cmocka_unit_test(keeps_nan_in_its_sequence),
                                       cmocka_unit_test(turns_fills_pages_and_attends)};
    return rig_main(argc, argv, tests, sizeof tests / sizeof *tests);
}
