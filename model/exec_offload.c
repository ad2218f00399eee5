/* What attention's half of a block leaves for backward, in host memory: for blocks that are run
 * again, so that only the MLP's first map is. It is made in the buffers that those blocks share,
 * and goes out of them on a stream of copies beside the products, in parts of which each is gone
 * by the time that the next block makes its own; in backward it comes back a block ahead. The
 * input of the MLP's norm is wanted first and last of a block's, and has a second buffer.
 *
 * A mark `moved` stands behind the last copy from or into a buffer. */
#include "model/exec_inside.h"

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

enum lf_err lf_exec_offload_open(struct lf_exec *x, struct lf_diag *diag)
{
    struct lf_offload *o = &x->offload;
    void *host = NULL;
    if (o->n == 0)
        return LF_OK;
    lay_out(x);
    enum lf_err rc = lf_stream_new(&o->stream, x->stream->dev, LF_STREAM_COPIES, diag);
    rc = rc ?: lf_mark_new(&o->ready, x->stream, diag);
    for (int i = 0; rc == LF_OK && i < LF_OFFLOAD_BUFFERS; i++)
        rc = lf_mark_new(&o->moved[i], o->stream, diag);
    x->memory.host = o->at[LF_OFFLOAD_PARTS] * (size_t)o->n;
    rc = rc ?: lf_device_alloc_host(x->stream->dev, &host, x->memory.host, diag);
    o->host = host;
    return rc;
}

void lf_exec_offload_close(struct lf_exec *x)
{
    struct lf_offload *o = &x->offload;
    for (int i = 0; i < LF_OFFLOAD_BUFFERS; i++)
        lf_mark_free(o->moved[i]);
    lf_mark_free(o->ready);
    lf_stream_free(o->stream); /* waits for its copies */
    lf_device_release_host(x->stream->dev, o->host);
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
    char *host = o->host + (size_t)l * o->at[LF_OFFLOAD_PARTS] + o->at[part];
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
