/* What is on the device: opened in order, sized from the memory there is, closed in reverse. */
#include "daemon/engine/inside.h"

#include "core/budget.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/pool.h"

#include <stdlib.h>

/* What a training keeps for backward, with the working memory, may take this part of what is free
 * beside the weights. With a card's kv_part a quarter is left, for adapters. */
#define SAVED_PART 0.4
/* Of prompts that are read between the parts of a step: what takes longer than a step of hundreds
 * of sequences waits for its end. */
#define ASIDE_TOKENS 1024
#define MIB 1048576.0
#define LOAD_TELL_NS 5000000000ull /* between two lines about a long load */

static size_t kv_token_bytes(const struct lf_model *m)
{
    const struct lf_config *c = &m->config;
    return (size_t)2 * (size_t)c->L * (size_t)c->Hkv * (size_t)c->D * lf_dtype_bytes(m->dev->act);
}

/* Pages of the KV cache, and as many of the draft base's: at least one whole context, at most one
 * for every sequence. */
static int kv_pages(const struct lf_engine *e, size_t free_bytes, int seqs)
{
    int64_t context = e->model->config.positions_max;
    int64_t tokens = e->o->kv_tokens;
    if (tokens == 0) {
        const struct lf_device_traits *t = e->dev->traits;
        double bytes = t->kv_part > 0 ? t->kv_part * (double)free_bytes : (double)t->kv_bytes;
        size_t each = kv_token_bytes(e->model) + (e->draft ? kv_token_bytes(e->draft->model) : 0);
        tokens = (int64_t)(bytes / (double)each);
        if (tokens < context)
            tokens = context;
        if (tokens > context * seqs)
            tokens = context * seqs;
    }
    int64_t pages = (tokens + LF_KV_PAGE_TOKENS - 1) / LF_KV_PAGE_TOKENS;
    return (int)(pages < (1 << 24) ? pages : 1 << 24);
}

/* The cores are shared by the seats. */
static int threads_of(const struct lf_daemon_options *o)
{
    if (o->seats < 2)
        return o->threads;
    int all = o->threads > 0 ? o->threads : lf_pool_cores();
    return all > o->seats ? all / o->seats : 1;
}

static enum lf_err device_open(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_device_options options = {
        .threads = threads_of(e->o),
        .index = e->o->gpu[e->seat],
        .cpu_products = e->o->cpu_products,
        .memory_bytes = (size_t)(e->bytes ? e->bytes : (uint64_t)e->o->gpu_memory_bytes)};
    enum lf_err rc = lf_device_open(&e->dev, e->o->device, &options, diag);
    return rc ?: lf_stream_new(&e->stream, e->dev, 1, diag);
}

static void load_progress(void *arg, double fraction, const char *what)
{
    struct lf_engine *e = arg;
    uint64_t now = lf_clock_ns();
    if (now - e->load_told_ns < LOAD_TELL_NS)
        return;
    e->load_told_ns = now;
    lf_log(LF_LOG_INFO, "engine", "%s: %.0f%%", what, 100 * fraction);
}

static enum lf_err model_open(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_model_options options = {.quant = e->o->quant,
                                       .cache_dir = e->cache_dir,
                                       .progress = load_progress,
                                       .progress_arg = e,
                                       .tokenizer = e->base->model->tokenizer};
    uint64_t start = e->load_told_ns = lf_clock_ns();
    enum lf_err rc = lf_model_open(&e->model, e->stream, e->base->dir, &options, diag);
    e->load_seconds = (double)(lf_clock_ns() - start) / 1e9;
    if (rc == LF_OK)
        e->config = e->model->config;
    return rc;
}

static enum lf_err draft_open(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_model_options options = {.quant = e->o->quant, .cache_dir = e->cache_dir};
    if (!e->o->draft_dir)
        return LF_OK;
    return lf_draft_base_open(&e->draft, e->stream, e->o->draft_dir, e->model, &options, diag);
}

/* For activations that wait for backward. Data sets have the rest, and what these leave. */
static size_t host_bytes(const struct lf_engine *e)
{
    bool chosen = e->o->recompute == LF_RECOMPUTE_AUTO;
    return chosen && lf_device_on_host(e->dev) ? 0 : (size_t)(lf_budget_limit(e->memory) / 2);
}

