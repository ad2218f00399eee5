/* LIBS: lf_gpu lf_core */
/* The cpu's operations: what a token gets is the same bytes whatever tokens are beside it, and
 * however many of its sequence come at once. Every instruction set that this machine runs. */
#include "core/num.h"
#include "core/rng.h"
#include "gpu/backend.h"
#include "gpu/device.h"
#include "gpu/nf4.h"
#include "gpu/ops.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define TOKENS 130
#define OTHERS 3 /* rows that come first in a batch and belong to somebody else */
#define SITES 2

static const char *isa; /* the instruction set whose turn it is */

struct rig {
    struct lf_device *dev;
    struct lf_stream *stream;
    float *x; /* (OTHERS + TOKENS, ldx): rows of others, then the sequence's */
    float *y; /* (OTHERS + TOKENS, ldy) */
    size_t ldx, ldy;
    uint64_t draws;
};

/* Rows [first, first + n) of the sequence, behind n_others rows of others: y of all of them. */
typedef void (*operation)(struct rig *r, void *what, int first, int n, int n_others);

static float draw(struct rig *r)
{
    float u = lf_rng_unit(lf_rng_u32(1, r->draws, 0)) - 0.5F;
    return r->draws++ % 97 == 0 ? 50 * u : u;
}

static float *numbers(struct rig *r, size_t n)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = draw(r);
    return x;
}

static void rig_open(struct rig *r, enum lf_cpu_products products, size_t ldx, size_t ldy)
{
    struct lf_diag diag;
    struct lf_device_options o = {.threads = 2, .cpu_products = products};
    *r = (struct rig){.ldx = ldx, .ldy = ldy};
    assert_int_equal(lf_device_open(&r->dev, LF_DEVICE_CPU, &o, &diag), LF_OK);
    assert_true(lf_cpu_use(r->dev, isa));
    assert_int_equal(lf_stream_new(&r->stream, r->dev, 0, &diag), LF_OK);
    r->x = numbers(r, (OTHERS + TOKENS) * ldx);
    r->y = calloc((OTHERS + TOKENS) * ldy, sizeof *r->y);
    assert_non_null(r->y);
}

static void rig_close(struct rig *r)
{
    lf_stream_free(r->stream);
    lf_device_free(r->dev);
    free(r->x);
    free(r->y);
}

/* Where rows of a batch lie: those of others where the sequence's rows before `first` would. */
static const float *input(const struct rig *r, int first, int n_others)
{
    return r->x + (size_t)(OTHERS + first - n_others) * r->ldx;
}

/* Each token alone, then by pieces of every size that some form begins or ends at, and others. */
static void check(struct rig *r, operation run, void *what, const char *name)
{
    static const int sizes[] = {2, 3, 4, 5, 6, 7, 13, 16, 18, 31, 32, 33, 64, 65, 130};
    size_t row = r->ldy * sizeof *r->y;
    float *alone = malloc(TOKENS * row);
    assert_non_null(alone);
    for (int t = 0; t < TOKENS; t++) {
        run(r, what, t, 1, 0);
        memcpy(alone + (size_t)t * r->ldy, r->y, row);
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int n = sizes[i], first = 0; first + n <= TOKENS;
             first += first ? lf_max_int(n, 11) : lf_min_int(n, 5)) {
            int n_others = n % 2 ? OTHERS : 0;
            run(r, what, first, n, n_others);
            for (int t = 0; t < n; t++)
                if (memcmp(alone + (size_t)(first + t) * r->ldy,
                           r->y + (size_t)(n_others + t) * r->ldy, row) != 0)
                    fail_msg("%s: token %d of [%d, %d) behind %d others", name, first + t, first,
                             first + n, n_others);
        }
    free(alone);
}

/* ---- Linear maps ---- */

struct map {
    struct lf_weight w;
    float *data, *absmax2, *absmax, *bias;
    uint8_t *absmax_q;
};

