/* The size table. Every device buffer of an exec is a line here; the table is walked once to sum
 * the bytes and once to hand out places in the one allocation. Nothing grows afterwards. */
#include "model/exec_inside.h"

#include "core/num.h"

#include <stdlib.h>

#define ALIGN ((size_t)256)

struct size_walk {
    char *base; /* NULL: only summing */
    size_t total;
    bool overflow;
    struct lf_exec_memory m; /* the total by purpose */
};

/* rows x cols elements of `es` bytes, counted under *purpose. */
static void *take(struct size_walk *w, size_t *purpose, size_t rows, size_t cols, size_t es)
{
    size_t bytes, at = w->total;
    if (__builtin_mul_overflow(rows, cols, &bytes) || __builtin_mul_overflow(bytes, es, &bytes) ||
        bytes > SIZE_MAX / 4 || w->total > SIZE_MAX / 4) {
        w->overflow = true;
        return NULL;
    }
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    w->total += bytes;
    *purpose += bytes;
    return w->base && bytes > 0 ? w->base + at : NULL;
}

static size_t rows_any(const struct lf_exec *x)
{
    return lf_max((size_t)x->limits.tokens_max, (size_t)x->limits.train_tokens_max);
}

/* Columns of a group's LoRA middle. */
static size_t u_cols(const struct lf_exec *x, int g)
{
    int first, n;
    lf_config_group(&x->model->config, (enum lf_group_kind)g, &first, &n);
    return (size_t)n * (size_t)x->limits.rank_max;
}

static size_t u_cols_max(const struct lf_exec *x)
{
    size_t cols = 0;
    for (int g = 0; g < LF_GROUPS; g++)
        cols = lf_max(cols, u_cols(x, g));
    return cols;
}

static size_t widest_map(const struct lf_config *c)
{
    size_t N = 0;
    for (int p = 0; p < c->n_proj; p++)
        N = lf_max(N, (size_t)c->proj[p].N);
    return N;
}

/* Buffers that any forward needs. */
static void take_forward(struct lf_exec *x, struct size_walk *w, size_t *purpose)
{
    const struct lf_config *c = &x->model->config;
    struct lf_work *k = &x->work;
    size_t T = rows_any(x), C = (size_t)c->C, es = x->es, room = (size_t)x->room;
    k->n = take(w, purpose, T, C + room, es);
    k->x = take(w, purpose, T, C, es);
    k->y = lf_config_post_norms(c) ? take(w, purpose, T, C, es) : NULL;
    k->loss = take(w, purpose, T, 1, sizeof(float));
    k->ids = take(w, purpose, (size_t)x->limits.seqs_max, 1, sizeof *k->ids);
    size_t rows = lf_max((size_t)x->limits.seqs_max, (size_t)x->limits.rows_max);
    k->scored = take(w, purpose, rows, 1, sizeof *k->scored);
    k->logprob = take(w, purpose, rows, 1, sizeof *k->logprob);
    k->top_ids = take(w, purpose, rows, LF_TOP_LOGPROBS_MAX, sizeof *k->top_ids);
    k->top_logprob = take(w, purpose, rows, LF_TOP_LOGPROBS_MAX, sizeof *k->top_logprob);
    struct lf_acts *s = &x->serve;
    s->x_in = s->x_mid = s->x_out = k->x;
    s->raw = s->qkv = take(w, purpose, T, (size_t)x->qkv_n, es);
    s->o = take(w, purpose, T, (size_t)(c->H * c->D) + room, es);
    s->h = take(w, purpose, T, (size_t)x->h_n + room, es);
    s->attn_y = s->mlp_y = lf_config_post_norms(c) ? take(w, purpose, T, C, es) : NULL;
    s->lse = NULL;
    void *u = take(w, purpose, T, u_cols_max(x), es);
    for (int g = 0; g < LF_GROUPS; g++)
        s->u[g] = u;
    k->z = take(w, purpose, lf_min(T, LF_GAIN_ROWS), widest_map(c), es);
}

