/* One benchmark case: slots and exec for it, its batches, its floor. */
#include "bench/bench.h"

#include "core/clock.h"
#include "core/num.h"
#include "core/rng.h"

#include <stdlib.h>

#define PREFILL_PIECE 2048 /* tokens of a step that fills caches before decoding */
#define LOSS_ROWS 512      /* logits held at once */

struct rig {
    const struct lf_bench_case *b;
    struct lf_offline *c;
    struct lf_exec *x;
    int *slots;            /* (adapters) */
    size_t adapter_params; /* floats of one */
    int32_t *ids, *labels; /* (seqs, tokens) */
    struct lf_kv_seq *kv;  /* (seqs) */
    struct lf_batch_seq *seqs;
    struct lf_batch_result *results;
    int *which; /* 0, 1, 2 ... */
    struct lf_sample_params *sample;
    int32_t *next; /* (seqs) the last sampled id */
};

/* ---- Floors ---------------------------------------------------------------------------------- */

static double weight_bytes(const struct lf_weight *w)
{
    double n = (double)w->N * w->K;
    if (w->kind == LF_WEIGHT_F32)
        return 4 * n;
    if (w->kind == LF_WEIGHT_BF16)
        return 2 * n;
    double scales = n / w->block;
    return n / 2 + (w->absmax ? 4 * scales : scales + 4 * scales / w->block2);
}

/* Sequences of a batch, the prompt among them. */
static int n_seqs(const struct lf_bench_case *b)
{
    return b->seqs + (b->prompt > 0);
}

/* What a batch must move and multiply, at the least. */
struct least_work {
    double bytes, flops;
};

static struct least_work least_work(const struct rig *r)
{
    const struct lf_bench_case *b = r->b;
    const struct lf_model *m = r->c->model;
    const struct lf_config *c = &m->config;
    bool decode = b->kind == LF_BENCH_DECODE, train = b->kind == LF_BENCH_TRAIN;
    double tokens = decode ? b->seqs + b->prompt : (double)b->seqs * b->tokens;
    double rows = train ? tokens : n_seqs(b); /* of logits */
    double es = (double)lf_dtype_bytes(r->c->dev->act);
    double linear = 0;
    struct least_work w = {weight_bytes(&m->head), 0};
    for (int l = 0; l < c->L; l++)
        for (int p = 0; p < c->n_proj; p++) {
            w.bytes += weight_bytes(&m->layers[l].w[p]);
            linear += (double)c->proj[p].N * c->proj[p].K;
        }
    int used = b->adapters < b->seqs ? b->adapters : b->seqs;
    double kv_row = 2.0 * c->L * c->Hkv * c->D * es;
    double context = decode ? b->tokens + b->iters / 2.0 : b->tokens / 2.0; /* keys of a query */
    w.bytes += used * (double)r->adapter_params * es + tokens * kv_row;
    w.bytes += decode ? b->seqs * context * kv_row : 0;
    double lora = b->adapters ? (double)r->adapter_params : 0;
    double attention = 2.0 * c->L * c->H * c->D * context;
    double per_token = 2 * (linear + lora + attention); /* too much for a prompt's, by little */
    w.flops = tokens * per_token + rows * 2.0 * c->C * c->V;
    if (train) /* the gradients of the inputs; of adapters also their own; of keys and values */
        w.flops += tokens * 2 * (linear + 2 * lora + 2 * attention) + rows * 2.0 * c->C * c->V;
    return w;
}

/* ---- Rig ------------------------------------------------------------------------------------- */

/* One adapter's random numbers, in as many slots as there are adapters: where they lie is what
 * costs, and drawing and uploading new ones for each takes longer than the benchmark. */
static enum lf_err load_adapters(struct rig *r, struct lf_diag *diag)
{
    const struct lf_bench_case *b = r->b;
    struct lf_adapter *a = NULL;
    if (!b->adapters)
        return LF_OK;
    enum lf_err rc = lf_adapter_new(&a, &r->c->model->config, &b->lora, 0, diag);
    if (rc != LF_OK)
        return rc;
    for (size_t k = 0; k < a->shape.n_params; k++) /* B too: zeros would be special */
        a->params[k] = 0.02f * (lf_rng_unit(lf_rng_u32(0, k, 1)) - 0.5f);
    r->adapter_params = a->shape.n_params;
    r->c->rank_max = a->shape.rank_max;
    bool trains = b->kind == LF_BENCH_TRAIN;
    for (int i = 0; rc == LF_OK && i < b->adapters; i++)
        rc = i == 0 || trains
                 ? lf_slots_load(r->c->slots, r->c->stream, &r->slots[i], a,
                                 trains ? LF_SLOT_TRAINS : LF_SLOT_SERVES, diag)
                 : lf_slots_copy(r->c->slots, r->c->stream, &r->slots[i], r->slots[0], diag);
    lf_adapter_free(a);
    return rc;
}

