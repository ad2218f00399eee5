/* Memory, weights, adapters and batches of the benchmarks. */
#include "bench/ops/bench_ops.h"

#include "core/grow.h"
#include "core/rng.h"
#include "gpu/nf4.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define NOISE ((size_t)8 << 20)

void die(const struct lf_diag *diag)
{
    fprintf(stderr, "bench_ops: %s\n", diag->text);
    exit(EXIT_FAILURE);
}

/* ---- Memory ---- */

struct held {
    void *p;
    bool on_host;
};

static void *hold(struct bench *b, void *p, bool on_host)
{
    if (!p || lf_grow(&b->held, &b->cap_held, b->n_held + 1, sizeof *b->held) != LF_OK)
        die(&(struct lf_diag){"no memory"});
    b->held[b->n_held++] = (struct held){p, on_host};
    return p;
}

void release(struct bench *b, size_t held)
{
    while (b->n_held > held) {
        const struct held *h = &b->held[--b->n_held];
        if (h->on_host)
            free(h->p);
        else
            lf_device_release(b->dev, h->p);
    }
}

void *host(struct bench *b, size_t n, size_t size)
{
    return hold(b, calloc(n ? n : 1, size), true);
}

void *get(struct bench *b, size_t bytes)
{
    struct lf_diag diag;
    void *p;
    if (lf_device_alloc(b->dev, &p, bytes ? bytes : 1, &diag))
        die(&diag);
    return hold(b, p, false);
}

/* A run of `bytes` from `from`, again and again, up to `n` bytes of device memory. */
static void repeat(struct bench *b, void *to, size_t n, const void *from, size_t bytes)
{
    for (size_t at = 0; at < n; at += bytes)
        lf_stream_upload(b->s, (char *)to + at, from, n - at < bytes ? n - at : bytes);
}