static struct map map_of(struct rig *r, enum lf_weight_kind kind, int N, int K, int block)
{
    size_t n = (size_t)N * (size_t)K;
    struct map m = {.w = {.kind = kind, .N = N, .K = K}};
    m.w.data = m.data = numbers(r, n);
    m.w.bias = m.bias = numbers(r, (size_t)N);
    if (kind == LF_WEIGHT_BF16)
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;
            memcpy(&bits, &m.data[i], sizeof bits);
            ((uint16_t *)m.data)[i] = (uint16_t)(bits >> 16);
        }
    if (kind != LF_WEIGHT_Q4)
        return m;
    for (size_t i = 0; i < n / 2; i++)
        ((uint8_t *)m.data)[i] = (uint8_t)lf_rng_u32(2, i, 0);
    m.absmax_q = malloc(n / 32);
    assert_non_null(m.absmax_q);
    for (size_t i = 0; i < n / 32; i++)
        m.absmax_q[i] = (uint8_t)lf_rng_u32(3, i, 0);
    m.absmax2 = numbers(r, n / 32 / 256 + 1);
    m.absmax = numbers(r, n / 32);
    m.w.block = block;
    m.w.code = lf_nf4_code;
    m.w.absmax_q = m.absmax_q;
    m.w.absmax_code = lf_dynamic_map;
    m.w.absmax2 = m.absmax2;
    m.w.block2 = 256;
    m.w.offset = 0.03F;
    if (block == 32)
        m.w.absmax = m.absmax;
    return m;
}

static void map_free(struct map *m)
{
    free(m->data);
    free(m->absmax2);
    free(m->absmax);
    free(m->bias);
    free(m->absmax_q);
}

static void run_linear(struct rig *r, void *what, int first, int n, int n_others)
{
    struct map *m = what;
    struct lf_linear_args a = {.y = r->y,
                               .x = input(r, first, n_others),
                               .w = {&m->w},
                               .n = 1,
                               .T = n_others + n,
                               .T_fast = n_others + n,
                               .ldy = (int)r->ldy,
                               .ldx = (int)r->ldx};
    r->stream->ops->linear(r->stream, &a);
}

static void check_linear(enum lf_weight_kind kind, int N, int K, int block,
                         enum lf_cpu_products products)
{
    char name[96];
    struct rig r;
    rig_open(&r, products, (size_t)K, (size_t)N);
    struct map m = map_of(&r, kind, N, K, block);
    snprintf(name, sizeof name, "weights %d of (%d, %d), blocks of %d, products %d", (int)kind, N,
             K, block, (int)products);
    check(&r, run_linear, &m, name);
    map_free(&m);
    rig_close(&r);
}

static void linear_maps(void **state)
{
    (void)state;
    static const enum lf_cpu_products products[] = {LF_CPU_INT16, LF_CPU_INT8, LF_CPU_FP32};
    check_linear(LF_WEIGHT_F32, 37, 1104, 0, LF_CPU_FP32);
    check_linear(LF_WEIGHT_F32, 35, 75, 0, LF_CPU_FP32);
    check_linear(LF_WEIGHT_BF16, 37, 1104, 0, LF_CPU_FP32);
    check_linear(LF_WEIGHT_BF16, 37, 75, 0, LF_CPU_FP32);
    for (size_t i = 0; i < sizeof products / sizeof *products; i++) {
        check_linear(LF_WEIGHT_Q4, 37, 1344, 64, products[i]);
        check_linear(LF_WEIGHT_Q4, 19, 640, 128, products[i]);
        check_linear(LF_WEIGHT_Q4, 37, 384, 64, products[i]); /* less than a run of blocks */
    }
    for (size_t i = 0; i < 2; i++) /* more columns than go together */
        check_linear(LF_WEIGHT_Q4, 9, 16960, 64, products[i]);
    check_linear(LF_WEIGHT_Q4, 5, 5440, 64, LF_CPU_FP32); /* more columns than go together */
    check_linear(LF_WEIGHT_Q4, 37, 1056, 32, LF_CPU_FP32);
    check_linear(LF_WEIGHT_Q4, 36, 40, 64, LF_CPU_FP32); /* rows that begin within a block */
}

/* ---- Adapters ---- */

struct adapters {
    struct lf_lora_site sites[2 * SITES];
    float *a, *b, *gain, *u, *z;
    int rank, K, N;
};

