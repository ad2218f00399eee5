/* struct lf_exec: made from its limits, and one run from the caller's sequences to their losses. */
#include "model/exec_inside.h"
#include "model/rope.h"

#include "core/num.h"

#include <stdlib.h>
#include <string.h>

static enum lf_err check_limits(const struct lf_exec_limits *l, struct lf_diag *diag)
{
    static const struct {
        const char *name;
        size_t offset;
        int lo, hi;
    } fields[] = {
        {"tokens_max", offsetof(struct lf_exec_limits, tokens_max), 1, 1 << 20},
        {"train_tokens_max", offsetof(struct lf_exec_limits, train_tokens_max), 0, 1 << 20},
        {"seqs_max", offsetof(struct lf_exec_limits, seqs_max), 1, LF_SEQS_MAX},
        {"rows_max", offsetof(struct lf_exec_limits, rows_max), 1, 1 << 20},
        {"rank_max", offsetof(struct lf_exec_limits, rank_max), 1, LF_RANK_MAX},
        {"kv_pages", offsetof(struct lf_exec_limits, kv_pages), 0, 1 << 24},
        {"aside_tokens", offsetof(struct lf_exec_limits, aside_tokens), 0, 1 << 20},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        int v;
        memcpy(&v, (const char *)l + fields[i].offset, sizeof v);
        if (v < fields[i].lo || v > fields[i].hi)
            return lf_fail(diag, LF_E_INVALID, "%s is %d; it must be between %d and %d",
                           fields[i].name, v, fields[i].lo, fields[i].hi);
    }
    return LF_OK;
}

static enum lf_err alloc_host(struct lf_exec *x, struct lf_diag *diag)
{
    size_t S = (size_t)x->limits.seqs_max, T = (size_t)x->limits.tokens_max;
    void *meta = NULL, *loss = NULL;
    if ((size_t)x->limits.train_tokens_max > T)
        T = (size_t)x->limits.train_tokens_max;
    x->saved = calloc((size_t)x->model->config.L, sizeof *x->saved);
    x->losses = calloc(S, sizeof *x->losses);
    if (!x->saved || !lf_exec_plan_new(&x->plan, S) || !x->losses)
        return lf_no_memory(diag, "an exec");
    enum lf_err rc = lf_device_alloc_host(x->stream->dev, &meta, x->meta_cap, diag);
    x->h_meta = meta;
    rc = rc ?: lf_device_alloc_host(x->stream->dev, &loss, T * sizeof *x->h_loss, diag);
    x->h_loss = loss;
    return rc;
}

enum lf_err lf_exec_new(struct lf_exec **out, struct lf_stream *stream, struct lf_model *model,
                        struct lf_slots *slots, const struct lf_exec_limits *limits,
                        struct lf_diag *diag)
{
    enum lf_err rc = check_limits(limits, diag);
    if (rc != LF_OK)
        return rc;
    struct lf_exec *x = calloc(1, sizeof *x);
    if (!x)
        return lf_no_memory(diag, "an exec");
    const struct lf_config *c = &model->config;
    x->stream = stream;
    x->ops = stream->ops;
    x->model = model;
    x->slots = slots;
    x->limits = *limits;
    x->limits.aside_tokens = lf_min_int(limits->aside_tokens, limits->tokens_max);
    x->es = lf_dtype_bytes(stream->dev->act);
    x->qkv_n = (c->H + 2 * c->Hkv) * c->D;
    x->h_n = c->gated ? 2 * c->F : c->F;
    x->meta_cap = lf_exec_meta_bytes(limits, model->rope_positions);
    struct lf_exec_limits aside = lf_exec_aside_limits(x);
    if (limits->aside_tokens > 0)
        x->aside.meta_cap = lf_exec_meta_bytes(&aside, model->rope_positions);
    rc = alloc_host(x, diag) ?: lf_exec_kv_open(x, diag) ?: lf_exec_allocate(x, diag);
    rc = rc ?: lf_exec_aside_open(x, diag) ?: lf_exec_offload_open(x, diag);
    rc = rc ?: lf_exec_steps_open(x, diag) ?: lf_exec_draws_open(x, diag);
    if (rc == LF_OK)
        *out = x;
    else
        lf_exec_free(x);
    return rc;
}

void lf_exec_free(struct lf_exec *x)
{
    if (!x)
        return;
    struct lf_device *dev = x->stream->dev;
    lf_exec_offload_close(x);
    lf_device_release(dev, x->history);
    lf_device_release(dev, x->masks);
    lf_device_release(dev, x->bias);
    lf_device_release(dev, x->device);
    lf_device_release(dev, x->copies);
    lf_device_release_host(dev, x->h_meta);
    lf_device_release_host(dev, x->h_loss);
    lf_exec_kv_close(x);
    lf_exec_steps_close(x);
    lf_exec_draws_close(x);
    free(x->saved);
    lf_exec_plan_free(&x->plan);
    lf_exec_aside_close(x);
    free(x->losses);
    free(x);
}

const struct lf_exec_limits *lf_exec_limits(const struct lf_exec *x)
{
    return &x->limits;
}

struct lf_stream *lf_exec_stream(const struct lf_exec *x)
{
    return x->stream;
}