static enum lf_err make_exec(struct rig *r, struct lf_diag *diag)
{
    const struct lf_bench_case *b = r->b;
    int all = b->seqs * b->tokens;
    int seqs = n_seqs(b);
    struct lf_exec_limits limits = {.tokens_max = all,
                                    .seqs_max = seqs,
                                    .rows_max = seqs,
                                    .rank_max = r->c->rank_max,
                                    .recompute = b->recompute,
                                    .host_bytes = SIZE_MAX};
    int pages = (b->tokens + b->warmup + b->iters + LF_KV_PAGE_TOKENS) / LF_KV_PAGE_TOKENS;
    if (b->kind == LF_BENCH_TRAIN) {
        limits.train_tokens_max = all;
        limits.rows_max = all < LOSS_ROWS ? all : LOSS_ROWS;
    } else {
        limits.kv_pages = b->seqs * pages + b->prompt / LF_KV_PAGE_TOKENS + 1;
    }
    if (b->kind == LF_BENCH_DECODE)
        limits.tokens_max = lf_max_int(b->seqs + b->prompt, PREFILL_PIECE);
    enum lf_err rc = lf_exec_new(&r->x, r->c->stream, r->c->model, r->c->slots, &limits, diag);
    return rc ?: lf_exec_host_take(r->x, r->c->model->config.L, diag);
}

static enum lf_err allocate(struct rig *r, struct lf_diag *diag)
{
    size_t n = (size_t)n_seqs(r->b);
    size_t all = n * (size_t)lf_max_int(r->b->tokens, r->b->prompt);
    r->slots = calloc((size_t)r->b->adapters + 1, sizeof *r->slots);
    r->ids = calloc(all, sizeof *r->ids);
    r->labels = calloc(all, sizeof *r->labels);
    r->kv = calloc(n, sizeof *r->kv);
    r->seqs = calloc(n, sizeof *r->seqs);
    r->results = calloc(n, sizeof *r->results);
    r->which = calloc(n, sizeof *r->which);
    r->sample = calloc(n, sizeof *r->sample);
    r->next = calloc(n, sizeof *r->next);
    if (!r->slots || !r->ids || !r->labels || !r->kv || !r->seqs || !r->results || !r->which ||
        !r->sample || !r->next)
        return lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < all; i++)
        r->ids[i] = (int32_t)(lf_rng_u32(3, i, 0) % (uint32_t)r->c->model->config.V);
    for (size_t i = 0; i < all; i++)
        r->labels[i] = r->ids[(i + 1) % all];
    for (size_t i = 0; i < n; i++) {
        r->which[i] = (int)i;
        r->sample[i] = (struct lf_sample_params){.top_p = 1, .repetition_penalty = 1};
    }
    return LF_OK;
}

static void rig_free(struct rig *r)
{
    for (int i = 0; r->x && r->kv && i < n_seqs(r->b); i++)
        lf_exec_kv_release(r->x, &r->kv[i]);
    lf_exec_free(r->x);
    lf_slots_free(r->c->slots);
    r->c->slots = NULL;
    free(r->slots);
    free(r->ids);
    free(r->labels);
    free(r->kv);
    free(r->seqs);
    free(r->results);
    free(r->which);
    free(r->sample);
    free(r->next);
}

/* ---- Batches --------------------------------------------------------------------------------- */

static int slot_of(const struct rig *r, int i)
{
    return r->b->adapters ? r->slots[i % r->b->adapters] : -1;
}

/* Sequence i with n new tokens. */
static enum lf_err cached(struct rig *r, int i, const int32_t *ids, int n, struct lf_diag *diag)
{
    r->seqs[i] = (struct lf_batch_seq){
        .ids = ids, .n = n, .kv = &r->kv[i], .slot = slot_of(r, i), .last_only = true};
    if (lf_exec_kv_grow(r->x, &r->kv[i], r->kv[i].n_tokens + n) != LF_OK)
        return lf_fail(diag, LF_E_DEVICE_FULL, "out of KV pages");
    return LF_OK;
}

static enum lf_err sample(struct rig *r, struct lf_diag *diag)
{
    const struct lf_exec_wish wish = {.which = r->which, .params = r->sample, .n = n_seqs(r->b)};
    const struct lf_exec_tokens out = {.ids = r->next};
    return lf_exec_sample(r->x, &wish, &out, diag);
}

/* Puts every sequence's tokens into the cache, one after another, in pieces. */
static enum lf_err fill_caches(struct rig *r, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; i < r->b->seqs; i++) {
        const int32_t *ids = r->ids + (size_t)i * (size_t)r->b->tokens;
        for (int at = 0; rc == LF_OK && at < r->b->tokens; at += PREFILL_PIECE) {
            int n = r->b->tokens - at < PREFILL_PIECE ? r->b->tokens - at : PREFILL_PIECE;
            rc = cached(r, i, ids + at, n, diag);
            rc = rc ?: lf_exec_run(r->x, &r->seqs[i], 1, r->results, diag);
        }
        r->next[i] = ids[0];
    }
    return rc;
}