/* A batch of n_others rows of slot 1 and a sequence's n of slot 0. */
struct batch {
    struct lf_seq seqs[2];
    struct lf_lora_seg segs[2];
    int32_t seq[OTHERS + TOKENS], pos[OTHERS + TOKENS];
    struct lf_ragged ragged;
};

static void batch_make(struct batch *b, int first, int n, int n_others)
{
    int S = 0;
    if (n_others) {
        b->seqs[S] = (struct lf_seq){.n = n_others, .past = 20, .slot = 1};
        b->segs[S++] = (struct lf_lora_seg){.end = n_others, .slot = 1};
    }
    b->seqs[S] = (struct lf_seq){.start = n_others, .n = n, .past = first};
    b->segs[S++] = (struct lf_lora_seg){.start = n_others, .end = n_others + n};
    for (int t = 0; t < n_others + n; t++) {
        b->seq[t] = t < n_others ? 0 : S - 1;
        b->pos[t] = t < n_others ? 20 + t : first + t - n_others;
    }
    b->ragged = (struct lf_ragged){.T = n_others + n,
                                   .S = S,
                                   .n_segs = S,
                                   .pos = b->pos,
                                   .seq = b->seq,
                                   .seqs = b->seqs,
                                   .segs = b->segs,
                                   .h_seqs = b->seqs,
                                   .h_segs = b->segs,
                                   .n_max = n,
                                   .kv_max = first + n};
}

static void run_lora(struct rig *r, void *what, int first, int n, int n_others)
{
    struct adapters *d = what;
    struct batch b;
    batch_make(&b, first, n, n_others);
    b.ragged.rank_max = d->rank;
    struct lf_lora_args a = {.y = r->y,
                             .u = d->u,
                             .x = input(r, first, n_others),
                             .sites = d->sites,
                             .batch = &b.ragged,
                             .n_sites = SITES,
                             .site = {0, 1},
                             .col = {0, d->N},
                             .N = {d->N, d->N},
                             .n = 2,
                             .K = d->K,
                             .ldy = (int)r->ldy,
                             .ldx = (int)r->ldx};
    for (size_t i = 0; i < (size_t)(n_others + n) * r->ldy; i++)
        r->y[i] = (float)(i % r->ldy);
    r->stream->ops->lora(r->stream, &a);
    struct lf_gain_args g = {.y = r->y,
                             .z = d->z + (size_t)first * (size_t)d->N,
                             .sites = d->sites,
                             .batch = &b.ragged,
                             .n_sites = SITES,
                             .N = d->N,
                             .ldy = (int)r->ldy,
                             .begin = n_others,
                             .end = n_others + n};
    r->stream->ops->gain(r->stream, &g);
}

static void check_lora(int rank, int N, int K)
{
    char name[64];
    struct rig r;
    rig_open(&r, LF_CPU_INT16, (size_t)K, (size_t)(2 * N));
    struct adapters d = {.rank = rank, .K = K, .N = N};
    d.a = numbers(&r, (size_t)(rank * K));
    d.b = numbers(&r, (size_t)(rank * N));
    d.gain = numbers(&r, (size_t)N);
    d.z = numbers(&r, (size_t)(TOKENS * N));
    d.u = calloc((size_t)((OTHERS + TOKENS) * 2 * rank), sizeof *d.u);
    assert_non_null(d.u);
    for (int i = 0; i < 2 * SITES; i++)
        d.sites[i] = (struct lf_lora_site){
            .a = d.a, .b = d.b, .scale = 0.3F, .rank = rank, .gain = i % 2 ? NULL : d.gain};
    snprintf(name, sizeof name, "rank %d of (%d, %d)", rank, N, K);
    check(&r, run_lora, &d, name);
    free(d.a);
    free(d.b);
    free(d.gain);
    free(d.z);
    free(d.u);
    rig_close(&r);
}

static void adapters(void **state)
{
    (void)state;
    check_lora(8, 70, 1104);
    check_lora(16, 1040, 96);
    check_lora(21, 37, 75);
}

/* ---- Attention ---- */

#define PAGES (TOKENS / LF_KV_PAGE_TOKENS + 1)

struct attention {
    float *k_pages, *v_pages;
    int32_t pages[PAGES];
    int H, Hkv, D, window;
    float softcap;
};

