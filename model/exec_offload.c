/* What attention's half of a block leaves for backward, in host memory: for blocks that are run
 * again, so that only the MLP's first map is. It is made in the buffers that those blocks share,
 * and goes out of them on a stream of copies beside the products, in parts of which each is gone
 * by the time that the next block makes its own; in backward it comes back a block ahead. The
 * input of the MLP's norm is wanted first and last of a block's, and has a second buffer.
 *
 * A mark `moved` stands behind the last copy from or into a buffer. */
#include "model/exec_inside.h"

#include "core/budget.h"

#include <stdlib.h>

#define ALIGN ((size_t)256)

#define PIECES 4 /* of a part, at most */

struct offload_piece {
    void *p;
    size_t row_bytes;
};

/* What a part is made of, in block l's buffers (forward's, or backward's) of the training rows. */
static int pieces_of(const struct lf_exec *x, enum lf_offload_part part, const struct lf_acts *b,
                     struct offload_piece out[PIECES])
{
    const struct lf_config *c = &x->model->config;
    size_t qkv = (size_t)x->qkv_n * x->es;
    if (part == LF_OFFLOAD_MID) {
        out[0] = (struct offload_piece){b->x_mid, (size_t)c->C * x->es};
        return 1;
    }
    out[0] = (struct offload_piece){b->qkv, qkv};
    out[1] = (struct offload_piece){b->o, (size_t)(c->H * c->D + x->room) * x->es};
    out[2] = (struct offload_piece){b->lse, (size_t)c->H * sizeof *b->lse};
    out[3] = (struct offload_piece){b->raw, qkv};
    return c->qk_norm ? 4 : 3;
}

/* Where each part begins in a block's host memory; the end, too. */
static void lay_out(struct lf_exec *x)
{
    struct lf_offload *o = &x->offload;
    const struct lf_acts none = {0};
    for (int part = 0; part < LF_OFFLOAD_PARTS; part++) {
        struct offload_piece pieces[PIECES];
        size_t bytes = 0;
        for (int i = pieces_of(x, (enum lf_offload_part)part, &none, pieces); i-- > 0;)
            bytes += pieces[i].row_bytes * (size_t)x->limits.train_tokens_max;
        o->at[part + 1] = o->at[part] + (bytes + ALIGN - 1) / ALIGN * ALIGN;
    }
}

void lf_exec_offload_plan(struct lf_exec *x)
{
    const struct lf_config *c = &x->model->config;
    struct lf_offload *o = &x->offload;
    enum lf_recompute how = x->limits.recompute;
    bool wanted = how == LF_RECOMPUTE_AUTO || how == LF_RECOMPUTE_OFFLOAD;
    o->most = 0;
    if (!wanted || x->n_again == 0 || c->parallel_block || lf_config_post_norms(c))
        return;
    lay_out(x);
    size_t room = x->limits.host_bytes / o->at[LF_OFFLOAD_PARTS];
    int again = x->n_again - 1; /* the last of them finds its activations where it left them */
    o->most = room < (size_t)again ? (int)room : again;
}

enum lf_err lf_exec_offload_open(struct lf_exec *x, struct lf_diag *diag)
{
    struct lf_offload *o = &x->offload;
    if (o->most == 0)
        return LF_OK;
    o->host = calloc((size_t)o->most, sizeof *o->host);
    if (!o->host)
        return lf_no_memory(diag, "an exec");
    x->memory.host = o->at[LF_OFFLOAD_PARTS] * (size_t)o->most;
    enum lf_err rc = lf_stream_new(&o->stream, x->stream->dev, LF_STREAM_COPIES, diag);
    rc = rc ?: lf_mark_new(&o->ready, x->stream, diag);
    for (int i = 0; rc == LF_OK && i < LF_OFFLOAD_BUFFERS; i++)
        rc = lf_mark_new(&o->moved[i], o->stream, diag);
    return rc;
}