static enum lf_err decode_batch(struct rig *r, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; rc == LF_OK && i < r->b->seqs; i++)
        rc = cached(r, i, &r->next[i], 1, diag);
    if (rc == LF_OK && r->b->prompt > 0) {
        lf_exec_kv_release(r->x, &r->kv[r->b->seqs]);
        rc = cached(r, r->b->seqs, r->ids, r->b->prompt, diag);
    }
    return rc ?: lf_exec_run(r->x, r->seqs, n_seqs(r->b), r->results, diag) ?: sample(r, diag);
}

static enum lf_err prefill_batch(struct rig *r, struct lf_diag *diag)
{
    enum lf_err rc = LF_OK;
    for (int i = 0; rc == LF_OK && i < r->b->seqs; i++) {
        lf_exec_kv_release(r->x, &r->kv[i]);
        rc = cached(r, i, r->ids + (size_t)i * (size_t)r->b->tokens, r->b->tokens, diag);
    }
    return rc ?: lf_exec_run(r->x, r->seqs, r->b->seqs, r->results, diag) ?: sample(r, diag);
}

static enum lf_err train_batch(struct rig *r, struct lf_diag *diag)
{
    for (int i = 0; i < r->b->seqs; i++) {
        size_t at = (size_t)i * (size_t)r->b->tokens;
        r->seqs[i] = (struct lf_batch_seq){.ids = r->ids + at,
                                           .n = r->b->tokens,
                                           .slot = slot_of(r, i),
                                           .labels = r->labels + at,
                                           .loss_weight = 1.0f / (float)r->b->tokens,
                                           .trains = true,
                                           .drop_p = (float)r->b->lora.dropout,
                                           .drop_key = (uint64_t)i};
    }
    enum lf_err rc = lf_exec_run(r->x, r->seqs, r->b->seqs, r->results, diag);
    return rc ?: lf_stream_wait(r->c->stream, diag);
}

/* The median of iters batches after the warm-up. */
static enum lf_err time_batches(double *out, struct rig *r, struct lf_diag *diag)
{
    static enum lf_err (*const run[])(struct rig *, struct lf_diag *) = {
        [LF_BENCH_DECODE] = decode_batch,
        [LF_BENCH_PREFILL] = prefill_batch,
        [LF_BENCH_TRAIN] = train_batch,
    };
    double *seconds = calloc((size_t)r->b->iters, sizeof *seconds);
    enum lf_err rc = seconds ? LF_OK : lf_fail(diag, LF_E_NO_MEMORY, "out of memory");
    for (int i = -r->b->warmup; rc == LF_OK && i < r->b->iters; i++) {
        uint64_t start = lf_clock_ns();
        rc = run[r->b->kind](r, diag);
        if (i >= 0)
            seconds[i] = (double)(lf_clock_ns() - start) * 1e-9;
    }
    if (rc == LF_OK)
        *out = lf_bench_median(seconds, r->b->iters);
    free(seconds);
    return rc;
}

enum lf_err lf_bench_run(struct lf_bench_result *out, struct lf_offline *c,
                         const struct lf_bench_case *b, const struct lf_floor *floor,
                         struct lf_diag *diag)
{
    struct rig r = {.b = b, .c = c};
    struct lf_device_info info;
    struct lf_exec_memory memory;
    double seconds = 0;
    c->rank_max = 1;
    enum lf_err rc = allocate(&r, diag);
    rc = rc ?: lf_slots_new(&c->slots, c->dev, &c->model->config, b->adapters + 1, diag);
    rc = rc ?: load_adapters(&r, diag);
    rc = rc ?: make_exec(&r, diag);
    if (rc == LF_OK && b->kind == LF_BENCH_DECODE)
        rc = fill_caches(&r, diag);
    rc = rc ?: time_batches(&seconds, &r, diag);
    if (rc == LF_OK) {
        struct least_work w = least_work(&r);
        double move = w.bytes / floor->bytes_per_second;
        double multiply = w.flops / floor->flops_per_second;
        int tokens = b->kind == LF_BENCH_DECODE ? b->seqs : b->seqs * b->tokens;
        lf_device_info(c->dev, &info);
        lf_exec_memory(r.x, &memory);
        *out = (struct lf_bench_result){.seconds = seconds,
                                        .tokens_per_second = tokens / seconds,
                                        .floor_seconds = move > multiply ? move : multiply,
                                        .memory_bound = move > multiply,
                                        .recomputed = lf_exec_recomputes(r.x) != LF_RECOMPUTE_NONE,
                                        .memory_bytes = info.memory_used,
                                        .host_bytes = memory.host};
    }
    rig_free(&r);
    return rc;
}