static void run_attn(struct rig *r, void *what, int first, int n, int n_others)
{
    struct attention *d = what;
    struct batch b;
    batch_make(&b, first, n, n_others);
    b.ragged.pages = d->pages;
    struct lf_attn_args a = {.o = r->y,
                             .q = input(r, first, n_others),
                             .k_pages = d->k_pages,
                             .v_pages = d->v_pages,
                             .batch = &b.ragged,
                             .H = d->H,
                             .Hkv = d->Hkv,
                             .D = d->D,
                             .ldo = (int)r->ldy,
                             .ldq = (int)r->ldx,
                             .window = d->window,
                             .scale = 0.2F,
                             .softcap = d->softcap};
    r->stream->ops->attn(r->stream, &a);
}

static void check_attn(int H, int Hkv, int D, int window, float softcap)
{
    char name[96];
    struct rig r;
    struct attention d = {.H = H, .Hkv = Hkv, .D = D, .window = window, .softcap = softcap};
    rig_open(&r, LF_CPU_INT16, (size_t)(H * D), (size_t)(H * D));
    d.k_pages = numbers(&r, (size_t)(PAGES * Hkv * LF_KV_PAGE_TOKENS * D));
    d.v_pages = numbers(&r, (size_t)(PAGES * Hkv * LF_KV_PAGE_TOKENS * D));
    for (int i = 0; i < PAGES; i++)
        d.pages[i] = PAGES - 1 - i;
    snprintf(name, sizeof name, "%d heads of %d, %d, window %d", H, D, Hkv, window);
    check(&r, run_attn, &d, name);
    free(d.k_pages);
    free(d.v_pages);
    rig_close(&r);
}

static void attention(void **state)
{
    (void)state;
    check_attn(4, 2, 64, 0, 0);
    check_attn(3, 1, 40, 0, 0);
    check_attn(10, 1, 32, 37, 5);
    check_attn(2, 2, 24, 70, 0);
}

/* Scores as a diverging training has them, where a rounding is a hundred. Backward makes them
 * again: the same ones, to the bit, or a probability would be what exp makes of the difference. */
static void slopes_of_large_scores_are_finite(void **state)
{
    (void)state;
    enum { D = 64, H = 2 };
    struct rig r;
    rig_open(&r, LF_CPU_FP32, (size_t)H * D, (size_t)H * D);
    size_t n = (size_t)TOKENS * H * D;
    float *q = numbers(&r, n), *k = numbers(&r, n), *v = numbers(&r, n), *d_o = numbers(&r, n);
    float *out = calloc(3 * n, sizeof *out), lse[TOKENS * H], delta[TOKENS * H];
    struct batch b;
    assert_non_null(out);
    batch_make(&b, 0, TOKENS, 0);
    b.seqs[0].page_off = -1;
    for (size_t i = 0; i < n; i++)
        q[i] *= 1e9F;
    struct lf_attn_args a = {.o = r.y,
                             .lse = lse,
                             .q = q,
                             .k = k,
                             .v = v,
                             .batch = &b.ragged,
                             .H = H,
                             .Hkv = H,
                             .D = D,
                             .ldo = H * D,
                             .ldq = H * D,
                             .ldkv = H * D,
                             .scale = 0.125F};
    struct lf_attn_bwd_args s = {.dq = out,
                                 .dk = out + n,
                                 .dv = out + 2 * n,
                                 .delta = delta,
                                 .d_o = d_o,
                                 .o = r.y,
                                 .q = q,
                                 .k = k,
                                 .v = v,
                                 .lse = lse,
                                 .batch = &b.ragged,
                                 .H = H,
                                 .Hkv = H,
                                 .D = D,
                                 .ldo = H * D,
                                 .ldq = H * D,
                                 .ldkv = H * D,
                                 .lddq = H * D,
                                 .lddkv = H * D,
                                 .scale = 0.125F};
    r.stream->ops->attn(r.stream, &a);
    r.stream->ops->attn_bwd(r.stream, &s);
    for (size_t i = 0; i < n; i++) /* dv: probabilities times d_o, which is below 25 */
        assert_true(fabsf(out[2 * n + i]) < 25.5F * TOKENS);
    free(q);
    free(k);
    free(v);
    free(d_o);
    free(out);
    rig_close(&r);
}

