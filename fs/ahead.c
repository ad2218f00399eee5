/* Blocks of a file, asked for and handed out in order. */
#include "fs/ahead.h"

#include "fs/limits.h"
#include "fs/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTP_RANGE_NOT_SATISFIABLE 416
#define BLOCK_MIN_BYTES (128u << 10) /* a reader of lines asks for as little as 4 kB */
#define BLOCK_MAX_BYTES (2u << 20)
#define WINDOW_BLOCKS 4 /* of the window, at least, while the blocks are small */
/* Of one READ: the kernel asks for 1 MB at the most, which may lie across blocks of the least size.
 */
#define READ_PARTS ((1u << 20) / BLOCK_MIN_BYTES + 2)

struct ahead_block {
    TAILQ_ENTRY(ahead_block) link; /* in the order of their offsets */
    struct lf_ahead *of;
    uint64_t off;
    size_t size;                 /* asked for; what is there is data.len */
    struct lf_client_call *call; /* NULL: it is here */
    bool left;                   /* nobody wants it any more: it goes when its call ends */
    struct lf_op_list readers;   /* that wait for it */
    struct lf_buf data;
};

struct lf_ahead {
    struct lf_fs *fs;
    const struct lf_node *node;
    TAILQ_HEAD(, ahead_block) blocks;
    char etag[LF_FS_ETAG_MAX]; /* "": not known yet */
    uint64_t end;              /* bytes of the file; UINT64_MAX: not known yet */
    uint64_t next;             /* where the last read ended */
    size_t window;             /* bytes to have ahead of that */
    bool replaced;             /* the daemon has these bytes no more */
};

/* ---- Blocks ---------------------------------------------------------------------------------- */

static void block_free(struct ahead_block *b)
{
    struct lf_ahead *a = b->of;
    TAILQ_REMOVE(&a->blocks, b, link);
    a->fs->ahead_bytes -= b->size;
    lf_client_cancel(b->call);
    lf_buf_free(&b->data);
    free(b);
}

/* Of those that are wanted; NULL: none has the byte. */
static struct ahead_block *block_at(const struct lf_ahead *a, uint64_t off)
{
    struct ahead_block *b;
    TAILQ_FOREACH(b, &a->blocks, link)
    if (!b->left && off >= b->off && off - b->off < b->size)
        return b;
    return NULL;
}

static void leave(struct ahead_block *b)
{
    if (!TAILQ_EMPTY(&b->readers))
        return;
    b->left = true;
    if (!b->call)
        block_free(b);
}

/* What lies before the one that holds `off` was read. */
static void leave_before(struct lf_ahead *a, uint64_t off)
{
    struct ahead_block *b = TAILQ_FIRST(&a->blocks), *next;
    for (; b; b = next) {
        next = TAILQ_NEXT(b, link);
        if (!b->left && b->off + b->size <= off)
            leave(b);
    }
}

static enum lf_client_flow block_piece(void *arg, const void *data, size_t n)
{
    struct ahead_block *b = arg;
    return n <= b->size - b->data.len && lf_buf_append(&b->data, data, n) == LF_OK
               ? LF_CLIENT_TAKEN
               : LF_CLIENT_ABORT;
}

/* What an answer says of the file. LF_OK: the bytes are its. */
static enum lf_err learn(struct lf_ahead *a, const struct ahead_block *b,
                         const struct lf_client_result *r)
{
    uint64_t stop = b->off + b->data.len;
    if (r->status == LF_HTTP_PRECONDITION_FAILED ||
        (r->rc == LF_OK && a->etag[0] && r->etag && strcmp(a->etag, r->etag) != 0))
        a->replaced = true;
    if (a->replaced)
        return LF_E_IO;
    if (r->status == HTTP_RANGE_NOT_SATISFIABLE) { /* it begins where the file ends, or later */
        a->end = b->off < a->end ? b->off : a->end;
        return LF_OK;
    }
    if (r->rc != LF_OK)
        return r->rc;
    if (!a->etag[0] && r->etag)
        snprintf(a->etag, sizeof a->etag, "%s", r->etag);
    if (r->file_bytes != UINT64_MAX)
        a->end = r->file_bytes;
    if (b->data.len < b->size && stop < a->end)
        a->end = stop;
    return LF_OK;
}