/* What the head needs while it makes losses or samples; nothing of it is read later. */
static void take_head(struct lf_exec *x, struct size_walk *w, size_t *purpose)
{
    size_t M = (size_t)x->limits.rows_max, V = (size_t)x->model->config.V;
    size_t T = rows_any(x), C = (size_t)x->model->config.C;
    x->work.rows_x = take(w, purpose, T, C, x->es);
    x->work.rows_n = take(w, purpose, T, C, x->es);
    x->work.logits = take(w, purpose, M, V, sizeof(float));
    x->work.dlogits = x->work.logits;
    if (x->limits.train_tokens_max > 0 && x->stream->dev->act != LF_F32)
        x->work.dlogits = take(w, purpose, M, V, x->es);
}

/* The MLP's inner; and in its place, since it is done when they begin, attention's gradients. */
static void take_inner(struct lf_exec *x, struct size_walk *w, size_t *purpose)
{
    const struct lf_config *c = &x->model->config;
    size_t T = (size_t)x->limits.train_tokens_max, room = (size_t)x->room, begin = w->total;
    x->work.g = take(w, purpose, rows_any(x), (size_t)c->F + room, x->es);
    size_t end = w->total, attention = 0;
    if (T == 0)
        return;
    w->total = begin;
    x->work.dqkv = take(w, &attention, T, (size_t)x->qkv_n + room, x->es);
    x->work.d_o = take(w, &attention, T, (size_t)(c->H * c->D) + room, x->es);
    if (w->total > end)
        *purpose += w->total - end; /* the rest is counted already */
    w->total = lf_max(w->total, end);
}

/* What the blocks' backward needs beside dx, in which the head leaves its gradient. */
static void take_backward(struct lf_exec *x, struct size_walk *w, size_t *purpose)
{
    const struct lf_config *c = &x->model->config;
    struct lf_work *k = &x->work;
    size_t T = (size_t)x->limits.train_tokens_max, C = (size_t)c->C, es = x->es;
    size_t room = (size_t)x->room;
    if (T == 0)
        return;
    k->dn = c->parallel_block ? take(w, purpose, T, C + room, es) : k->n;
    k->dy = lf_config_post_norms(c) ? take(w, purpose, T, C + room, es) : NULL;
    k->du = take(w, purpose, T, u_cols_max(x), es);
    k->delta = take(w, purpose, T, (size_t)c->H, sizeof(float));
    size_t rank = (size_t)x->limits.rank_max;
    k->aw = take(w, purpose, rank, widest_map(c), sizeof(float));
    k->aa = take(w, purpose, rank, rank, sizeof(float));
}

/* What backward reads of one block beside its input. Buffers of `serve` are taken over where that
 * is given: the first set costs only what serving does not have. */
static void take_saved_set(struct lf_exec *x, struct size_walk *w, size_t *purpose,
                           struct lf_acts *a, const struct lf_acts *serve)
{
    const struct lf_config *c = &x->model->config;
    size_t T = (size_t)x->limits.train_tokens_max, C = (size_t)c->C, es = x->es;
    size_t room = (size_t)x->room;
    a->qkv = serve ? serve->qkv : take(w, purpose, T, (size_t)x->qkv_n, es);
    a->raw = c->qk_norm ? take(w, purpose, T, (size_t)x->qkv_n, es) : a->qkv;
    a->o = serve ? serve->o : take(w, purpose, T, (size_t)(c->H * c->D) + room, es);
    a->h = serve ? serve->h : take(w, purpose, T, (size_t)x->h_n + room, es);
    a->lse = take(w, purpose, T, (size_t)c->H, sizeof(float));
    a->x_mid = c->parallel_block ? NULL : take(w, purpose, T, C, es);
    if (lf_config_post_norms(c)) {
        a->attn_y = serve ? serve->attn_y : take(w, purpose, T, C, es);
        a->mlp_y = take(w, purpose, T, C, es);
    }
    for (int g = 0; g < LF_GROUPS; g++)
        a->u[g] = take(w, purpose, T, u_cols(x, g), es);
}

/* A block that is run again: the first one's buffers, but for what is not made again
 * (exec_forward.c, residual). */