static double normal(uint64_t i)
{
    double u = (lf_rng_u32(1, i, 1) + 0.5) / 4294967296.0;
    double v = (lf_rng_u32(1, i, 2) + 0.5) / 4294967296.0;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static void make_noise(struct bench *b)
{
    size_t n = NOISE / b->es, held;
    b->noise = host(b, NOISE, 1);
    held = b->n_held;
    float *x = host(b, n, sizeof *x);
    for (size_t i = 0; i < n; i++)
        x[i] = (float)normal(i);
    lf_from_f32(b->noise, b->dev->act, x, n);
    release(b, held);
}

void *acts(struct bench *b, size_t n)
{
    void *p = get(b, n * b->es);
    repeat(b, p, n * b->es, b->noise, NOISE);
    return p;
}

void *floats(struct bench *b, size_t n, double mean, double spread)
{
    size_t some = n < 1 << 20 ? n : 1 << 20, held;
    float *p = get(b, n * sizeof *p);
    held = b->n_held;
    float *x = host(b, some, sizeof *x);
    for (size_t i = 0; i < some; i++)
        x[i] = (float)(mean + spread * (lf_rng_u32(2, i, n) / 4294967296.0 - 0.5));
    repeat(b, p, n * sizeof *p, x, some * sizeof *x);
    release(b, held);
    return p;
}

void *upload(struct bench *b, const void *host, size_t bytes)
{
    void *p = get(b, bytes);
    lf_stream_upload(b->s, p, host, bytes);
    return p;
}

/* ---- Weights ---- */

const int proj_n[PROJ] = {H * D, HKV *D, HKV *D, C, F, F, C};
const int proj_k[PROJ] = {C, C, C, H *D, C, C, F};
const int proj_col[PROJ] = {0, H *D, (H + HKV) * D, 0, 0, F, 0};

const struct bench_group bench_groups[GROUPS] = {
    {"qkv", 0, 3, QKV}, {"o", 3, 1, C}, {"gate_up", 4, 2, 2 * F}, {"down", 6, 1, C}};

double q4_bytes(double elements)
{
    return elements * (0.5 + 1 / 64.0 + 4 / 16384.0);
}

static struct lf_weight q4_weight(struct bench *b, int N, int K, const float *code,
                                  const float *map)
{
    struct lf_weight w = {.kind = LF_WEIGHT_Q4, .N = N, .K = K, .block = 64, .block2 = 256};
    struct lf_diag diag;
    size_t n = (size_t)N * (size_t)K, blocks = n / 64;
    char *codes = get(b, n / 2), *q = get(b, blocks);
    repeat(b, codes, n / 2, b->noise, NOISE);
    lf_stream_upload(b->s, q, b->noise, blocks);
    w.data = codes;
    w.absmax_q = (const uint8_t *)q;
    w.code = code;
    w.absmax_code = map;
    w.absmax2 = floats(b, blocks / 256 + 1, 0.5 / sqrt(K), 0.2 / sqrt(K));
    w.offset = (float)(1.0 / sqrt(K));
    if (b->ops->prepare_weight && b->ops->prepare_weight(b->s, &w, &diag))
        die(&diag);
    return w;
}

static void make_weights(struct bench *b)
{
    const float *code = upload(b, lf_nf4_code, 16 * sizeof(float));
    const float *map = upload(b, lf_dynamic_map, 256 * sizeof(float));
    for (int l = 0; l < LAYERS; l++)
        for (int p = 0; p < PROJ; p++)
            b->w[l][p] = q4_weight(b, proj_n[p], proj_k[p], code, map);
    b->head = (struct lf_weight){.kind = b->es == 2 ? LF_WEIGHT_BF16 : LF_WEIGHT_F32,
                                 .N = V,
                                 .K = C,
                                 .data = acts(b, (size_t)V * C)};
    b->norm_w = floats(b, C, 1, 0.2);
    b->cos_ = floats(b, (size_t)8192 * D / 2, 0, 1);
    b->sin_ = floats(b, (size_t)8192 * D / 2, 0, 1);
    b->before_adapters = b->n_held;
}

void make_adapters(struct bench *b, int R, unsigned mask)
{
    size_t n = (size_t)SLOTS * LAYERS * PROJ, each = 0, at = 0, grad = 0;
    release(b, b->before_adapters);
    struct lf_lora_site *t = host(b, n, sizeof *t);
    for (int p = 0; p < PROJ; p++)
        each += mask >> p & 1 ? (size_t)R * (size_t)(proj_n[p] + proj_k[p]) * LAYERS : 0;
    char *adapters = acts(b, SLOTS * each);
    float *gradients = floats(b, each, 0, 1);
    for (size_t i = 0; i < n; i++) {
        int p = (int)(i % PROJ);
        size_t in = (size_t)R * (size_t)proj_k[p], out = (size_t)R * (size_t)proj_n[p];
        if (!(mask >> p & 1))
            continue;
        t[i] = (struct lf_lora_site){.scale = 0.01f, .rank = R, .trained = R};
        t[i].a = adapters + at * b->es;
        t[i].b = adapters + (at + in) * b->es;
        at += in + out;
        if (i < LAYERS * PROJ) {
            t[i].da = gradients + grad;
            t[i].db = gradients + grad + in;
            grad += in + out;
        }
    }
    b->sites = upload(b, t, n * sizeof *t);
}

/* ---- Batches ---- */

struct lf_ragged *make_batch(struct bench *b, int S, int n, int past, bool cached, bool trains,
                             float drop_p, int rank)
{
    struct lf_ragged *r = host(b, 1, sizeof *r);
    struct lf_seq *seqs = host(b, (size_t)S, sizeof *seqs);
    struct lf_lora_seg *segs = host(b, (size_t)S, sizeof *segs);
    int T = S * n, each = (past + n + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS;
    int32_t *ids = host(b, (size_t)(3 * T + S * each), sizeof *ids);
    int32_t *pos = ids + T, *seq = pos + T, *pages = seq + T;
    for (int i = 0; i < S; i++) {
        seqs[i] = (struct lf_seq){.start = i * n,
                                  .n = n,
                                  .past = past,
                                  .slot = trains ? 0 : i % SLOTS,
                                  .page_off = cached ? i * each : -1,
                                  .drop_p = drop_p,
                                  .drop_key = (uint64_t)i + 7};
        segs[i] = (struct lf_lora_seg){i * n, (i + 1) * n, seqs[i].slot, trains};
        for (int j = 0; j < n; j++) {
            ids[i * n + j] = (i * 7919 + j * 104729) % V;
            pos[i * n + j] = past + j;
            seq[i * n + j] = i;
        }
        for (int j = 0; j < each; j++)
            pages[i * each + j] = (i * each + j) * 31 % (S * each);
    }
    if (trains)
        segs[0].end = T;
    *r = (struct lf_ragged){.T = T,
                            .S = S,
                            .n_segs = trains ? 1 : S,
                            .h_seqs = seqs,
                            .h_segs = segs,
                            .n_max = n,
                            .kv_max = past + n,
                            .rank_max = rank,
                            .n_cached = cached ? S : 0,
                            .T_cached = cached ? T : 0};
    r->ids = upload(b, ids, (size_t)T * 4);
    r->pos = upload(b, pos, (size_t)T * 4);
    r->seq = upload(b, seq, (size_t)T * 4);
    r->pages = upload(b, pages, (size_t)(S * each) * 4);
    r->seqs = upload(b, seqs, (size_t)S * sizeof *seqs);
    r->segs = upload(b, segs, (size_t)S * sizeof *segs);
    return r;
}

/* ---- Opening ---- */

void bench_open(struct bench *b, enum lf_device_kind kind)
{
    struct lf_diag diag;
    if (lf_device_open(&b->dev, kind, NULL, &diag) || lf_stream_new(&b->s, b->dev, 1, &diag))
        die(&diag);
    b->ops = b->dev->ops;
    b->es = lf_dtype_bytes(b->dev->act);
    make_noise(b);
    if (lf_stream_reserve(b->s, b->ops->linear_scratch_bytes(b->dev, T_MAX, 2 * F, C), &diag))
        die(&diag);
    make_weights(b);
}

void bench_close(struct bench *b)
{
    lf_stream_free(b->s);
    release(b, 0);
    free(b->held);
}