static void block_done(void *arg, const struct lf_client_result *r)
{
    struct ahead_block *b = arg;
    struct lf_op_list readers;
    enum lf_err rc = learn(b->of, b, r);
    b->call = NULL;
    TAILQ_INIT(&readers); /* which are gone on with last: what they do may free the block */
    TAILQ_CONCAT(&readers, &b->readers, wait);
    if (rc != LF_OK || b->left)
        block_free(b);
    lf_op_wake(&readers, rc);
}

static struct ahead_block *block_new(struct lf_ahead *a, uint64_t off, size_t size)
{
    struct ahead_block *b = calloc(1, sizeof *b), *after;
    if (!b)
        return NULL;
    *b = (struct ahead_block){.of = a, .off = off, .size = size};
    TAILQ_INIT(&b->readers);
    lf_buf_init(&b->data, size);
    a->fs->ahead_bytes += size;
    TAILQ_FOREACH(after, &a->blocks, link)
    if (after->off > off)
        break;
    if (after)
        TAILQ_INSERT_BEFORE(after, b, link);
    else
        TAILQ_INSERT_TAIL(&a->blocks, b, link);
    return b;
}

/* Asks for a block; *out is there until its call has ended. */
static enum lf_err block_ask(struct ahead_block **out, struct lf_ahead *a, uint64_t off,
                             size_t size)
{
    char url[LF_URL_MAX];
    enum lf_err rc = lf_url_node(url, a->node, "");
    struct ahead_block *b = rc == LF_OK ? block_new(a, off, size) : NULL;
    if (!b)
        return rc ?: LF_E_NO_MEMORY;
    struct lf_client_spec spec = {.method = "GET",
                                  .path = url,
                                  .range_off = off,
                                  .range_bytes = size,
                                  .if_match = a->etag[0] ? a->etag : NULL,
                                  .waits = true,
                                  .on_data = block_piece,
                                  .on_done = block_done,
                                  .arg = b};
    rc = lf_client_start(&b->call, a->fs->client, &spec, NULL);
    if (rc != LF_OK)
        block_free(b);
    else
        *out = b;
    return rc;
}

/* ---- Ahead ----------------------------------------------------------------------------------- */

static size_t block_bytes(const struct lf_ahead *a)
{
    size_t n = a->window / WINDOW_BLOCKS;
    return n < BLOCK_MIN_BYTES ? BLOCK_MIN_BYTES : n > BLOCK_MAX_BYTES ? BLOCK_MAX_BYTES : n;
}

/* Whether the read goes on where the one before ended, or near it: what the kernel reads ahead
 * comes in pieces, not always in order. */
static bool goes_on(const struct lf_ahead *a, const struct lf_ahead_read *r)
{
    return r->off == a->next || block_at(a, r->off);
}

static void jump(struct lf_ahead *a)
{
    struct ahead_block *b = TAILQ_FIRST(&a->blocks), *next;
    a->window = 0;
    for (; b; b = next) {
        next = TAILQ_NEXT(b, link);
        if (!b->left)
            leave(b);
    }
}

/* Asks for what is not there yet of the window after `off`. */
static void look_ahead(struct lf_ahead *a, uint64_t off)
{
    size_t size = block_bytes(a);
    uint64_t at = off;
    struct ahead_block *b;
    while (a->etag[0] && !a->replaced && at < a->end && at + size <= off + a->window) {
        b = block_at(a, at);
        if (b) {
            at = b->off + b->size;
            continue;
        }
        if (a->end - at < size)
            size = (size_t)(a->end - at);
        if (a->fs->ahead_bytes + size > LF_AHEAD_BYTES_MAX || block_ask(&b, a, at, size) != LF_OK)
            return;
        at += size;
    }
}