static enum lf_err exec_open(struct lf_engine *e, struct lf_diag *diag)
{
    int slots = e->o->slots + (e->o->train_tokens > 0 ? LF_JOBS_FUSED_MAX : 0);
    enum lf_err rc = lf_slots_new(&e->slots, e->dev, &e->model->config, slots, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_device_info info;
    lf_device_info(e->dev, &info);
    int seqs = e->dev->traits->seqs + e->dev->traits->seqs / LF_PLACES_KEPT_PART;
    /* Evaluation batches are as large as training's, and have no backward. */
    bool more = e->o->train_tokens > e->o->batch_tokens_max;
    struct lf_exec_limits limits = {.tokens_max =
                                        more ? e->o->train_tokens : e->o->batch_tokens_max,
                                    .train_tokens_max = e->o->train_tokens,
                                    .seqs_max = seqs,
                                    .rows_max = seqs,
                                    .rank_max = LF_RANK_MAX,
                                    .kv_pages = kv_pages(e, info.memory_free, seqs),
                                    .aside_tokens = lf_stream_async(e->stream) ? ASIDE_TOKENS : 0,
                                    .recompute = e->o->recompute,
                                    .memory_bytes = (size_t)(SAVED_PART * (double)info.memory_free),
                                    .host_bytes = host_bytes(e),
                                    .host = e->memory};
    return lf_exec_new(&e->exec, e->stream, e->model, e->slots, &limits, diag);
}

/* Of the serving steps alone. */
static enum lf_err draft_lay_out(struct lf_engine *e, struct lf_diag *diag)
{
    struct lf_exec_limits limits = *lf_exec_limits(e->exec);
    limits.tokens_max = e->o->batch_tokens_max;
    limits.train_tokens_max = limits.aside_tokens = 0;
    limits.rank_max = 1;
    return e->draft ? lf_draft_base_lay_out(e->draft, e->stream, &limits, diag) : LF_OK;
}

static enum lf_err tables_open(struct lf_engine *e, struct lf_diag *diag)
{
    size_t seqs = (size_t)lf_gen_seqs_max(e->gen);
    e->live = calloc(seqs, sizeof *e->live);
    e->tokens = calloc(seqs, sizeof *e->tokens);
    if (!e->live || !e->tokens)
        return lf_no_memory(diag, "the engine's tables");
    enum lf_err rc = lf_turns_open(&e->turns, diag);
    e->share =
        (struct lf_share){.step_most = e->o->itl_ms / 1e3, .train_part = e->o->train_share / 100};
    return rc ?: lf_mark_new(&e->train_begin, e->stream, diag)
               ?: lf_mark_new(&e->train_end, e->stream, diag);
}

static void plan_made(struct lf_engine *e)
{
    struct lf_exec_memory m;
    struct lf_device_info info;
    lf_exec_memory(e->exec, &m);
    lf_device_info(e->dev, &info);
    struct lf_memory_plan *p = &e->plan;
    int64_t pages = lf_exec_limits(e->exec)->kv_pages;
    *p = (struct lf_memory_plan){.weights = e->model->weight_bytes,
                                 .copies = m.copies,
                                 .kv = m.kv,
                                 .draft = e->draft ? lf_draft_base_bytes(e->draft) : 0,
                                 .saved = m.saved,
                                 .rest = info.memory_free,
                                 .host = m.host,
                                 .kv_tokens = pages * LF_KV_PAGE_TOKENS,
                                 .recompute = lf_exec_recomputes(e->exec),
                                 .recomputes = lf_exec_recomputes(e->exec) != LF_RECOMPUTE_NONE,
                                 .own_memory = !lf_device_on_host(e->dev),
                                 .act = e->dev->act};
    uint64_t mapped = e->model->mapped_bytes + (e->draft ? e->draft->model->mapped_bytes : 0);
    uint64_t named = p->weights + p->copies + p->kv + p->saved + p->draft - mapped;
    p->working = info.memory_used > named ? info.memory_used - named : 0;
}

static void plan_told(const struct lf_memory_plan *p)
{
    lf_log(LF_LOG_INFO, "engine",
           "memory in MiB: weights %.0f, unpacked %.0f, KV cache %.0f, draft base %.0f, saved for "
           "backward %.0f "
           "(recompute %s, %.0f of the host's), working %.0f, left for adapters %.0f",
           (double)p->weights / MIB, (double)p->copies / MIB, (double)p->kv / MIB,
           (double)p->draft / MIB, (double)p->saved / MIB, lf_recompute_word(p->recompute),
           (double)p->host / MIB, (double)p->working / MIB, (double)p->rest / MIB);
}

enum lf_err lf_engine_lay_out(struct lf_engine *e, struct lf_diag *diag)
{
    enum lf_err rc = draft_open(e, diag) ?: exec_open(e, diag) ?: draft_lay_out(e, diag);
    struct lf_gen_limits limits = {
        .tokens_max = e->o->batch_tokens_max, .speculate = e->o->speculate, .draft = e->draft};
    if (rc == LF_OK)
        limits.ahead = lf_stream_async(e->stream);
    rc = rc ?: lf_gen_new(&e->gen, e->exec, e->model, &limits, diag);
    if (rc == LF_OK && e->o->train_tokens > 0)
        rc = lf_trainer_new(&e->trainer, e->exec, e->stream, e->model, e->slots, e->o->train_tokens,
                            diag);
    rc = rc ?: tables_open(e, diag);
    if (rc == LF_OK)
        plan_made(e);
    return rc;
}

enum lf_err lf_engine_open(struct lf_engine *e, struct lf_diag *diag)
{
    enum lf_err rc = device_open(e, diag) ?: model_open(e, diag) ?: lf_engine_lay_out(e, diag);
    if (rc == LF_OK)
        plan_told(&e->plan);
    return rc ?: lf_residents_open(e, diag);
}

void lf_engine_close(struct lf_engine *e)
{
    lf_residents_close(e);
    lf_engine_release(e);
}

void lf_engine_release(struct lf_engine *e)
{
    lf_trainer_free(e->trainer);
    lf_gen_free(e->gen);
    lf_draft_base_free(e->draft);
    lf_exec_free(e->exec);
    lf_slots_free(e->slots);
    lf_model_free(e->model);
    lf_mark_free(e->train_begin);
    lf_mark_free(e->train_end);
    lf_stream_free(e->stream);
    lf_device_free(e->dev);
    lf_turns_close(&e->turns);
    free(e->live);
    free(e->tokens);
    e->trainer = NULL;
    e->train_begin = e->train_end = NULL;
    e->gen = NULL;
    e->counted = (struct lf_gen_status){0};
    e->draft = NULL;
    e->exec = NULL;
    e->slots = NULL;
    e->model = NULL;
    e->stream = NULL;
    e->dev = NULL;
    e->live = NULL;
    e->tokens = NULL;
    e->n_live = e->n_background = 0;
}