static void share_saved_set(struct lf_exec *x, struct size_walk *w, size_t *purpose,
                            struct lf_acts *a)
{
    const struct lf_config *c = &x->model->config;
    size_t T = (size_t)x->limits.train_tokens_max;
    *a = x->saved[0];
    a->u[LF_GROUP_MLP_OUT] = take(w, purpose, T, u_cols(x, LF_GROUP_MLP_OUT), x->es);
    if (c->parallel_block || x->offload.most > 0)
        a->u[LF_GROUP_ATTN_OUT] = take(w, purpose, T, u_cols(x, LF_GROUP_ATTN_OUT), x->es);
    if (x->offload.most > 0)
        a->u[LF_GROUP_ATTN_IN] = take(w, purpose, T, u_cols(x, LF_GROUP_ATTN_IN), x->es);
}

static void take_saved(struct lf_exec *x, struct size_walk *w, size_t *purpose)
{
    const struct lf_config *c = &x->model->config;
    size_t T = (size_t)x->limits.train_tokens_max;
    void *in = take(w, purpose, T, (size_t)c->C, x->es);
    for (int l = 0; l < c->L; l++) {
        struct lf_acts *a = &x->saved[l];
        if (l == 0 || l >= x->n_again)
            take_saved_set(x, w, purpose, a, l == 0 ? &x->serve : NULL);
        else
            share_saved_set(x, w, purpose, a);
        a->x_in = in;
        a->x_out = in = take(w, purpose, T, (size_t)c->C, x->es);
        if (c->parallel_block)
            a->x_mid = a->x_out;
    }
}

/* What a block that is run again puts out is not kept: the last one's output may still be asked for
 * (lf_exec_logits). */
struct lf_acts lf_exec_training_rows(const struct lf_exec *x, int l, bool again)
{
    const struct lf_acts *b = &x->saved[l];
    const struct lf_config *c = &x->model->config;
    size_t first = (size_t)(x->plan.T - x->plan.T_train), C = (size_t)c->C;
    size_t qkv = (size_t)x->qkv_n, room = (size_t)x->room, H = (size_t)c->H, D = (size_t)c->D;
    struct lf_acts t = {
        .x_in = lf_at(b->x_in, first * C, x->es),
        .x_mid = lf_at(b->x_mid, first * C, x->es),
        .x_out = lf_at(b->x_out, first * C, x->es),
        .raw = lf_at(b->raw, first * qkv, x->es),
        .qkv = lf_at(b->qkv, first * qkv, x->es),
        .o = lf_at(b->o, first * (H * D + room), x->es),
        .lse = b->lse + first * H,
        .h = lf_at(b->h, first * ((size_t)x->h_n + room), x->es),
        .attn_y = lf_at(b->attn_y, first * C, x->es),
        .mlp_y = lf_at(b->mlp_y, first * C, x->es),
    };
    for (int g = 0; g < LF_GROUPS; g++) {
        int p0, n;
        lf_config_group(c, (enum lf_group_kind)g, &p0, &n);
        t.u[g] = lf_at(b->u[g], first * (size_t)(n * x->train.batch.rank_max), x->es);
    }
    if (again) {
        t.x_out = x->work.x;
        if (c->parallel_block || lf_exec_offload_other_mid(x, l))
            t.x_mid = x->work.x;
    }
    return t;
}

static void take_kv(struct lf_exec *x, struct size_walk *w, size_t *purpose)
{
    const struct lf_config *c = &x->model->config;
    size_t page = (size_t)c->Hkv * LF_KV_PAGE_TOKENS * (size_t)c->D * x->es;
    x->kv_layer_bytes = (size_t)x->limits.kv_pages * page;
    x->kv = take(w, purpose, 2 * (size_t)c->L, (size_t)x->limits.kv_pages, page);
}

/* The head's buffers, and what is dead while it works, in the same place: it begins when the
 * blocks' forward is done, and is done when their backward begins. */
static void take_head_or_blocks(struct lf_exec *x, struct size_walk *w, struct lf_exec_memory *m)
{
    size_t begin = w->total, blocks = 0;
    take_head(x, w, &m->logits);
    size_t end = w->total;
    w->total = begin;
    take_inner(x, w, &blocks);
    take_backward(x, w, &blocks);
    if (w->total > end)
        m->activations += w->total - end; /* the rest is counted already */
    w->total = lf_max(w->total, end);
}