/* Memory for one block more. */
static enum lf_err take_block(struct lf_exec *x, struct lf_diag *diag)
{
    struct lf_offload *o = &x->offload;
    size_t bytes = o->at[LF_OFFLOAD_PARTS];
    void *host = NULL;
    enum lf_err rc = lf_budget_take(x->limits.host, bytes, (uint64_t)o->n * bytes,
                                    "what waits for backward needs", diag);
    if (rc != LF_OK)
        return rc;
    rc = lf_device_alloc_host(x->stream->dev, &host, bytes, diag);
    if (rc == LF_OK)
        o->host[o->n++] = host;
    else
        lf_budget_give(x->limits.host, bytes);
    return rc;
}

enum lf_err lf_exec_host_take(struct lf_exec *x, int blocks, struct lf_diag *diag)
{
    struct lf_offload *o = &x->offload;
    enum lf_err rc = LF_OK;
    for (; rc == LF_OK && blocks > 0 && o->n < o->most && !o->refused; blocks--)
        rc = take_block(x, diag);
    o->refused = o->refused || rc != LF_OK;
    return rc;
}

/* A run has waited for its copies. */
void lf_exec_host_give(struct lf_exec *x)
{
    struct lf_offload *o = &x->offload;
    o->refused = false;
    for (; o->n > 0; o->n--) {
        lf_device_release_host(x->stream->dev, o->host[o->n - 1]);
        lf_budget_give(x->limits.host, o->at[LF_OFFLOAD_PARTS]);
    }
}

void lf_exec_offload_close(struct lf_exec *x)
{
    struct lf_offload *o = &x->offload;
    for (int i = 0; i < LF_OFFLOAD_BUFFERS; i++)
        lf_mark_free(o->moved[i]);
    lf_mark_free(o->ready);
    lf_stream_free(o->stream); /* waits for its copies */
    lf_exec_host_give(x);
    free(o->host);
}

/* The buffer that a part of block l has in backward. */
static int buffer_of(const struct lf_exec *x, int l, enum lf_offload_part part)
{
    return part == LF_OFFLOAD_MID && lf_exec_offload_other_mid(x, l) ? LF_OFFLOAD_PARTS : (int)part;
}

static void move(struct lf_exec *x, int l, enum lf_offload_part part, const struct lf_acts *b,
                 int buffer, bool out)
{
    struct lf_offload *o = &x->offload;
    char *host = o->host[l] + o->at[part];
    struct offload_piece pieces[PIECES];
    int n = pieces_of(x, part, b, pieces);
    lf_mark_set(o->ready);
    lf_stream_follow(o->stream, o->ready);
    for (int i = 0; i < n; i++) {
        size_t bytes = pieces[i].row_bytes * (size_t)x->plan.T_train;
        lf_stream_copy(o->stream, out ? host : pieces[i].p, out ? pieces[i].p : host, bytes);
        host += bytes;
    }
    lf_mark_set(o->moved[buffer]);
}

static bool offloaded(const struct lf_exec *x, int l)
{
    return l < x->offload.n && l >= x->layer_first && x->plan.M_train > 0;
}

void lf_exec_offload_out(struct lf_exec *x, int l, enum lf_offload_part part,
                         const struct lf_acts *b)
{
    if (offloaded(x, l))
        move(x, l, part, b, (int)part, true);
}

void lf_exec_offload_in(struct lf_exec *x, int l, enum lf_offload_part part,
                        const struct lf_acts *b)
{
    if (offloaded(x, l))
        move(x, l, part, b, buffer_of(x, l, part), false);
}

void lf_exec_offload_await_out(struct lf_exec *x, enum lf_offload_part part)
{
    if (x->offload.n > 0 && x->plan.M_train > 0)
        lf_stream_follow(x->stream, x->offload.moved[part]);
}

void lf_exec_offload_await_in(struct lf_exec *x, int l, enum lf_offload_part part)
{
    if (offloaded(x, l))
        lf_stream_follow(x->stream, x->offload.moved[buffer_of(x, l, part)]);
}