/* ---- Operations on rows ---- */

#define WIDTH 203 /* rows begin at every alignment, and end within a vector */

struct rows {
    const float *w;
    bool bias;
    enum lf_act_kind act;
};

static void run_norm(struct rig *r, void *what, int first, int n, int n_others)
{
    struct rows *d = what;
    struct lf_norm_args a = {.y = r->y,
                             .x = input(r, first, n_others),
                             .w = d->w,
                             .b = d->bias ? d->w : NULL,
                             .layer_norm = d->bias,
                             .T = n_others + n,
                             .H = 1,
                             .C = WIDTH,
                             .ldx = (int)r->ldx,
                             .ldy = (int)r->ldy,
                             .eps = 1e-5F};
    r->stream->ops->norm(r->stream, &a);
}

static void run_glu(struct rig *r, void *what, int first, int n, int n_others)
{
    struct rows *d = what;
    struct lf_glu_args a = {.y = r->y,
                            .x = input(r, first, n_others),
                            .act = d->act,
                            .gated = true,
                            .T = n_others + n,
                            .F = WIDTH,
                            .ldy = (int)r->ldy,
                            .ldx = (int)r->ldx};
    r->stream->ops->glu(r->stream, &a);
}

static void run_softcap(struct rig *r, void *what, int first, int n, int n_others)
{
    (void)what;
    struct lf_softcap_args a = {.logits = r->y, .n = (size_t)(n_others + n) * r->ldy, .softcap = 3};
    for (int t = 0; t < n_others + n; t++)
        memcpy(r->y + (size_t)t * r->ldy, input(r, first, n_others) + (size_t)t * r->ldx,
               r->ldy * sizeof *r->y);
    r->stream->ops->softcap(r->stream, &a);
}

static void run_rope(struct rig *r, void *what, int first, int n, int n_others)
{
    struct rows *d = what;
    struct batch b;
    batch_make(&b, first, n, n_others);
    for (int t = 0; t < n_others + n; t++)
        memcpy(r->y + (size_t)t * r->ldy, input(r, first, n_others) + (size_t)t * r->ldx,
               r->ldy * sizeof *r->y);
    struct lf_rope_args a = {.x = r->y,
                             .pos = b.pos,
                             .cos_ = d->w,
                             .sin_ = d->w + 1,
                             .T = n_others + n,
                             .H = 3,
                             .D = WIDTH / 3,
                             .rot = 2 * (WIDTH / 7),
                             .ldx = (int)r->ldy};
    r->stream->ops->rope(r->stream, &a);
}

static void rows(void **state)
{
    (void)state;
    struct rig r;
    rig_open(&r, LF_CPU_INT16, 2 * WIDTH, WIDTH);
    float *w = numbers(&r, TOKENS * WIDTH);
    struct rows d = {.w = w};
    check(&r, run_norm, &d, "norm");
    d.bias = true;
    check(&r, run_norm, &d, "layer norm");
    for (d.act = LF_ACT_SILU; d.act <= LF_ACT_GELU_ERF; d.act++)
        check(&r, run_glu, &d, "glu");
    check(&r, run_softcap, &d, "softcap");
    check(&r, run_rope, &d, "rope");
    free(w);
    rig_close(&r);
}

static bool is_there(const char *set)
{
    struct lf_diag diag;
    struct lf_device *dev;
    bool there = lf_device_open(&dev, LF_DEVICE_CPU, NULL, &diag) == LF_OK && lf_cpu_use(dev, set);
    lf_device_free(dev);
    return there;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_maps), cmocka_unit_test(adapters), cmocka_unit_test(attention),
        cmocka_unit_test(slopes_of_large_scores_are_finite), cmocka_unit_test(rows)};
    static const char *const sets[] = {"amx", "vnni", "avx512", "avx2", "base"};
    int failed = 0;
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++) {
        isa = sets[i];
        failed += is_there(isa) ? cmocka_run_group_tests_name(isa, tests, NULL, NULL) : 0;
    }
    return failed;
}