static struct size_walk walk_table(struct lf_exec *x, char *base)
{
    struct size_walk w = {.base = base};
    struct lf_exec_memory *m = &w.m;
    take_forward(x, &w, &m->activations);
    take_head_or_blocks(x, &w, m);
    if (x->limits.train_tokens_max > 0) {
        x->work.dx = take(&w, &m->activations, (size_t)x->limits.train_tokens_max,
                          (size_t)x->model->config.C + (size_t)x->room, x->es);
        take_saved(x, &w, &m->saved);
    }
    take_kv(x, &w, &m->kv);
    x->meta = take(&w, &m->scratch, x->meta_cap, 1, 1);
    x->aside.meta = take(&w, &m->scratch, x->aside.meta_cap, 1, 1);
    x->aside.x = take(&w, &m->activations, (size_t)x->limits.aside_tokens,
                      (size_t)x->model->config.C, x->es);
    m->scratch += x->memory.scratch; /* the stream's, reserved before */
    return w;
}

/* Columns for adapters behind a map's input: whole lines of 128 bytes, enough for one adapter's
 * ranks, and for some more of low rank up to where their zeros cost a twentieth of a product. */
#define ROOM_LINE 64
#define ROOM_MOST 256

static int room_for_adapters(const struct lf_exec *x)
{
    int cols = (int)u_cols_max(x);
    if (!x->ops->map_bwd || x->limits.train_tokens_max == 0)
        return 0;
    return cols < ROOM_MOST ? (cols + ROOM_LINE - 1) / ROOM_LINE * ROOM_LINE : ROOM_MOST;
}

/* Scratch that the linear maps of this model need on the stream. */
static enum lf_err reserve_scratch(struct lf_exec *x, struct lf_diag *diag)
{
    const struct lf_config *c = &x->model->config;
    const struct lf_device *dev = x->stream->dev;
    int T = (int)rows_any(x);
    size_t bytes = x->ops->linear_scratch_bytes(dev, x->limits.rows_max, c->V, c->C);
    for (int p = 0; p < c->n_proj; p++)
        bytes = lf_max(bytes, x->ops->linear_scratch_bytes(dev, T, c->proj[p].N, c->proj[p].K));
    for (int g = 0; g < LF_GROUPS; g++) { /* a group's weights may be dequantised together */
        int first, n, N = lf_config_group(c, (enum lf_group_kind)g, &first, &n);
        bytes = lf_max(
            bytes, x->ops->linear_scratch_bytes(dev, T, N + x->room, c->proj[first].K + x->room));
    }
    x->memory.scratch = bytes;
    return lf_stream_reserve(x->stream, bytes, diag);
}

/* Keeping everything for backward asks for too much. The KV cache counts where the device is all
 * that there is; who gives a ceiling has its own plan for the cache. */
static bool is_too_much(const struct lf_exec *x, const struct size_walk *w)
{
    struct lf_device_info info;
    if (x->limits.memory_bytes > 0)
        return w->overflow || w->total - w->m.kv > x->limits.memory_bytes;
    lf_device_info(x->stream->dev, &info); /* adapters, and other programs, come later */
    return w->overflow || w->total > info.memory_free / 8 * 7;
}

/* ---- Copies of the weights ------------------------------------------------------------------- */

/* Copies may take half of what the device has free beside everything else, the cache too: for a
 * model of 7B they are 14 GB of bf16, which a card of 24 GB never has. */
#define COPIES_PART 2
/* A forward of fewer tokens reads the weights as they are. */
#define COPIES_TOKENS 512