void lf_exec_memory(const struct lf_exec *x, struct lf_exec_memory *out)
{
    *out = x->memory;
}

const char *lf_recompute_word(enum lf_recompute r)
{
    static const char *const words[] = {"none", "auto", "block", "offload"};
    return words[r];
}

enum lf_recompute lf_exec_recomputes(const struct lf_exec *x)
{
    if (x->n_again == 0)
        return LF_RECOMPUTE_NONE;
    return x->offload.most > 0 ? LF_RECOMPUTE_OFFLOAD : LF_RECOMPUTE_BLOCK;
}

static void begin_cached(const struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs)
{
    for (int i = 0; i < n_seqs; i++) {
        struct lf_kv_seq *kv = seqs[i].kv;
        if (kv && kv->n_tokens == 0)
            kv->rope_row =
                lf_rope_row(&x->model->config, kv->planned > seqs[i].n ? kv->planned : seqs[i].n);
    }
}

static void have_tokens(const struct lf_batch_seq *seqs, int n_seqs)
{
    for (int i = 0; i < n_seqs; i++)
        if (seqs[i].kv)
            seqs[i].kv->n_tokens += seqs[i].n;
}

/* Hands out the supervised tokens, a run of them for each sequence; a sequence without labels has
 * none. */
static void part_losses(const struct lf_exec *x, const struct lf_batch_seq *seqs,
                        struct lf_batch_losses *of)
{
    const struct lf_batch_plan *p = &x->plan;
    int m = 0;
    for (int i = 0; i < p->S; i++) {
        const struct lf_batch_seq *s = &seqs[p->order[i]];
        struct lf_batch_losses part = {x->h_loss + m, x->h_weight + m, 0};
        for (int t = 0; s->labels && t < s->n; t++)
            part.n += s->labels[t] >= 0;
        of[p->order[i]] = part;
        m += part.n;
    }
}

static void sum_losses(const struct lf_exec *x, struct lf_batch_result *results, int n)
{
    for (int i = 0; i < n; i++) {
        const struct lf_batch_losses *l = &x->losses[i];
        results[i] = (struct lf_batch_result){.n_supervised = l->n};
        for (int k = 0; k < l->n; k++)
            results[i].loss_sum += l->loss[k];
    }
}

/* The supervised rows' losses, and the gradient of those that train. */
static enum lf_err head(struct lf_exec *x, lf_weigh_fn weigh, void *arg, struct lf_diag *diag)
{
    lf_exec_loss(x, !weigh && x->plan.M_train > 0);
    if (!weigh)
        return LF_OK;
    enum lf_err rc = lf_stream_wait(x->stream, diag);
    if (rc != LF_OK)
        return rc;
    weigh(arg, x->losses);
    if (x->plan.M_train == 0)
        return LF_OK;
    char *weight = x->meta + ((char *)x->h_weight - x->h_meta);
    lf_stream_upload(x->stream, weight, x->h_weight, (size_t)x->plan.M * sizeof *x->h_weight);
    lf_exec_loss_grad(x);
    return LF_OK;
}

enum lf_err lf_exec_run_weighed(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs,
                                lf_weigh_fn weigh, void *arg, struct lf_batch_result *results,
                                struct lf_diag *diag)
{
    lf_assert(!lf_exec_part_way(x));
    begin_cached(x, seqs, n_seqs);
    enum lf_err rc = lf_exec_pack(x, seqs, n_seqs, diag);
    if (rc != LF_OK)
        return rc;
    if (!x->recorded)
        lf_exec_forward(x, 0, x->model->config.L);
    else if ((rc = lf_exec_step(x, diag)) != LF_OK)
        return rc;
    part_losses(x, seqs, x->losses);
    if (x->plan.M > 0)
        rc = head(x, weigh, arg, diag);
    if (rc != LF_OK)
        return rc;
    if (x->plan.M_train > 0)
        lf_exec_backward(x);
    have_tokens(seqs, n_seqs);
    if (x->plan.M > 0) {
        rc = lf_stream_wait(x->stream, diag);
        if (rc != LF_OK)
            return rc;
    }
    if (results)
        sum_losses(x, results, n_seqs);
    return LF_OK;
}

enum lf_err lf_exec_run(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs,
                        struct lf_batch_result *results, struct lf_diag *diag)
{
    return lf_exec_run_weighed(x, seqs, n_seqs, NULL, NULL, results, diag);
}

enum lf_err lf_exec_begin(struct lf_exec *x, const struct lf_batch_seq *seqs, int n_seqs,
                          int n_parts, struct lf_diag *diag)
{
    lf_assert(!lf_exec_part_way(x));
    begin_cached(x, seqs, n_seqs);
    enum lf_err rc = lf_exec_pack(x, seqs, n_seqs, diag);
    if (rc != LF_OK)
        return rc;
    lf_assert(x->plan.S_cached == x->plan.S && n_parts <= x->model->config.L);
    x->part = 0;
    x->n_parts = x->recorded ? 0 : n_parts;
    if (x->recorded)
        rc = lf_exec_step(x, diag);
    else
        lf_exec_go_on(x);
    if (rc == LF_OK)
        have_tokens(seqs, n_seqs);
    return rc;
}