/* ---- Reading --------------------------------------------------------------------------------- */

/* The block that has the read's byte at `at`, asked for where it has to be. */
static enum lf_err block_for(struct ahead_block **out, struct lf_ahead *a,
                             const struct lf_ahead_read *r, uint64_t at)
{
    uint64_t left = r->off + r->size - at;
    size_t size = block_bytes(a);
    struct ahead_block *first = a->etag[0] ? NULL : TAILQ_FIRST(&a->blocks);
    *out = block_at(a, at);
    if (!*out && first && first->call) /* it will say which version this is */
        *out = first;
    if (*out)
        return LF_OK;
    return block_ask(out, a, at, left > size ? (size_t)left : size);
}

static void read_step(struct lf_op *op, enum lf_err rc);

/* LF_OK: the read's bytes are in `parts`; or it waits for a block (*waits). */
static enum lf_err gather(struct iovec parts[READ_PARTS], int *n, bool *waits,
                          struct lf_ahead_read *r)
{
    struct lf_ahead *a = r->ahead;
    uint64_t at = r->off;
    struct ahead_block *b;
    *waits = false;
    for (*n = 0; at < r->off + r->size && at < a->end && *n < (int)READ_PARTS;
         at += parts[(*n)++].iov_len) {
        enum lf_err rc = block_for(&b, a, r, at);
        if (rc != LF_OK)
            return rc;
        if (b->call) {
            *waits = r->waited = true;
            lf_op_wait(&r->op, &b->readers, read_step);
            return LF_OK;
        }
        size_t skip = (size_t)(at - b->off), want = (size_t)(r->off + r->size - at);
        if (skip >= b->data.len)
            break; /* the file ends here */
        parts[*n].iov_base = b->data.data + skip;
        parts[*n].iov_len = b->data.len - skip < want ? b->data.len - skip : want;
    }
    return LF_OK;
}

static void read_step(struct lf_op *op, enum lf_err rc)
{
    struct lf_ahead_read *r = (struct lf_ahead_read *)op;
    struct lf_ahead *a = r->ahead;
    struct iovec parts[READ_PARTS];
    bool waits = false;
    int n = 0;
    if (a->replaced && rc != LF_E_INTERRUPTED) {
        fuse_reply_err(op->req, ESTALE);
        lf_op_end(op);
        return;
    }
    rc = rc ?: gather(parts, &n, &waits, r);
    if (waits)
        look_ahead(a, r->off);
    if (waits || lf_op_failed(op, rc))
        return;
    if (r->waited && r->in_order && r->off > 0 && a->window < LF_AHEAD_WINDOW_MAX)
        a->window = a->window ? a->window * 2 : WINDOW_BLOCKS * BLOCK_MIN_BYTES;
    fuse_reply_iov(op->req, parts, n);
    a->next = r->off + r->size;
    leave_before(a, r->off);
    look_ahead(a, a->next);
    lf_op_end(op);
}

void lf_ahead_read(struct lf_ahead_read *r)
{
    r->in_order = goes_on(r->ahead, r);
    if (!r->in_order)
        jump(r->ahead);
    read_step(&r->op, LF_OK);
}

struct lf_ahead *lf_ahead_new(struct lf_fs *fs, const struct lf_node *n)
{
    struct lf_ahead *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    *a = (struct lf_ahead){.fs = fs, .node = n, .end = UINT64_MAX};
    TAILQ_INIT(&a->blocks);
    return a;
}

void lf_ahead_free(struct lf_ahead *a)
{
    while (a && !TAILQ_EMPTY(&a->blocks))
        block_free(TAILQ_FIRST(&a->blocks));
    free(a);
}