/* Bytes of a layer's copies; where each group's begin. */
static size_t copy_layer_bytes(struct lf_exec *x)
{
    const struct lf_config *c = &x->model->config;
    size_t at = 0;
    for (int g = 0; g < LF_GROUPS; g++) {
        int first, n, N = lf_config_group(c, (enum lf_group_kind)g, &first, &n);
        x->copy_off[g] = at;
        size_t rows = (size_t)(N + x->room), cols = (size_t)(c->proj[first].K + x->room);
        at += (rows * cols * x->es + ALIGN - 1) / ALIGN * ALIGN;
    }
    x->copy_off[LF_GROUPS] = at;
    return at;
}

void *lf_exec_copy(const struct lf_exec *x, int l, enum lf_group_kind g)
{
    return x->copies ? x->copies + (size_t)l * x->copy_off[LF_GROUPS] + x->copy_off[g] : NULL;
}

static bool packed(const struct lf_model *m)
{
    return m->layers[0].w[0].kind == LF_WEIGHT_Q4;
}

/* Unpacks the weights where memory is plentiful. With recompute it is not: who asks for that wants
 * to save memory. */
static enum lf_err make_copies(struct lf_exec *x, struct lf_diag *diag)
{
    const struct lf_config *c = &x->model->config;
    struct lf_device_info info;
    size_t bytes = copy_layer_bytes(x) * (size_t)c->L;
    void *copies = NULL;
    lf_device_info(x->stream->dev, &info);
    if (!x->ops->copy_weights || x->n_again > 0 ||
        !(x->limits.train_tokens_max > 0 || x->limits.tokens_max >= COPIES_TOKENS) ||
        !packed(x->model) || bytes > info.memory_free / COPIES_PART)
        return LF_OK;
    enum lf_err rc = lf_device_alloc(x->stream->dev, &copies, bytes, diag);
    if (rc != LF_OK)
        return rc;
    x->copies = copies;
    x->memory.copies = bytes;
    for (int l = 0; l < c->L; l++)
        for (int g = 0; g < LF_GROUPS; g++) {
            const struct lf_weight *w[LF_GROUP_MAX];
            int first, n;
            lf_config_group(c, (enum lf_group_kind)g, &first, &n);
            for (int i = 0; i < n; i++)
                w[i] = &x->model->layers[l].w[first + i];
            x->ops->copy_weights(x->stream, lf_exec_copy(x, l, (enum lf_group_kind)g),
                                 c->proj[first].K + x->room, w, n);
        }
    return LF_OK;
}

/* Which blocks are run again, and which of them wait in host memory. The answer is the table's
 * sums. */
static struct size_walk plan_again(struct lf_exec *x)
{
    enum lf_recompute how = x->limits.recompute;
    int L = x->model->config.L;
    bool trains = x->limits.train_tokens_max > 0, chosen = trains && how == LF_RECOMPUTE_AUTO;
    x->n_again = trains && (how == LF_RECOMPUTE_BLOCK || how == LF_RECOMPUTE_OFFLOAD) ? L : 0;
    lf_exec_offload_plan(x);
    struct size_walk w = walk_table(x, NULL);
    while (chosen && x->n_again < L && is_too_much(x, &w)) {
        x->n_again++;
        lf_exec_offload_plan(x);
        w = walk_table(x, NULL);
    }
    if (chosen && x->offload.most > 0 && is_too_much(x, &w)) {
        x->offload.most = 0; /* what is not made again keeps its LoRA middles */
        w = walk_table(x, NULL);
    }
    return w;
}

enum lf_err lf_exec_allocate(struct lf_exec *x, struct lf_diag *diag)
{
    x->room = room_for_adapters(x);
    enum lf_err rc = reserve_scratch(x, diag);
    if (rc != LF_OK)
        return rc;
    struct size_walk w = plan_again(x);
    if (w.overflow)
        return lf_fail(diag, LF_E_TOO_BIG, "the limits ask for more memory than can be addressed");
    rc = lf_device_alloc(x->stream->dev, &x->device, w.total, diag);
    if (rc != LF_OK)
        return lf_fail_within(diag, rc,
                              "working memory of %zu MiB for %d tokens, %d of them "
                              "training, and %d KV pages",
                              w.total >> 20, x->limits.tokens_max, x->limits.train_tokens_max,
                              x->limits.kv_pages);
    x->memory = walk_table(x, x->device).m;
    return make_copies(x, diag);
}
